//! Managed clusters.

use crate::dynatrace::catalogue::Content::{Named, Nothing, Object, Opaque, Token};
use crate::dynatrace::catalogue::Words::{V1, V2};

use super::endpoints;

endpoints! {
    GET    "/api/cluster/v1/tokens"                                          => ClusterTokenList,           ClusterV1, Nothing, pass query, "reads metadata only";
    POST   "/api/cluster/v1/tokens"                                          => ClusterTokenCreate,         ClusterV1, Token(V1), judge, "mints a cluster token";
    POST   "/api/cluster/v1/tokens/lookup"                                   => ClusterTokenLookup,         ClusterV1, Opaque, pass, "reads metadata only; its body is a secret";
    GET    "/api/cluster/v1/tokens/{id}"                                     => ClusterTokenRead,           ClusterV1, Nothing, pass query, "reads metadata only";
    PUT    "/api/cluster/v1/tokens/{id}"                                     => ClusterTokenUpdate,         ClusterV1, Token(V1), judge, "renames, widens, revokes or revives a cluster token";
    DELETE "/api/cluster/v1/tokens/{id}"                                     => ClusterTokenDelete,         ClusterV1, Nothing, judge, "removes a cluster token for good";
    GET    "/api/cluster/v2/tokens"                                          => ClusterTokenList,           ClusterV2, Nothing, pass query, "reads metadata only";
    POST   "/api/cluster/v2/tokens"                                          => ClusterTokenCreate,         ClusterV2, Token(V1), judge, "mints a cluster token";
    POST   "/api/cluster/v2/tokens/lookup"                                   => ClusterTokenLookup,         ClusterV2, Opaque, pass, "reads metadata only; its body is a secret";
    GET    "/api/cluster/v2/tokens/{id}"                                     => ClusterTokenRead,           ClusterV2, Nothing, pass query, "reads metadata only";
    PUT    "/api/cluster/v2/tokens/{id}"                                     => ClusterTokenUpdate,         ClusterV2, Token(V1), judge, "renames, widens, revokes or revives a cluster token";
    DELETE "/api/cluster/v2/tokens/{id}"                                     => ClusterTokenDelete,         ClusterV2, Nothing, judge, "removes a cluster token for good";
    GET    "/api/cluster/v2/activeGateTokens"                                => ActiveGateTokenList,        ClusterV2, Nothing, pass query, "reads metadata only";
    POST   "/api/cluster/v2/activeGateTokens"                                => ActiveGateTokenCreate,      ClusterV2, Named(V2), judge, "mints a token that connects ActiveGates";
    GET    "/api/cluster/v2/activeGateTokens/{id}"                           => ActiveGateTokenRead,        ClusterV2, Nothing, pass query, "reads metadata only";
    DELETE "/api/cluster/v2/activeGateTokens/{id}"                           => ActiveGateTokenDelete,      ClusterV2, Nothing, judge, "cuts off the ActiveGates that use the token";
    POST   "/api/cluster/v2/environments/{environment}/tokenManagementToken" => TokenManagementTokenCreate, ClusterV2, Named(V1), judge, "mints a token that mints tokens";
    POST   "/api/cluster/v2/environments" [createToken]                      => TokenManagementTokenCreate, ClusterV2, Object, judge query, "with createToken it mints a token that mints tokens";
    PUT    "/api/cluster/v2/environments/{environment}" [createToken]        => TokenManagementTokenCreate, ClusterV2, Object, judge query, "with createToken it mints a token that mints tokens";
    POST   "/api/cluster/v1/environments" [createToken]                      => TokenManagementTokenCreate, ClusterV1, Object, judge query, "with createToken it mints a token that mints tokens";
    PUT    "/api/cluster/v1/environments/{environment}" [createToken]        => TokenManagementTokenCreate, ClusterV1, Object, judge query, "with createToken it mints a token that mints tokens";
    GET    "/api/cluster/v2/environments" => ClusterEnvironmentRead, ClusterV2, Nothing, pass query, "reads what environments there are";
    GET    "/api/cluster/v2/environments/{environment}" => ClusterEnvironmentRead, ClusterV2, Nothing, pass query, "reads what environments there are";
    GET    "/api/cluster/v1/environments" => ClusterEnvironmentRead, ClusterV1, Nothing, pass query, "reads what environments there are";
    GET    "/api/cluster/v1/environments/{environment}" => ClusterEnvironmentRead, ClusterV1, Nothing, pass query, "reads what environments there are";
    DELETE "/api/cluster/v2/environments/{environment}"                      => ClusterEnvironmentDelete,   ClusterV2, Nothing, pass query, "removes an environment with all its tokens: makes none";
    DELETE "/api/cluster/v1/environments/{environment}"                      => ClusterEnvironmentDelete,   ClusterV1, Nothing, pass query, "removes an environment with all its tokens: makes none";

    // Users and groups of a cluster. A user's body may hold a password, and what is judged is recorded.
    GET    "/api/v1.0/onpremise/users"                          => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads users, without their passwords";
    POST   "/api/v1.0/onpremise/users"                          => ClusterUserUpdate,  ClusterV1, Opaque, refuse, "makes a user that can log in and make tokens; its body may hold a password, so it is never read";
    PUT    "/api/v1.0/onpremise/users"                          => ClusterUserUpdate,  ClusterV1, Opaque, refuse, "can make a user an administrator; its body may hold a password, so it is never read";
    GET    "/api/v1.0/onpremise/users/{user}"                   => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads a user, without the password";
    PUT    "/api/v1.0/onpremise/users/{user}"                   => ClusterUserUpdate,  ClusterV1, Opaque, refuse, "can make a user an administrator; its body may hold a password, so it is never read";
    DELETE "/api/v1.0/onpremise/users/{user}"                   => ClusterUserDelete,  ClusterV1, Nothing, pass query, "takes somebody's access, and gives none";
    GET    "/api/v1.0/onpremise/groups"                         => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads groups";
    POST   "/api/v1.0/onpremise/groups"                         => ClusterGroupUpdate, ClusterV1, Object, judge query, "can make a group of cluster administrators";
    PUT    "/api/v1.0/onpremise/groups"                         => ClusterGroupUpdate, ClusterV1, Object, judge query, "can make a group one of cluster administrators";
    GET    "/api/v1.0/onpremise/groups/{group}"                 => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads a group";
    PUT    "/api/v1.0/onpremise/groups/{group}"                 => ClusterGroupUpdate, ClusterV1, Object, judge query, "can make a group one of cluster administrators";
    DELETE "/api/v1.0/onpremise/groups/{group}"                 => ClusterUserDelete,  ClusterV1, Nothing, pass query, "takes access, and gives none";
    GET    "/api/v1.0/onpremise/groups/managementZones"         => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads what groups may do";
    PUT    "/api/v1.0/onpremise/groups/managementZones"         => ClusterGroupUpdate, ClusterV1, Object, judge query, "widens what a group may do";
    GET    "/api/v1.0/onpremise/groups/managementZones/{group}" => ClusterUserRead,    ClusterV1, Nothing, pass query, "reads what a group may do";
}
