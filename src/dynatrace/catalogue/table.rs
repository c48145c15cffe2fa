//! The rows. Sources: Dynatrace's documentation of the Environment, Configuration and Cluster APIs, its reference of
//! the platform services (October 2026), and its published clients.
//!
//! `row method path => operation, api, content, how "why"`; what stands in brackets narrows it:
//! `[createToken]` to requests with that query parameter, `[schemas]` to settings that govern credentials.
//! `query` behind it says that query parameters mean something there. The method `any` is every one, `write` every
//! one but GET, HEAD and OPTIONS.

mod below;
mod cluster;
mod credentials;
mod harmless;
mod platform;

use std::sync::LazyLock;

use super::Endpoint;

/// Every endpoint that the gate knows, and what lies below those that it guards.
pub static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
    let parts = [
        credentials::ROWS,
        platform::ROWS,
        cluster::ROWS,
        harmless::ROWS,
    ];
    let mut rows: Vec<Endpoint> = parts.into_iter().flatten().cloned().collect();
    for row in below::rows() {
        // Some resources say themselves what all reads below them are.
        let same = |known: &Endpoint| known.method == row.method && known.path == row.path;
        if !rows.iter().any(same) {
            rows.push(row);
        }
    }
    rows
});

/// One line of the table becomes one [`Endpoint`].
macro_rules! endpoints {
    ($($method:ident $path:literal $([$only:ident])? => $operation:ident, $api:ident, $content:expr, $how:ident $($query:ident)?, $why:literal;)*) => {
        pub(super) const ROWS: &[$crate::dynatrace::catalogue::Endpoint] = &[$($crate::dynatrace::catalogue::Endpoint {
            operation: $crate::dynatrace::catalogue::Operation::$operation,
            api: $crate::dynatrace::catalogue::Api::$api,
            method: endpoints!(@method $method),
            path: $path,
            handling: endpoints!(@how $how),
            content: $content,
            only: endpoints!(@only $($only)?),
            query: endpoints!(@query $($query)?),
            why: $why,
        }),*];
    };
    (@method any) => { $crate::dynatrace::catalogue::ANY };
    (@method write) => { $crate::dynatrace::catalogue::WRITE };
    (@method $method:ident) => { stringify!($method) };
    (@how judge) => { $crate::dynatrace::catalogue::Handling::Judge };
    (@how pass) => { $crate::dynatrace::catalogue::Handling::Pass };
    (@how refuse) => { $crate::dynatrace::catalogue::Handling::Refuse };
    (@only) => { $crate::dynatrace::catalogue::Only::Always };
    (@only createToken) => { $crate::dynatrace::catalogue::Only::Query("createtoken") };
    (@only schemas) => { $crate::dynatrace::catalogue::Only::Schemas };
    (@query) => { false };
    (@query query) => { true };
}
use endpoints;

/// The names of the operations, as policies, records, metrics and the configuration have them.
macro_rules! operations {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// What a request does; the first word of every policy's input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $($variant),* }

        impl Operation {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

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
    ActiveGateTokenUnknown = "activegate_token.unknown",
    AgentConnectionTokenRead = "agent_connection_token.read",
    AgentConnectionTokenUnknown = "agent_connection_token.unknown",
    AppDelete = "app.delete",
    AppFunctionCall = "app_function.call",
    AppInstall = "app.install",
    AppRead = "app.read",
    AppSettingsCall = "app_settings.call",
    AppUnknown = "app.unknown",
    AutomationCall = "automation.call",
    BucketUpdate = "bucket.update",
    ClusterEnvironmentDelete = "cluster_environment.delete",
    ClusterEnvironmentRead = "cluster_environment.read",
    ClusterGroupUpdate = "cluster_group.update",
    ClusterTokenCreate = "cluster_token.create",
    ClusterTokenDelete = "cluster_token.delete",
    ClusterTokenList = "cluster_token.list",
    ClusterTokenLookup = "cluster_token.lookup",
    ClusterTokenRead = "cluster_token.read",
    ClusterTokenUnknown = "cluster_token.unknown",
    ClusterTokenUpdate = "cluster_token.update",
    ClusterUserDelete = "cluster_user.delete",
    ClusterUserRead = "cluster_user.read",
    ClusterUserUnknown = "cluster_user.unknown",
    ClusterUserUpdate = "cluster_user.update",
    ConnectionInfoRead = "connection_info.read",
    ConnectionInfoUnknown = "connection_info.unknown",
    DashboardSharingRead = "dashboard_sharing.read",
    DashboardSharingUnknown = "dashboard_sharing.unknown",
    DashboardSharingUpdate = "dashboard_sharing.update",
    DavisCall = "davis.call",
    DeploymentRead = "deployment.read",
    DocumentCall = "document.call",
    EdgeConnectCreate = "edge_connect.create",
    EdgeConnectDelete = "edge_connect.delete",
    EdgeConnectRead = "edge_connect.read",
    EdgeConnectRotate = "edge_connect.rotate",
    EdgeConnectUnknown = "edge_connect.unknown",
    EdgeConnectUpdate = "edge_connect.update",
    ExtensionCall = "extension.call",
    FunctionExecute = "function.execute",
    HubCall = "hub.call",
    IamRead = "iam.read",
    IngestCall = "ingest.call",
    InstallerDownload = "installer.download",
    InstallerUnknown = "installer.unknown",
    InternalApiCall = "internal_api.call",
    McpCall = "mcp.call",
    NotificationCall = "notification.call",
    OpenPipelineCall = "openpipeline.call",
    PermissionResolve = "permission.resolve",
    PublicShareCreate = "public_share.create",
    PublicShareDelete = "public_share.delete",
    PublicSharePasscode = "public_share.passcode",
    PublicShareRead = "public_share.read",
    PublicShareUnknown = "public_share.unknown",
    PublicShareUpdate = "public_share.update",
    QueryCall = "query.call",
    RemoteEnvironmentUpdate = "remote_environment.update",
    ReportSharingUnknown = "report_sharing.unknown",
    ReportSharingUpdate = "report_sharing.update",
    SegmentCall = "segment.call",
    SettingsRead = "settings.read",
    SettingsUnknown = "settings.unknown",
    SettingsValidate = "settings.validate",
    SloCall = "slo.call",
    TenantTokenRotationCancel = "tenant_token_rotation.cancel",
    TenantTokenRotationFinish = "tenant_token_rotation.finish",
    TenantTokenRotationStart = "tenant_token_rotation.start",
    TenantTokenRotationUnknown = "tenant_token_rotation.unknown",
    TokenCreate = "token.create",
    TokenDelete = "token.delete",
    TokenEnforcementRead = "token_enforcement.read",
    TokenList = "token.list",
    TokenLookup = "token.lookup",
    TokenManagementTokenCreate = "token_management_token.create",
    TokenManagementTokenUnknown = "token_management_token.unknown",
    TokenRead = "token.read",
    TokenSettingsUpdate = "token_settings.update",
    TokenUnknown = "token.unknown",
    TokenUpdate = "token.update",
    UnknownRead = "unknown.read",
    VaultCredentialDelete = "vault_credential.delete",
    VaultCredentialDetails = "vault_credential.details",
    VaultCredentialRead = "vault_credential.read",
    VaultCredentialUnknown = "vault_credential.unknown",
    VaultCredentialUpdate = "vault_credential.update",
    WorkflowDelete = "workflow.delete",
    WorkflowRead = "workflow.read",
    WorkflowRun = "workflow.run",
    WorkflowUnknown = "workflow.unknown",
    WorkflowUpdate = "workflow.update",
}
