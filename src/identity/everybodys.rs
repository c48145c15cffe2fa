//! Issuers that give a token to everybody who asks: what such a token proves is who asked, and not that he belongs here.

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Everybodys {
    /// Who that is, for people.
    pub who: &'static str,
    /// Whether whoever asks for a token says for whom it is (`aud`): then the audience keeps nobody out.
    pub any_audience: bool,
}

impl Everybodys {
    /// The issuer with this `iss`, if it is one of them.
    pub fn of(issuer: &str) -> Option<Self> {
        let found = ALL.iter().find(|(known, _, _)| *known == issuer)?;
        let (_, who, any_audience) = *found;
        Some(Self { who, any_audience })
    }
}

/// Those that are documented to be so: `iss`, who that is, and whether the audience is chosen by whoever asks.
const ALL: [(&str, &str, bool); 8] = [
    ("accounts.google.com", "Google", true),
    ("https://accounts.google.com", "Google", true),
    ("https://agent.buildkite.com", "Buildkite", true),
    ("https://app.terraform.io", "HCP Terraform", true),
    ("https://appleid.apple.com", "Apple", false),
    ("https://gitlab.com", "GitLab.com", true),
    // The tenant of all personal accounts.
    (
        "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        "Microsoft",
        false,
    ),
    (
        "https://token.actions.githubusercontent.com",
        "GitHub",
        true,
    ),
];

/// Whether a claim says nothing about whose token it is: whoever has an account can have one that says it.
pub(super) fn is_anybodys(claim: &str) -> bool {
    ANYBODYS.contains(&claim)
}

/// Of jobs at GitHub and GitLab, and of people at Google.
const ANYBODYS: [&str; 19] = [
    "aud",
    "base_ref",
    "deployment_tier",
    "email_verified",
    "environment",
    "environment_action",
    "environment_protected",
    "event_name",
    "head_ref",
    "pipeline_source",
    "project_visibility",
    "ref",
    "ref_protected",
    "ref_type",
    "repository_visibility",
    "run_attempt",
    "run_number",
    "runner_environment",
    "workflow",
];
