//! The tokens that exist from the start, for the demo and for tests.
//!
//! None of the secrets ever opened anything: they are placeholders of the vendor's documentation, or
//! say `NOTAREALSECRET`.

use jiff::Timestamp;

use super::state::{Secret, Token};

/// A token as its owner knows it: `secret` is the whole credential, as it is sent.
#[derive(Clone, Copy)]
pub struct Seed {
    pub name: &'static str,
    pub id: &'static str,
    pub secret: &'static str,
}

/// The credential of the vendor's v1 examples. It may manage tokens through v1 only.
pub const MANAGEMENT: Seed = Seed {
    name: "token management",
    id: "dt0c01.abc123",
    secret: "dt0c01.abc123.abcdefjhij1234567890",
};

/// The token that the vendor's v1 PUT example changes, with its scopes from before the change.
/// v1 knows it by this id, v2 by the public part of its secret.
pub const ADMIN: Seed = Seed {
    name: "admin",
    id: "d5836312-5790-4e80-afcf-09971954c3ea",
    secret: "dt0c01.ADMINAAAAAAAAAAAAAAAAAAA.ADMINNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// May read and write tokens through v2 only.
pub const API_TOKENS: Seed = Seed {
    name: "api tokens",
    id: "dt0c01.APITOKENSAAAAAAAAAAAAAAA",
    secret: "dt0c01.APITOKENSAAAAAAAAAAAAAAA.TOKENSAPINOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// The caller in the recordings of Terraform and `dt`: the vendor's documented example of the format.
pub const AUTOMATION: Seed = Seed {
    name: "automation",
    id: "dt0c01.ST2EY72KQINMH574WMNVI7YN",
    secret: "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM",
};

/// The token that the recordings of Terraform and `dt` read, change and delete.
pub const MANAGED: Seed = Seed {
    name: "tf",
    id: "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
    secret: "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA.MANAGEDNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// The caller in the recordings of Monaco.
pub const MONACO: Seed = Seed {
    name: "monaco",
    id: "dt0c01.X",
    secret: "dt0c01.X.Y",
};

/// What the recordings of `dt` look up.
pub const LOOKED_UP: Seed = Seed {
    name: "looked up",
    id: "dt0c01.A",
    secret: "dt0c01.A.B",
};

pub const REVOKED: Seed = Seed {
    name: "revoked",
    id: "dt0c01.REVOKEDAAAAAAAAAAAAAAAAA",
    secret: "dt0c01.REVOKEDAAAAAAAAAAAAAAAAA.REVOKEDNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

pub const EXPIRED: Seed = Seed {
    name: "expired",
    id: "dt0c01.EXPIREDAAAAAAAAAAAAAAAAA",
    secret: "dt0c01.EXPIREDAAAAAAAAAAAAAAAAA.EXPIREDNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// A personal access token: it may delete its owner's tokens only.
pub const PERSONAL: Seed = Seed {
    name: "personal",
    id: "dt0c01.PERSONALAAAAAAAAAAAAAAAA",
    secret: "dt0c01.PERSONALAAAAAAAAAAAAAAAA.PERSONALNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// Made by Dynatrace itself for a shared dashboard; its scope cannot be requested.
pub const SHARING: Seed = Seed {
    name: "dashboard sharing",
    id: "dt0c01.SHARINGAAAAAAAAAAAAAAAAA",
    secret: "dt0c01.SHARINGAAAAAAAAAAAAAAAAA.SHARINGNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

/// Carries scopes that no enumeration lists any more.
pub const LEGACY: Seed = Seed {
    name: "legacy",
    id: "dt0c01.LEGACYAAAAAAAAAAAAAAAAAA",
    secret: "dt0c01.LEGACYAAAAAAAAAAAAAAAAAA.LEGACYNOTAREALSECRETAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

pub const ALL: [Seed; 12] = [
    MANAGEMENT, ADMIN, API_TOKENS, AUTOMATION, MANAGED, MONACO, LOOKED_UP, REVOKED, EXPIRED,
    PERSONAL, SHARING, LEGACY,
];

const ADMIN_SCOPES: [&str; 14] = [
    "ExternalSyntheticIntegration",
    "DataPrivacy",
    "WriteConfig",
    "DssFileManagement",
    "LogExport",
    "DTAQLAccess",
    "ReadConfig",
    "CaptureRequestData",
    "ReadSyntheticData",
    "DataExport",
    "UserSessionAnonymization",
    "MaintenanceWindows",
    "LogImport",
    "TenantTokenManagement",
];

pub(super) fn tokens() -> Vec<Token> {
    let automation = [
        "apiTokens.read",
        "apiTokens.write",
        "metrics.read",
        "metrics.ingest",
        "tenantTokenRotation.write",
        "activeGateTokenManagement.read",
        "activeGateTokenManagement.write",
        "agentTokenManagement.read",
        "InstallerDownload",
        "settings.write",
    ];
    vec![
        token(MANAGEMENT, &["TenantTokenManagement"]),
        Token {
            id: "dt0c01.ADMINAAAAAAAAAAAAAAAAAAA".to_owned(),
            alias: Some(ADMIN.id),
            ..token(ADMIN, &ADMIN_SCOPES)
        },
        token(API_TOKENS, &["apiTokens.read", "apiTokens.write"]),
        token(AUTOMATION, &automation),
        token(MANAGED, &["geographicRegions.read"]),
        token(MONACO, &["settings.read", "settings.write"]),
        token(LOOKED_UP, &["metrics.read"]),
        Token {
            enabled: false,
            ..token(REVOKED, &["apiTokens.read", "apiTokens.write"])
        },
        Token {
            expires: moment(1_605_168_930_144),
            ..token(EXPIRED, &["apiTokens.read", "apiTokens.write"])
        },
        Token {
            owner: "jane.doe".to_owned(),
            personal: true,
            ..token(PERSONAL, &["apiTokens.read", "apiTokens.write"])
        },
        Token {
            owner: "system".to_owned(),
            dashboard: Some("82402bab-7370-4359-924d-88ed13c8919a"),
            ..token(SHARING, &["ViewDashboard"])
        },
        token(LEGACY, &["DataExport", "LogImport", "MaintenanceWindows"]),
    ]
}

fn token(seed: Seed, scopes: &[&str]) -> Token {
    Token {
        id: seed.id.to_owned(),
        alias: None,
        secret: Secret::new(seed.secret.to_owned()),
        name: seed.name.to_owned(),
        owner: "john.smith".to_owned(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        enabled: true,
        personal: false,
        created: moment(1_604_564_130_144).unwrap_or_default(),
        expires: None,
        last_use: None,
        last_address: None,
        modified: None,
        dashboard: None,
    }
}

fn moment(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}
