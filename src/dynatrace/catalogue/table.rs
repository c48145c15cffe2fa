//! The rows. Sources: Dynatrace's documentation of the Environment, Configuration and Cluster APIs, of
//! the platform services, and its published clients.
//!
//! `row method path => operation, api, content, how "why"`; what stands in brackets narrows it:
//! `[createToken]` to requests with that query parameter, `[schemas]` to settings that govern tokens.
//! A `?` behind the content says that query parameters mean something there.

use super::Content::{Named, Nothing, Object, Opaque, Settings, Token};
use super::Words::{V1, V2};
use super::{ANY, Api, Endpoint, Handling, Only};

/// One line of the table becomes one [`Endpoint`].
macro_rules! endpoints {
    ($($method:ident $path:literal $([$only:ident])? => $operation:ident, $api:ident, $content:expr, $how:ident $($query:ident)?, $why:literal;)*) => {
        /// Every endpoint that the gate knows.
        pub const ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            operation: Operation::$operation,
            api: Api::$api,
            method: endpoints!(@method $method),
            path: $path,
            handling: endpoints!(@how $how),
            content: $content,
            only: endpoints!(@only $($only)?),
            query: endpoints!(@query $($query)?),
            why: $why,
        }),*];
    };
    (@method any) => { ANY };
    (@method $method:ident) => { stringify!($method) };
    (@how judge) => { Handling::Judge };
    (@how pass) => { Handling::Pass };
    (@how refuse) => { Handling::Refuse };
    (@only) => { Only::Always };
    (@only createToken) => { Only::Query("createtoken") };
    (@only schemas) => { Only::TokenSchemas };
    (@query) => { false };
    (@query query) => { true };
}

