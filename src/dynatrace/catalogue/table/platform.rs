//! Services of the platform that mint credentials or run code, and what nobody can judge.

use crate::dynatrace::catalogue::Content::{Nothing, Object, Opaque};

use super::endpoints;

endpoints! {
    // EdgeConnect.
    GET    "/platform/app-engine/edge-connect/v1/edge-connects"                           => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    POST   "/platform/app-engine/edge-connect/v1/edge-connects"                           => EdgeConnectCreate, Platform, Object, judge, "mints an OAuth client and discloses its secret";
    GET    "/platform/app-engine/edge-connect/v1/edge-connects/{edge}"                    => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    PUT    "/platform/app-engine/edge-connect/v1/edge-connects/{edge}"                    => EdgeConnectUpdate, Platform, Object, judge query, "can widen what an EdgeConnect reaches";
    PATCH  "/platform/app-engine/edge-connect/v1/edge-connects/{edge}"                    => EdgeConnectUpdate, Platform, Object, judge query, "can widen what an EdgeConnect reaches";
    DELETE "/platform/app-engine/edge-connect/v1/edge-connects/{edge}"                    => EdgeConnectDelete, Platform, Nothing, judge query, "removes an OAuth client";
    POST   "/platform/app-engine/edge-connect/v1/edge-connects/{edge}/oauthClient:rotate" => EdgeConnectRotate, Platform, Nothing, judge query, "mints a new secret for an OAuth client, and discloses it";
    // The documentation prints the same without its prefix.
    GET    "/v1/edge-connects"                           => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    POST   "/v1/edge-connects"                           => EdgeConnectCreate, Platform, Object, judge, "mints an OAuth client and discloses its secret";
    GET    "/v1/edge-connects/{edge}"                    => EdgeConnectRead,   Platform, Nothing, pass query, "reads metadata only";
    PUT    "/v1/edge-connects/{edge}"                    => EdgeConnectUpdate, Platform, Object, judge query, "can widen what an EdgeConnect reaches";
    PATCH  "/v1/edge-connects/{edge}"                    => EdgeConnectUpdate, Platform, Object, judge query, "can widen what an EdgeConnect reaches";
    DELETE "/v1/edge-connects/{edge}"                    => EdgeConnectDelete, Platform, Nothing, judge query, "removes an OAuth client";
    POST   "/v1/edge-connects/{edge}/oauthClient:rotate" => EdgeConnectRotate, Platform, Nothing, judge query, "mints a new secret for an OAuth client, and discloses it";

    // Code that runs inside Dynatrace, where it can mint tokens without crossing the gate.
    any    "/platform/app-engine/function-executor/{*}"                             => FunctionExecute, Platform, Opaque, refuse, "runs the caller's code inside Dynatrace, where it can mint tokens unseen";
    any    "/platform/app-engine/app-functions/{*}"                                 => AppFunctionCall, Platform, Opaque, refuse, "runs an app's code inside Dynatrace, where it can mint tokens unseen";
    POST   "/platform/app-engine/registry/v1/apps"                                  => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    POST   "/platform/app-engine/registry/v1/apps/{app}"                            => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    PUT    "/platform/app-engine/registry/v1/apps/{app}"                            => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    POST   "/platform/automation/v1/workflows"                                      => WorkflowUpdate,  Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    PUT    "/platform/automation/v1/workflows/{workflow}"                           => WorkflowUpdate,  Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    PATCH  "/platform/automation/v1/workflows/{workflow}"                           => WorkflowUpdate,  Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    POST   "/platform/automation/v1/workflows/{workflow}/duplicate"                 => WorkflowUpdate,  Platform, Object, refuse query, "a workflow's JavaScript runs inside Dynatrace, where it can mint tokens unseen";
    POST   "/platform/automation/v1/workflows/{workflow}/history/{version}/restore" => WorkflowUpdate,  Platform, Nothing, refuse query, "brings a workflow's old code back, which runs inside Dynatrace";
    POST   "/platform/automation/v1/trash/workflows/{workflow}/restore"             => WorkflowUpdate,  Platform, Nothing, refuse query, "brings a workflow's code back, which runs inside Dynatrace";
    DELETE "/platform/automation/v1/workflows/{workflow}"                           => WorkflowDelete,  Platform, Nothing, pass query, "brings nothing in";
    POST   "/platform/automation/v1/workflows/{workflow}/run"                       => WorkflowRun,     Platform, Opaque, pass, "runs what is there already";
    POST   "/platform/automation/v1/workflows/{workflow}/reset-throttles"           => WorkflowRun,     Platform, Opaque, pass, "runs what is there already";
    DELETE "/platform/automation/v1/trash/workflows/{workflow}"                     => WorkflowDelete,  Platform, Nothing, pass query, "brings nothing in";
    GET    "/platform/automation/v1/workflows"                                      => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}"                           => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}/actions"                   => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}/history"                   => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}/history/{version}"         => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}/tasks"                     => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/workflows/{workflow}/tasks/{task}"              => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/trash/workflows"                                => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    GET    "/platform/automation/v1/trash/workflows/{workflow}"                     => WorkflowRead,    Platform, Nothing, pass query, "reads what runs, and changes nothing";
    any    "/function-executor/v1/{*}"                                              => FunctionExecute, Platform, Opaque, refuse, "runs the caller's code inside Dynatrace, where it can mint tokens unseen";
    any    "/app-functions/v1/{*}"                                                  => AppFunctionCall, Platform, Opaque, refuse, "runs an app's code inside Dynatrace, where it can mint tokens unseen";
    DELETE "/platform/app-engine/registry/v1/apps/{app}"                            => AppDelete,       Platform, Nothing, pass query, "brings nothing in";
    GET    "/platform/app-engine/registry/v1/apps"                                  => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/platform/app-engine/registry/v1/apps/{app}"                            => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/platform/app-engine/registry/v1/apps/{app}/actions"                    => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/platform/app-engine/registry/v1/apps/{app}/actions/{action}"           => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/platform/app-engine/registry/v1/apps:search-actions"                   => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    POST   "/registry/v1/apps"                                                      => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    POST   "/registry/v1/apps/{app}"                                                => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    PUT    "/registry/v1/apps/{app}"                                                => AppInstall,      Platform, Opaque, refuse, "brings code into Dynatrace, where it can mint tokens unseen";
    DELETE "/registry/v1/apps/{app}"                                                => AppDelete,       Platform, Nothing, pass query, "brings nothing in";
    GET    "/registry/v1/apps"                                                      => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/registry/v1/apps/{app}"                                                => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/registry/v1/apps/{app}/actions"                                        => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/registry/v1/apps/{app}/actions/{action}"                               => AppRead,         Platform, Nothing, pass query, "reads what is installed";
    GET    "/registry/v1/apps:search-actions"                                       => AppRead,         Platform, Nothing, pass query, "reads what is installed";

    // What nobody can judge here.
    any    "/iam/{*}"                           => AccountApiCall,  Account, Opaque, refuse, "accounts, groups, policies and platform tokens: belongs to the account's own host, and widens what tokens may do";
    any    "/rest/{*}"                          => InternalApiCall, Internal, Opaque, refuse, "the web UI's internal API: undocumented, so nobody can say what it changes";
    write  "/platform/iam/{*}"                  => AccountApiCall,  Platform, Opaque, refuse, "as documented it is for reads only: a write would change users, groups or service users, and with them what tokens may do";
    GET    "/platform/iam/{*}" => UnknownRead, Platform, Nothing, judge query, "an unknown read among those of users and groups";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/users" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/users/{user}" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/groups" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/groups/{group}" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/service-users" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    GET    "/platform/iam/v1/organizational-levels/{level}/{instance}/service-users/{user}" => IamRead, Platform, Nothing, pass query, "names users, service users and groups, and shows no secret";
    any    "/platform-reserved/{*}"             => InternalApiCall, Internal, Opaque, refuse, "the platform's internal API: undocumented, so nobody can say what it changes";
    any    "/platform-reserved/mcp-gateway/{*}" => McpCall,         Internal, Opaque, refuse, "runs tools of an AI agent inside Dynatrace: which there are changes without notice, and the gate cannot see what they do";
}
