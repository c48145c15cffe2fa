//! Tokens of an environment, what has them inside, links without login, settings that govern them, stored secrets.

use crate::dynatrace::catalogue::Content::{Named, Nothing, Object, Opaque, Settings, Token};
use crate::dynatrace::catalogue::Words::{V1, V2};

use super::endpoints;

endpoints! {
    // Access tokens. v1 is deprecated, and lives.
    GET    "/api/v1/tokens"           => TokenList,   V1, Nothing, pass query, "reads metadata only";
    POST   "/api/v1/tokens"           => TokenCreate, V1, Token(V1), judge, "mints a token";
    POST   "/api/v1/tokens/lookup"    => TokenLookup, V1, Opaque, pass, "reads metadata only; its body is a secret";
    GET    "/api/v1/tokens/{id}"      => TokenRead,   V1, Nothing, pass query, "reads metadata only";
    PUT    "/api/v1/tokens/{id}"      => TokenUpdate, V1, Token(V1), judge, "renames, widens, revokes or revives a token";
    DELETE "/api/v1/tokens/{id}"      => TokenDelete, V1, Nothing, judge, "removes a token for good";
    GET    "/api/v2/apiTokens"        => TokenList,   V2, Nothing, pass query, "reads metadata only";
    POST   "/api/v2/apiTokens"        => TokenCreate, V2, Token(V2), judge, "mints a token";
    POST   "/api/v2/apiTokens/lookup" => TokenLookup, V2, Opaque, pass, "reads metadata only; Monaco needs it, and its body is a secret";
    GET    "/api/v2/apiTokens/{id}"   => TokenRead,   V2, Nothing, pass query, "reads metadata only";
    PUT    "/api/v2/apiTokens/{id}"   => TokenUpdate, V2, Token(V2), judge, "renames, widens, disables or enables a token";
    DELETE "/api/v2/apiTokens/{id}"   => TokenDelete, V2, Nothing, judge, "removes a token for good";

    // ActiveGate tokens.
    GET    "/api/v2/activeGateTokens"                                 => ActiveGateTokenList,   V2, Nothing, pass query, "reads metadata only";
    POST   "/api/v2/activeGateTokens"                                 => ActiveGateTokenCreate, V2, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/api/v2/activeGateTokens/{id}"                            => ActiveGateTokenRead,   V2, Nothing, pass query, "reads metadata only";
    DELETE "/api/v2/activeGateTokens/{id}"                            => ActiveGateTokenDelete, V2, Nothing, judge, "cuts off the ActiveGates that use the token";
    GET    "/api/v2/activeGates/tokenEnforcement"                     => TokenEnforcementRead,  V2, Nothing, pass query, "reads a status only";
    GET    "/platform/fleet-management/v1/activegate/tokens"          => ActiveGateTokenList,   Platform, Nothing, pass query, "reads metadata only";
    POST   "/platform/fleet-management/v1/activegate/tokens"          => ActiveGateTokenCreate, Platform, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/platform/fleet-management/v1/activegate/tokens/{id}"     => ActiveGateTokenRead,   Platform, Nothing, pass query, "reads metadata only";
    DELETE "/platform/fleet-management/v1/activegate/tokens/{id}"     => ActiveGateTokenDelete, Platform, Nothing, judge, "cuts off the ActiveGates that use the token";
    GET    "/platform/fleet-management/v1/activegate/connection-info" => ConnectionInfoRead,    Platform, Nothing, judge query, "discloses the tenant token";
    // Their paths are a guess from the scope fleet-management:oneagent.tokens:read.
    GET    "/platform/fleet-management/v1/oneagent/tokens"          => AgentConnectionTokenRead, Platform, Nothing, judge query, "discloses the token that connects OneAgents";
    GET    "/platform/fleet-management/v1/oneagent/connection-info" => ConnectionInfoRead,       Platform, Nothing, judge query, "discloses the tenant token";
    // The documentation prints the same without its prefix.
    GET    "/v1/activegate/tokens"          => ActiveGateTokenList,   Platform, Nothing, pass query, "reads metadata only";
    POST   "/v1/activegate/tokens"          => ActiveGateTokenCreate, Platform, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/v1/activegate/tokens/{id}"     => ActiveGateTokenRead,   Platform, Nothing, pass query, "reads metadata only";
    DELETE "/v1/activegate/tokens/{id}"     => ActiveGateTokenDelete, Platform, Nothing, judge, "cuts off the ActiveGates that use the token";
    GET    "/v1/activegate/connection-info" => ConnectionInfoRead,    Platform, Nothing, judge query, "discloses the tenant token";
    GET    "/v1/oneagent/tokens"            => AgentConnectionTokenRead, Platform, Nothing, judge query, "discloses the token that connects OneAgents";
    GET    "/v1/oneagent/connection-info"   => ConnectionInfoRead,    Platform, Nothing, judge query, "discloses the tenant token";

    // The environment's own token, and OneAgents'.
    POST   "/api/v2/tenantTokenRotation/start"                      => TenantTokenRotationStart,  V2, Nothing, judge, "mints and discloses a tenant token";
    POST   "/api/v2/tenantTokenRotation/finish"                     => TenantTokenRotationFinish, V2, Nothing, judge, "ends the old tenant token, and discloses both";
    POST   "/api/v2/tenantTokenRotation/cancel"                     => TenantTokenRotationCancel, V2, Nothing, judge, "ends the new tenant token, and discloses both";
    GET    "/api/v2/agentConnectionToken"                           => AgentConnectionTokenRead,  V2, Nothing, judge query, "discloses the token that connects OneAgents";
    GET    "/api/v1/deployment/installer/agent/connectioninfo"      => ConnectionInfoRead,        V1, Nothing, judge query, "discloses the tenant token; Terraform and OneAgent deployments need it";
    GET    "/api/v1/deployment/installer/gateway/connectioninfo"    => ConnectionInfoRead,        V1, Nothing, judge query, "discloses the tenant token";
    GET    "/api/v1/deployment/installer/{*}"                       => InstallerDownload,         V1, Nothing, judge query, "an installer has the tenant token inside";
    GET    "/api/v1/deployment/boshrelease/{*}"                     => InstallerDownload,         V1, Nothing, judge query, "a BOSH release has the tenant token inside, unless skipMetadata is set";
    GET    "/api/v1/deployment/orchestration/{*}"                   => InstallerDownload,         V1, Nothing, judge query, "a tarball for orchestration may have connection data inside";
    GET    "/api/v1/deployment/image/{*}"                           => DeploymentRead,            V1, Nothing, pass query, "names container images; the operator needs it";
    GET    "/api/v1/deployment/lambda/{*}"                          => DeploymentRead,            V1, Nothing, pass query, "names layers for AWS Lambda; Terraform needs it";
    GET    "/platform/fleet-management/v1/activegate/installer/{*}" => InstallerDownload,         Platform, Nothing, judge query, "an installer has the tenant token inside";
    GET    "/platform/fleet-management/v1/oneagent/installer/{*}"   => InstallerDownload,         Platform, Nothing, judge query, "an installer has the tenant token inside";
    GET    "/v1/activegate/installer/{*}"                           => InstallerDownload,         Platform, Nothing, judge query, "an installer has the tenant token inside";
    GET    "/v1/oneagent/installer/{*}"                             => InstallerDownload,         Platform, Nothing, judge query, "an installer has the tenant token inside";

    // Tokens of links that need no login.
    GET    "/api/config/v1/dashboards/{dashboard}/shareSettings" => DashboardSharingRead,   ConfigV1, Nothing, judge query, "discloses links that need no login";
    PUT    "/api/config/v1/dashboards/{dashboard}/shareSettings" => DashboardSharingUpdate, ConfigV1, Object, judge, "can make links that need no login";
    POST   "/api/config/v1/reports/{report}/subscribe"           => ReportSharingUpdate,    ConfigV1, Object, judge, "makes tokens that show a report";
    // Links to dashboards that need no login: Dynatrace's public access. The documentation prints them without prefix.
    GET    "/platform/public-access/v1/shares"                            => PublicShareRead,     Platform, Nothing, judge query, "discloses links that need no login";
    POST   "/platform/public-access/v1/shares"                            => PublicShareCreate,   Platform, Object, judge query, "makes a link that needs no login";
    GET    "/platform/public-access/v1/shares/{share}"                    => PublicShareRead,     Platform, Nothing, judge query, "discloses a link that needs no login";
    PUT    "/platform/public-access/v1/shares/{share}"                    => PublicShareUpdate,   Platform, Object, judge query, "widens what a link without login shows, or to whom";
    DELETE "/platform/public-access/v1/shares/{share}"                    => PublicShareDelete,   Platform, Nothing, judge query, "removes a link without login";
    POST   "/platform/public-access/v1/shares/{share}/passcode"           => PublicSharePasscode, Platform, Nothing, judge query, "makes and discloses the passcode of a link";
    PUT    "/platform/public-access/v1/shares/{share}/ip-allowlist"       => PublicShareUpdate,   Platform, Object, judge query, "can open a link to every address";
    GET    "/platform/public-access/v1/admin/shares"                      => PublicShareRead,     Platform, Nothing, judge query, "discloses links that need no login";
    GET    "/platform/public-access/v1/admin/shares/{share}"              => PublicShareRead,     Platform, Nothing, judge query, "discloses a link that needs no login";
    PUT    "/platform/public-access/v1/admin/shares/{share}"              => PublicShareUpdate,   Platform, Object, judge query, "widens what a link without login shows, or to whom";
    DELETE "/platform/public-access/v1/admin/shares/{share}"              => PublicShareDelete,   Platform, Nothing, judge query, "removes a link without login";
    POST   "/platform/public-access/v1/admin/shares/{share}/passcode"     => PublicSharePasscode, Platform, Nothing, judge query, "makes and discloses the passcode of a link";
    PUT    "/platform/public-access/v1/admin/shares/{share}/ip-allowlist" => PublicShareUpdate,   Platform, Object, judge query, "can open a link to every address";
    GET    "/v1/shares"                                                   => PublicShareRead,     Platform, Nothing, judge query, "discloses links that need no login";
    POST   "/v1/shares"                                                   => PublicShareCreate,   Platform, Object, judge query, "makes a link that needs no login";
    GET    "/v1/shares/{share}"                                           => PublicShareRead,     Platform, Nothing, judge query, "discloses a link that needs no login";
    PUT    "/v1/shares/{share}"                                           => PublicShareUpdate,   Platform, Object, judge query, "widens what a link without login shows, or to whom";
    DELETE "/v1/shares/{share}"                                           => PublicShareDelete,   Platform, Nothing, judge query, "removes a link without login";
    POST   "/v1/shares/{share}/passcode"                                  => PublicSharePasscode, Platform, Nothing, judge query, "makes and discloses the passcode of a link";
    PUT    "/v1/shares/{share}/ip-allowlist"                              => PublicShareUpdate,   Platform, Object, judge query, "can open a link to every address";
    GET    "/v1/admin/shares"                                             => PublicShareRead,     Platform, Nothing, judge query, "discloses links that need no login";
    GET    "/v1/admin/shares/{share}"                                     => PublicShareRead,     Platform, Nothing, judge query, "discloses a link that needs no login";
    PUT    "/v1/admin/shares/{share}"                                     => PublicShareUpdate,   Platform, Object, judge query, "widens what a link without login shows, or to whom";
    DELETE "/v1/admin/shares/{share}"                                     => PublicShareDelete,   Platform, Nothing, judge query, "removes a link without login";
    POST   "/v1/admin/shares/{share}/passcode"                            => PublicSharePasscode, Platform, Nothing, judge query, "makes and discloses the passcode of a link";
    PUT    "/v1/admin/shares/{share}/ip-allowlist"                        => PublicShareUpdate,   Platform, Object, judge query, "can open a link to every address";

    // Settings by which tokens come to life, or are needed no more, by which dashboards are shared without login, and
    // by which Dynatrace's own audit log is kept. The two APIs write the same objects.
    POST   "/api/v2/settings/objects" [schemas]                                            => TokenSettingsUpdate, V2, Settings, judge query, "can revive every personal access token at once, make ActiveGate tokens needless, share dashboards without login, or switch the audit log off";
    PUT    "/api/v2/settings/objects/{object}" [schemas]                                   => TokenSettingsUpdate, V2, Settings, judge query, "can revive every personal access token at once, make ActiveGate tokens needless, share dashboards without login, or switch the audit log off";
    DELETE "/api/v2/settings/objects/{object}" [schemas]                                   => TokenSettingsUpdate, V2, Nothing, judge query, "puts such settings back to their default";
    POST   "/api/v2/settings/objects/{object}/permissions" [schemas]                       => TokenSettingsUpdate, V2, Settings, judge query, "lets others change such settings";
    PUT    "/api/v2/settings/objects/{object}/permissions/all-users" [schemas]             => TokenSettingsUpdate, V2, Settings, judge query, "lets others change such settings";
    DELETE "/api/v2/settings/objects/{object}/permissions/all-users" [schemas]             => TokenSettingsUpdate, V2, Nothing, judge query, "takes from others what they may do with such settings";
    PUT    "/api/v2/settings/objects/{object}/permissions/user/{accessor}" [schemas]       => TokenSettingsUpdate, V2, Settings, judge query, "lets others change such settings";
    PUT    "/api/v2/settings/objects/{object}/permissions/group/{accessor}" [schemas]      => TokenSettingsUpdate, V2, Settings, judge query, "lets others change such settings";
    DELETE "/api/v2/settings/objects/{object}/permissions/user/{accessor}" [schemas]       => TokenSettingsUpdate, V2, Nothing, judge query, "takes from others what they may do with such settings";
    DELETE "/api/v2/settings/objects/{object}/permissions/group/{accessor}" [schemas]      => TokenSettingsUpdate, V2, Nothing, judge query, "takes from others what they may do with such settings";
    POST   "/api/v2/settings/objects/{object}:transfer-ownership" [schemas]                => TokenSettingsUpdate, V2, Settings, judge query, "lets others change such settings";
    GET    "/api/v2/settings/objects"                                                      => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}"                                             => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}/permissions"                                 => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}/permissions/all-users"                       => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}/permissions/user/{accessor}"                 => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}/permissions/group/{accessor}"                => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/api/v2/settings/objects/{object}/history"                                     => SettingsRead,        V2, Nothing, pass query, "reads settings; secrets in them are masked";
    POST   "/platform/settings/v1/objects" [schemas]                                       => TokenSettingsUpdate, Platform, Settings, judge query, "can revive every personal access token at once, make ActiveGate tokens needless, share dashboards without login, or switch the audit log off";
    PUT    "/platform/settings/v1/objects/{object}" [schemas]                              => TokenSettingsUpdate, Platform, Settings, judge query, "can revive every personal access token at once, make ActiveGate tokens needless, share dashboards without login, or switch the audit log off";
    PATCH  "/platform/settings/v1/objects/{object}" [schemas]                              => TokenSettingsUpdate, Platform, Settings, judge query, "can revive every personal access token at once, make ActiveGate tokens needless, share dashboards without login, or switch the audit log off";
    DELETE "/platform/settings/v1/objects/{object}" [schemas]                              => TokenSettingsUpdate, Platform, Nothing, judge query, "puts such settings back to their default";
    POST   "/platform/settings/v1/objects/{object}/permissions" [schemas]                  => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    PUT    "/platform/settings/v1/objects/{object}/permissions/all-users" [schemas]        => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    DELETE "/platform/settings/v1/objects/{object}/permissions/all-users" [schemas]        => TokenSettingsUpdate, Platform, Nothing, judge query, "takes from others what they may do with such settings";
    PUT    "/platform/settings/v1/objects/{object}/permissions/user/{accessor}" [schemas]  => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    PUT    "/platform/settings/v1/objects/{object}/permissions/group/{accessor}" [schemas] => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    DELETE "/platform/settings/v1/objects/{object}/permissions/user/{accessor}" [schemas]  => TokenSettingsUpdate, Platform, Nothing, judge query, "takes from others what they may do with such settings";
    DELETE "/platform/settings/v1/objects/{object}/permissions/group/{accessor}" [schemas] => TokenSettingsUpdate, Platform, Nothing, judge query, "takes from others what they may do with such settings";
    POST   "/platform/settings/v1/objects/{object}:transfer-ownership" [schemas]           => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    POST   "/platform/settings/v1/objects/{object}:change-owner" [schemas]                 => TokenSettingsUpdate, Platform, Settings, judge query, "lets others change such settings";
    POST   "/platform/settings/v1/objects:reorder" [schemas]                               => TokenSettingsUpdate, Platform, Settings, judge query, "changes which of such settings are in force";
    GET    "/platform/settings/v1/objects"                                                 => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}"                                        => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}/permissions"                            => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}/permissions/all-users"                  => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}/permissions/user/{accessor}"            => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}/permissions/group/{accessor}"           => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";
    GET    "/platform/settings/v1/objects/{object}/history"                                => SettingsRead,        Platform, Nothing, pass query, "reads settings; secrets in them are masked";

    // Places where secrets are kept. They make no Dynatrace token; what is stored, only its details give back.
    GET    "/api/v2/credentials"                             => VaultCredentialRead,     V2, Nothing, pass query, "reads metadata only";
    POST   "/api/v2/credentials"                             => VaultCredentialUpdate,   V2, Opaque, pass, "stores the caller's own secret; mints nothing";
    GET    "/api/v2/credentials/details"                     => VaultCredentialDetails,  V2, Nothing, judge query, "discloses stored passwords and tokens";
    GET    "/api/v2/credentials/{credential}"                => VaultCredentialRead,     V2, Nothing, pass query, "reads metadata only";
    PUT    "/api/v2/credentials/{credential}"                => VaultCredentialUpdate,   V2, Opaque, pass, "stores the caller's own secret; mints nothing";
    DELETE "/api/v2/credentials/{credential}"                => VaultCredentialDelete,   V2, Nothing, pass query, "removes a stored secret, of no Dynatrace token";
    GET    "/api/v2/credentials/{credential}/details"        => VaultCredentialDetails,  V2, Nothing, judge query, "discloses a stored password or token";
    GET    "/api/config/v1/credentials"                      => VaultCredentialRead,     ConfigV1, Nothing, pass query, "reads metadata only";
    POST   "/api/config/v1/credentials"                      => VaultCredentialUpdate,   ConfigV1, Opaque, pass, "stores the caller's own secret; mints nothing";
    GET    "/api/config/v1/credentials/{credential}"         => VaultCredentialRead,     ConfigV1, Nothing, pass query, "reads metadata only";
    PUT    "/api/config/v1/credentials/{credential}"         => VaultCredentialUpdate,   ConfigV1, Opaque, pass, "stores the caller's own secret; mints nothing";
    DELETE "/api/config/v1/credentials/{credential}"         => VaultCredentialDelete,   ConfigV1, Nothing, pass query, "removes a stored secret, of no Dynatrace token";
    GET    "/platform/credential-vault/v1/entries"           => VaultCredentialRead,     Platform, Nothing, pass query, "reads metadata only";
    POST   "/platform/credential-vault/v1/entries"           => VaultCredentialUpdate,   Platform, Opaque, pass, "stores the caller's own secret; mints nothing";
    GET    "/platform/credential-vault/v1/entries/{entry}"   => VaultCredentialRead,     Platform, Nothing, pass query, "reads metadata only";
    PUT    "/platform/credential-vault/v1/entries/{entry}"   => VaultCredentialUpdate,   Platform, Opaque, pass, "stores the caller's own secret; mints nothing";
    DELETE "/platform/credential-vault/v1/entries/{entry}"   => VaultCredentialDelete,   Platform, Nothing, pass query, "removes a stored secret, of no Dynatrace token";
    POST   "/api/config/v1/remoteEnvironments"               => RemoteEnvironmentUpdate, ConfigV1, Opaque, pass, "stores a token of another environment; mints nothing";
    PUT    "/api/config/v1/remoteEnvironments/{environment}" => RemoteEnvironmentUpdate, ConfigV1, Opaque, pass, "stores a token of another environment; mints nothing";
}