/// The names of the operations, as policies, records, metrics and the configuration have them.
macro_rules! operations {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// What a request does; the first word of every policy's input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $($variant),* }

        impl Operation {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

operations! {
    AccountApiCall = "account_api.call",
    ActiveGateTokenCreate = "activegate_token.create",
    ActiveGateTokenDelete = "activegate_token.delete",
    ActiveGateTokenList = "activegate_token.list",
    ActiveGateTokenRead = "activegate_token.read",
    AgentConnectionTokenRead = "agent_connection_token.read",
    AppFunctionCall = "app_function.call",
    AppInstall = "app.install",
    ClusterTokenCreate = "cluster_token.create",
    ClusterTokenDelete = "cluster_token.delete",
    ClusterTokenList = "cluster_token.list",
    ClusterTokenLookup = "cluster_token.lookup",
    ClusterTokenRead = "cluster_token.read",
    ClusterTokenUpdate = "cluster_token.update",
    ConnectionInfoRead = "connection_info.read",
    DashboardSharingRead = "dashboard_sharing.read",
    DashboardSharingUpdate = "dashboard_sharing.update",
    EdgeConnectCreate = "edge_connect.create",
    EdgeConnectDelete = "edge_connect.delete",
    EdgeConnectRead = "edge_connect.read",
    EdgeConnectUpdate = "edge_connect.update",
    FunctionExecute = "function.execute",
    InstallerDownload = "installer.download",
    InternalApiCall = "internal_api.call",
    RemoteEnvironmentUpdate = "remote_environment.update",
    ReportSharingUpdate = "report_sharing.update",
    TenantTokenRotationCancel = "tenant_token_rotation.cancel",
    TenantTokenRotationFinish = "tenant_token_rotation.finish",
    TenantTokenRotationStart = "tenant_token_rotation.start",
    TokenCreate = "token.create",
    TokenDelete = "token.delete",
    TokenEnforcementRead = "token_enforcement.read",
    TokenList = "token.list",
    TokenLookup = "token.lookup",
    TokenManagementTokenCreate = "token_management_token.create",
    TokenRead = "token.read",
    TokenSettingsUpdate = "token_settings.update",
    TokenUpdate = "token.update",
    VaultCredentialUpdate = "vault_credential.update",
    WorkflowDelete = "workflow.delete",
    WorkflowRun = "workflow.run",
    WorkflowUpdate = "workflow.update",
}

endpoints! {
    // Access tokens. v1 is deprecated, and lives.
    GET    "/api/v1/tokens"                 => TokenList,   V1, Nothing,   pass query, "reads metadata only";
    POST   "/api/v1/tokens"                 => TokenCreate, V1, Token(V1), judge, "mints a token";
    POST   "/api/v1/tokens/lookup"          => TokenLookup, V1, Opaque,    pass,  "reads metadata only; its body is a secret";
    GET    "/api/v1/tokens/{id}"            => TokenRead,   V1, Nothing,   pass query, "reads metadata only";
    PUT    "/api/v1/tokens/{id}"            => TokenUpdate, V1, Token(V1), judge, "renames, widens, revokes or revives a token";
    DELETE "/api/v1/tokens/{id}"            => TokenDelete, V1, Nothing,   judge, "removes a token for good";
    GET    "/api/v2/apiTokens"              => TokenList,   V2, Nothing,   pass query, "reads metadata only";
    POST   "/api/v2/apiTokens"              => TokenCreate, V2, Token(V2), judge, "mints a token";
    POST   "/api/v2/apiTokens/lookup"       => TokenLookup, V2, Opaque,    pass,  "reads metadata only; Monaco needs it, and its body is a secret";
    GET    "/api/v2/apiTokens/{id}"         => TokenRead,   V2, Nothing,   pass query, "reads metadata only";
    PUT    "/api/v2/apiTokens/{id}"         => TokenUpdate, V2, Token(V2), judge, "renames, widens, disables or enables a token";
    DELETE "/api/v2/apiTokens/{id}"         => TokenDelete, V2, Nothing,   judge, "removes a token for good";

    // ActiveGate tokens.
    GET    "/api/v2/activeGateTokens"       => ActiveGateTokenList,   V2, Nothing,   pass query, "reads metadata only";
    POST   "/api/v2/activeGateTokens"       => ActiveGateTokenCreate, V2, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/api/v2/activeGateTokens/{id}"  => ActiveGateTokenRead,   V2, Nothing,   pass query, "reads metadata only";
    DELETE "/api/v2/activeGateTokens/{id}"  => ActiveGateTokenDelete, V2, Nothing,   judge, "cuts off the ActiveGates that use the token";
    GET    "/api/v2/activeGates/tokenEnforcement" => TokenEnforcementRead, V2, Nothing, pass query, "reads a status only";
    GET    "/platform/fleet-management/v1/activegate/tokens"         => ActiveGateTokenList,   Platform, Nothing,   pass query, "reads metadata only";
    POST   "/platform/fleet-management/v1/activegate/tokens"         => ActiveGateTokenCreate, Platform, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/platform/fleet-management/v1/activegate/tokens/{id}"    => ActiveGateTokenRead,   Platform, Nothing,   pass query, "reads metadata only";
    DELETE "/platform/fleet-management/v1/activegate/tokens/{id}"    => ActiveGateTokenDelete, Platform, Nothing,   judge, "cuts off the ActiveGates that use the token";
    GET    "/platform/fleet-management/v1/activegate/connection-info" => ConnectionInfoRead,   Platform, Nothing,   judge query, "discloses the tenant token";
    // Their paths are a guess from the scope fleet-management:oneagent.tokens:read.
    GET    "/platform/fleet-management/v1/oneagent/tokens"           => AgentConnectionTokenRead, Platform, Nothing, judge query, "discloses the token that connects OneAgents";
    GET    "/platform/fleet-management/v1/oneagent/connection-info"  => ConnectionInfoRead,    Platform, Nothing,   judge query, "discloses the tenant token";
    // The documentation prints the same without its prefix.
    GET    "/v1/activegate/tokens"          => ActiveGateTokenList,   Platform, Nothing,   pass query, "reads metadata only";
    POST   "/v1/activegate/tokens"          => ActiveGateTokenCreate, Platform, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/v1/activegate/tokens/{id}"     => ActiveGateTokenRead,   Platform, Nothing,   pass query, "reads metadata only";
    DELETE "/v1/activegate/tokens/{id}"     => ActiveGateTokenDelete, Platform, Nothing,   judge, "cuts off the ActiveGates that use the token";
    GET    "/v1/activegate/connection-info" => ConnectionInfoRead,    Platform, Nothing,   judge query, "discloses the tenant token";

    // The environment's own token, and OneAgents'.
    POST   "/api/v2/tenantTokenRotation/start"  => TenantTokenRotationStart,  V2, Nothing, judge, "mints and discloses a tenant token";
    POST   "/api/v2/tenantTokenRotation/finish" => TenantTokenRotationFinish, V2, Nothing, judge, "ends the old tenant token, and discloses both";
    POST   "/api/v2/tenantTokenRotation/cancel" => TenantTokenRotationCancel, V2, Nothing, judge, "ends the new tenant token, and discloses both";
    GET    "/api/v2/agentConnectionToken"       => AgentConnectionTokenRead,  V2, Nothing, judge query, "discloses the token that connects OneAgents";
    GET    "/api/v1/deployment/installer/agent/connectioninfo"   => ConnectionInfoRead, V1, Nothing, judge query, "discloses the tenant token; Terraform and OneAgent deployments need it";
    GET    "/api/v1/deployment/installer/gateway/connectioninfo" => ConnectionInfoRead, V1, Nothing, judge query, "discloses the tenant token";
    GET    "/api/v1/deployment/installer/{*}"   => InstallerDownload, V1, Nothing, judge query, "an installer has the tenant token inside";

    // Tokens of links that need no login.
    GET    "/api/config/v1/dashboards/{dashboard}/shareSettings" => DashboardSharingRead,   ConfigV1, Nothing, judge query, "discloses links that need no login";
    PUT    "/api/config/v1/dashboards/{dashboard}/shareSettings" => DashboardSharingUpdate, ConfigV1, Object,  judge, "can make links that need no login";
    POST   "/api/config/v1/reports/{report}/subscribe"           => ReportSharingUpdate,    ConfigV1, Object,  judge, "makes tokens that show a report";

    // Settings by which tokens come to life, or are needed no more.
    POST   "/api/v2/settings/objects"          [schemas] => TokenSettingsUpdate, V2, Settings, judge query, "can revive every personal access token at once, or make ActiveGate tokens needless";
    PUT    "/api/v2/settings/objects/{object}" [schemas] => TokenSettingsUpdate, V2, Settings, judge query, "can revive every personal access token at once, or make ActiveGate tokens needless";
    DELETE "/api/v2/settings/objects/{object}" [schemas] => TokenSettingsUpdate, V2, Nothing,  judge query, "puts token settings back to their default";

    // Places where secrets are kept. They make no Dynatrace token and give none back.
    POST   "/api/v2/credentials"                  => VaultCredentialUpdate, V2, Opaque, pass, "stores the caller's own secret, which cannot be read back; mints nothing";
    PUT    "/api/v2/credentials/{credential}"     => VaultCredentialUpdate, V2, Opaque, pass, "stores the caller's own secret, which cannot be read back; mints nothing";
    POST   "/api/config/v1/credentials"           => VaultCredentialUpdate, ConfigV1, Opaque, pass, "stores the caller's own secret, which cannot be read back; mints nothing";
    PUT    "/api/config/v1/credentials/{credential}" => VaultCredentialUpdate, ConfigV1, Opaque, pass, "stores the caller's own secret, which cannot be read back; mints nothing";
    POST   "/api/config/v1/remoteEnvironments"    => RemoteEnvironmentUpdate, ConfigV1, Opaque, pass, "stores a token of another environment; mints nothing";
    PUT    "/api/config/v1/remoteEnvironments/{environment}" => RemoteEnvironmentUpdate, ConfigV1, Opaque, pass, "stores a token of another environment; mints nothing";

    // EdgeConnect.
    GET    "/platform/app-engine/edge-connect/v1/edge-connects"        => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    POST   "/platform/app-engine/edge-connect/v1/edge-connects"        => EdgeConnectCreate, Platform, Object,  judge, "mints an OAuth client and discloses its secret";
    GET    "/platform/app-engine/edge-connect/v1/edge-connects/{edge}" => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    PUT    "/platform/app-engine/edge-connect/v1/edge-connects/{edge}" => EdgeConnectUpdate, Platform, Object,  judge query, "can widen what an EdgeConnect reaches";
    PATCH  "/platform/app-engine/edge-connect/v1/edge-connects/{edge}" => EdgeConnectUpdate, Platform, Object,  judge query, "can widen what an EdgeConnect reaches";
    DELETE "/platform/app-engine/edge-connect/v1/edge-connects/{edge}" => EdgeConnectDelete, Platform, Nothing, judge query, "removes an OAuth client";

    // Code that runs inside Dynatrace, where it can mint tokens without crossing the gate.
    any    "/platform/app-engine/function-executor/{*}" => FunctionExecute, Platform, Opaque, refuse, "runs the caller's code inside Dynatrace, where it can mint tokens unseen";
    any    "/platform/app-engine/app-functions/{*}"     => AppFunctionCall, Platform, Opaque, refuse, "runs an app's code inside Dynatrace, where it can mint tokens unseen";
    POST   "/platform/app-engine/registry/v1/apps"       => AppInstall, Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    POST   "/platform/app-engine/registry/v1/apps/{app}" => AppInstall, Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    PUT    "/platform/app-engine/registry/v1/apps/{app}" => AppInstall, Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    POST   "/platform/automation/v1/workflows"              => WorkflowUpdate, Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    PUT    "/platform/automation/v1/workflows/{workflow}"   => WorkflowUpdate, Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    PATCH  "/platform/automation/v1/workflows/{workflow}"   => WorkflowUpdate, Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    POST   "/platform/automation/v1/workflows/{workflow}/duplicate" => WorkflowUpdate, Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    DELETE "/platform/automation/v1/workflows/{workflow}"   => WorkflowDelete, Platform, Nothing, pass query, "brings nothing in";
    POST   "/platform/automation/v1/workflows/{workflow}/run" => WorkflowRun, Platform, Opaque, pass, "runs what is there already";

    // Managed clusters.
    GET    "/api/cluster/v1/tokens"         => ClusterTokenList,   ClusterV1, Nothing,   pass query, "reads metadata only";
    POST   "/api/cluster/v1/tokens"         => ClusterTokenCreate, ClusterV1, Token(V1), judge, "mints a cluster token";
    POST   "/api/cluster/v1/tokens/lookup"  => ClusterTokenLookup, ClusterV1, Opaque,    pass,  "reads metadata only; its body is a secret";
    GET    "/api/cluster/v1/tokens/{id}"    => ClusterTokenRead,   ClusterV1, Nothing,   pass query, "reads metadata only";
    PUT    "/api/cluster/v1/tokens/{id}"    => ClusterTokenUpdate, ClusterV1, Token(V1), judge, "renames, widens, revokes or revives a cluster token";
    DELETE "/api/cluster/v1/tokens/{id}"    => ClusterTokenDelete, ClusterV1, Nothing,   judge, "removes a cluster token for good";
    GET    "/api/cluster/v2/tokens"         => ClusterTokenList,   ClusterV2, Nothing,   pass query, "reads metadata only";
    POST   "/api/cluster/v2/tokens"         => ClusterTokenCreate, ClusterV2, Token(V1), judge, "mints a cluster token";
    POST   "/api/cluster/v2/tokens/lookup"  => ClusterTokenLookup, ClusterV2, Opaque,    pass,  "reads metadata only; its body is a secret";
    GET    "/api/cluster/v2/tokens/{id}"    => ClusterTokenRead,   ClusterV2, Nothing,   pass query, "reads metadata only";
    PUT    "/api/cluster/v2/tokens/{id}"    => ClusterTokenUpdate, ClusterV2, Token(V1), judge, "renames, widens, revokes or revives a cluster token";
    DELETE "/api/cluster/v2/tokens/{id}"    => ClusterTokenDelete, ClusterV2, Nothing,   judge, "removes a cluster token for good";
    GET    "/api/cluster/v2/activeGateTokens"      => ActiveGateTokenList,   ClusterV2, Nothing,   pass query, "reads metadata only";
    POST   "/api/cluster/v2/activeGateTokens"      => ActiveGateTokenCreate, ClusterV2, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/api/cluster/v2/activeGateTokens/{id}" => ActiveGateTokenRead,   ClusterV2, Nothing,   pass query, "reads metadata only";
    DELETE "/api/cluster/v2/activeGateTokens/{id}" => ActiveGateTokenDelete, ClusterV2, Nothing,   judge, "cuts off the ActiveGates that use the token";
    POST   "/api/cluster/v2/environments/{environment}/tokenManagementToken" => TokenManagementTokenCreate, ClusterV2, Named(V1), judge, "mints a token that mints tokens";
    POST   "/api/cluster/v2/environments"               [createToken] => TokenManagementTokenCreate, ClusterV2, Object, judge query, "with createToken it mints a token that mints tokens";
    PUT    "/api/cluster/v2/environments/{environment}" [createToken] => TokenManagementTokenCreate, ClusterV2, Object, judge query, "with createToken it mints a token that mints tokens";

    // What nobody can judge here.
    any    "/iam/{*}"  => AccountApiCall,  Account,  Opaque, refuse, "accounts, groups, policies and platform tokens: belongs to the account's own host, and widens what tokens may do";
    any    "/rest/{*}" => InternalApiCall, Internal, Opaque, refuse, "the web UI's internal API: undocumented, so nobody can say what it changes";
}
