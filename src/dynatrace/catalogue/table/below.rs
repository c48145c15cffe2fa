//! What lies below guarded resources and is on no row of its own: `:verbs`, and whatever Dynatrace adds next.
//!
//! A write there is refused. A read is recorded and judged like any other; where the resource's own reads show a
//! secret, it is refused.

use crate::dynatrace::catalogue::{Api, Content, Endpoint, Handling, Only, Operation, WRITE};

/// What the reads of a resource show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Metadata,
    Secrets,
}

/// One line of the list.
macro_rules! resources {
    ($($path:literal => $operation:ident, $api:ident, $reads:ident;)*) => {
        const RESOURCES: &[(&str, Operation, Api, Reads)] = &[$(
            ($path, Operation::$operation, Api::$api, Reads::$reads)
        ),*];
    };
}

resources! {
    "/api/v1/tokens/{*}"                                                  => TokenUnknown,                V1,        Metadata;
    "/api/v2/apiTokens/{*}"                                               => TokenUnknown,                V2,        Metadata;
    "/api/v2/activeGateTokens/{*}"                                        => ActiveGateTokenUnknown,      V2,        Metadata;
    "/api/cluster/v2/activeGateTokens/{*}"                                => ActiveGateTokenUnknown,      ClusterV2, Metadata;
    "/platform/fleet-management/v1/activegate/tokens/{*}"                 => ActiveGateTokenUnknown,      Platform,  Metadata;
    "/v1/activegate/tokens/{*}"                                           => ActiveGateTokenUnknown,      Platform,  Metadata;
    "/api/v2/agentConnectionToken/{*}"                                    => AgentConnectionTokenUnknown, V2,        Secrets;
    "/platform/fleet-management/v1/oneagent/tokens/{*}"                   => AgentConnectionTokenUnknown, Platform,  Secrets;
    "/platform/fleet-management/v1/activegate/connection-info/{*}"        => ConnectionInfoUnknown,       Platform,  Secrets;
    "/platform/fleet-management/v1/oneagent/connection-info/{*}"          => ConnectionInfoUnknown,       Platform,  Secrets;
    "/v1/activegate/connection-info/{*}"                                  => ConnectionInfoUnknown,       Platform,  Secrets;
    "/v1/oneagent/tokens/{*}"                                             => AgentConnectionTokenUnknown, Platform,  Secrets;
    "/v1/oneagent/connection-info/{*}"                                    => ConnectionInfoUnknown,       Platform,  Secrets;
    "/api/v1/deployment/{*}"                                              => InstallerUnknown,            V1,        Secrets;
    "/platform/fleet-management/v1/activegate/installer/{*}"              => InstallerUnknown,            Platform,  Secrets;
    "/platform/fleet-management/v1/oneagent/installer/{*}"                => InstallerUnknown,            Platform,  Secrets;
    "/v1/activegate/installer/{*}"                                        => InstallerUnknown,            Platform,  Secrets;
    "/v1/oneagent/installer/{*}"                                          => InstallerUnknown,            Platform,  Secrets;
    "/api/v2/tenantTokenRotation/{*}"                                     => TenantTokenRotationUnknown,  V2,        Secrets;
    "/api/config/v1/dashboards/{dashboard}/shareSettings/{*}"             => DashboardSharingUnknown,     ConfigV1,  Secrets;
    "/api/config/v1/reports/{report}/subscribe/{*}"                       => ReportSharingUnknown,        ConfigV1,  Metadata;
    "/platform/public-access/v1/{*}"                                      => PublicShareUnknown,          Platform,  Secrets;
    "/v1/shares/{*}"                                                      => PublicShareUnknown,          Platform,  Secrets;
    "/v1/admin/shares/{*}"                                                => PublicShareUnknown,          Platform,  Secrets;
    "/api/v2/settings/objects/{*}"                                        => SettingsUnknown,             V2,        Metadata;
    "/platform/settings/v1/objects/{*}"                                   => SettingsUnknown,             Platform,  Metadata;
    "/api/v2/credentials/{*}"                                             => VaultCredentialUnknown,      V2,        Secrets;
    "/api/config/v1/credentials/{*}"                                      => VaultCredentialUnknown,      ConfigV1,  Secrets;
    "/platform/credential-vault/v1/entries/{*}"                           => VaultCredentialUnknown,      Platform,  Secrets;
    "/platform/app-engine/edge-connect/v1/edge-connects/{*}"              => EdgeConnectUnknown,          Platform,  Metadata;
    "/v1/edge-connects/{*}"                                               => EdgeConnectUnknown,          Platform,  Metadata;
    "/platform/app-engine/registry/v1/apps/{*}"                           => AppUnknown,                  Platform,  Metadata;
    "/registry/v1/apps/{*}"                                               => AppUnknown,                  Platform,  Metadata;
    "/platform/automation/v1/workflows/{*}"                               => WorkflowUnknown,             Platform,  Metadata;
    "/platform/automation/v1/trash/workflows/{*}"                         => WorkflowUnknown,             Platform,  Metadata;
    "/api/cluster/v1/tokens/{*}"                                          => ClusterTokenUnknown,         ClusterV1, Metadata;
    "/api/cluster/v2/tokens/{*}"                                          => ClusterTokenUnknown,         ClusterV2, Metadata;
    "/api/cluster/v2/environments/{environment}/tokenManagementToken/{*}" => TokenManagementTokenUnknown, ClusterV2, Secrets;
    "/api/cluster/v1/environments/{*}"                                    => TokenManagementTokenUnknown, ClusterV1, Metadata;
    "/api/cluster/v2/environments/{*}"                                    => TokenManagementTokenUnknown, ClusterV2, Metadata;
    "/api/v1.0/onpremise/users/{*}"                                       => ClusterUserUnknown,          ClusterV1, Metadata;
    "/api/v1.0/onpremise/groups/{*}"                                      => ClusterUserUnknown,          ClusterV1, Metadata;
}

/// Two rows a resource: what reads below it, and what writes.
pub(super) fn rows() -> impl Iterator<Item = Endpoint> {
    RESOURCES.iter().flat_map(|(path, operation, api, reads)| {
        let write = Endpoint {
            operation: *operation,
            api: *api,
            method: WRITE,
            path,
            handling: Handling::Refuse,
            content: Content::Opaque,
            only: Only::Always,
            query: true,
            why: WRITES,
        };
        let read = match reads {
            Reads::Metadata => Endpoint {
                operation: Operation::UnknownRead,
                method: "GET",
                handling: Handling::Judge,
                content: Content::Nothing,
                why: "an unknown read below a guarded resource, whose own reads show no secret",
                ..write
            },
            Reads::Secrets => Endpoint {
                method: "GET",
                content: Content::Nothing,
                why: READS,
                ..write
            },
        };
        [read, write]
    })
}

const WRITES: &str = "dtgate does not know this path, and guards what lies above it; if it may pass, set this operation to \"pass\" in the section [endpoints] of the configuration";

const READS: &str = "dtgate does not know this path, and what lies above it shows secrets; if it may pass, set this operation to \"pass\" in the section [endpoints] of the configuration";
