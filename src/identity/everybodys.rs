//! Issuers that give a token to everybody who asks: what such a token proves is who asked, and not that he belongs here.
//!
//! So a team may look only at claims that name the owner of a job or an account, in a way that nobody else can have:
//! whatever is not known to do so says nothing. Not among them, though they look like it: who began a job (`actor`,
//! `user_login`), because others can have him begin one of theirs; and where a job was written (`job_workflow_ref`,
//! `ci_config_ref_uri`), because others can use what is public.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Everybodys {
    /// The `iss` of its tokens.
    pub issuer: &'static str,
    /// Who that is, for people.
    pub who: &'static str,
    /// Whether whoever asks for a token says for whom it is (`aud`): then the audience keeps nobody out.
    pub any_audience: bool,
    claims: &'static [Claim],
}

/// A claim that names an owner.
#[derive(Debug)]
struct Claim {
    /// The names that lead to it.
    names: &'static [&'static str],
    forms: &'static [Form],
}

/// How the owner stands in its value.
#[derive(Debug)]
struct Form {
    /// Before him.
    begin: &'static str,
    /// Behind him; none where all of the rest names him.
    end: Option<char>,
}

/// Why a team cannot be by such a claim, or by such a value of it.
#[derive(Debug)]
pub(super) enum Objection {
    Claim(String),
    Value(String),
}

impl Everybodys {
    /// The issuer with this `iss`, if it is one of them.
    pub fn of(issuer: &str) -> Option<Self> {
        ALL.iter().find(|known| known.issuer == issuer).copied()
    }

    /// Those that are known.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// The claims that a team can be by, as data have them.
    pub fn claims(self) -> impl Iterator<Item = String> {
        self.claims.iter().map(|claim| match claim.names {
            [name] => (*name).to_owned(),
            names => format!("[{}]", names.join(", ")),
        })
    }

    /// Whether a claim says whose a token is, where it has this text; `open`: where it begins so.
    pub(super) fn names_an_owner(
        self,
        names: &[String],
        text: Option<(&str, bool)>,
    ) -> Result<(), Objection> {
        let who = self.who;
        let Some(claim) = self.claims.iter().find(|claim| claim.names == names) else {
            let claims: Vec<String> = self.claims().collect();
            return Err(Objection::Claim(format!(
                "everybody with an account at {who} can have a token that says so: take a claim that says whose it is: \
                 {}; one entry is enough to belong to the team",
                claims.join(", ")
            )));
        };
        let Some((text, open)) = text else {
            return Ok(());
        };
        let is_of = |form: &&Form| {
            let rest = text.strip_prefix(form.begin);
            rest.is_some_and(|rest| !rest.is_empty() || open)
        };
        let Some(form) = claim.forms.iter().find(is_of) else {
            let forms: Vec<String> = claim.forms.iter().map(Form::example).collect();
            return Err(Objection::Value(format!(
                "it does not say whose it is, and everybody with an account at {who} can have it: write one that begins \
                 with the owner: {}",
                forms.join(", ")
            )));
        };
        if open && !form.closes(text) {
            return Err(Objection::Value(match form.end {
                Some(end) => format!(
                    "it leaves open whose it is, and everybody can choose a name at {who} that begins so: write the owner \
                     whole, with the `{end}` behind it, as in {}",
                    form.example()
                ),
                None => format!(
                    "write it whole, without the asterisk: others at {who} can have one that begins so"
                ),
            }));
        }
        Ok(())
    }
}

impl Form {
    /// Whether a text has the whole owner in it.
    fn closes(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.begin);
        let parts = rest
            .zip(self.end)
            .and_then(|(rest, end)| rest.split_once(end));
        parts.is_some_and(|(owner, _)| !owner.is_empty())
    }

    fn example(&self) -> String {
        let Self { begin, end } = self;
        match end {
            Some(end) => format!("\"{begin}OWNER{end}*\""),
            None => format!("\"{begin}OWNER\""),
        }
    }
}

const fn claim(names: &'static [&'static str], forms: &'static [Form]) -> Claim {
    Claim { names, forms }
}

const fn form(begin: &'static str, end: char) -> Form {
    Form {
        begin,
        end: Some(end),
    }
}

/// Numbers, names of owners, addresses: what begins so is another's.
const WHOLE: &[Form] = &[Form {
    begin: "",
    end: None,
}];
/// The owner up to a slash.
const PATH: &[Form] = &[form("", '/')];
const ORGANIZATION: &[Form] = &[form("organization:", ':')];

/// A repository can have another subject than `repo:OWNER/…`, of several claims in any order: one that does not begin with
/// an owner can be anybody's.
const GITHUB: &[Claim] = &[
    claim(&["repository"], PATH),
    claim(&["repository_id"], WHOLE),
    claim(&["repository_owner"], WHOLE),
    claim(&["repository_owner_id"], WHOLE),
    claim(
        &["sub"],
        &[
            form("repo:", '/'),
            form("repository:", '/'),
            form("repository_id:", ':'),
            form("repository_owner:", ':'),
            form("repository_owner_id:", ':'),
        ],
    ),
    claim(&["workflow_ref"], PATH),
    claim(&["enterprise"], WHOLE),
    claim(&["enterprise_id"], WHOLE),
];

const GITLAB: &[Claim] = &[
    claim(&["namespace_id"], WHOLE),
    claim(&["namespace_path"], PATH),
    claim(&["project_id"], WHOLE),
    claim(&["project_path"], PATH),
    claim(&["sub"], &[form("project_path:", '/')]),
];

/// `email` counts only where it was verified: see `teams`.
const GOOGLE: &[Claim] = &[
    claim(&["sub"], WHOLE),
    claim(&["email"], WHOLE),
    claim(&["hd"], WHOLE),
    claim(&["google", "compute_engine", "project_id"], WHOLE),
    claim(&["google", "compute_engine", "project_number"], WHOLE),
];

/// The slug of a pipeline is one within its organization only; ids are UUIDs.
const BUILDKITE: &[Claim] = &[
    claim(&["organization_id"], WHOLE),
    claim(&["organization_slug"], WHOLE),
    claim(&["pipeline_id"], WHOLE),
    claim(&["cluster_id"], WHOLE),
    claim(&["sub"], ORGANIZATION),
];

const TERRAFORM: &[Claim] = &[
    claim(&["terraform_organization_id"], WHOLE),
    claim(&["terraform_organization_name"], WHOLE),
    claim(&["terraform_project_id"], WHOLE),
    claim(&["terraform_workspace_id"], WHOLE),
    claim(&["terraform_full_workspace"], ORGANIZATION),
    claim(&["sub"], ORGANIZATION),
];

/// Of personal accounts. Whoever has one can write what he likes into its other names.
const MICROSOFT: &[Claim] = &[claim(&["sub"], WHOLE), claim(&["oid"], WHOLE)];
const APPLE: &[Claim] = &[claim(&["sub"], WHOLE), claim(&["email"], WHOLE)];

/// Those that are documented to be so.
const ALL: [Everybodys; 8] = [
    Everybodys {
        issuer: "accounts.google.com",
        who: "Google",
        any_audience: true,
        claims: GOOGLE,
    },
    Everybodys {
        issuer: "https://accounts.google.com",
        who: "Google",
        any_audience: true,
        claims: GOOGLE,
    },
    Everybodys {
        issuer: "https://agent.buildkite.com",
        who: "Buildkite",
        any_audience: true,
        claims: BUILDKITE,
    },
    Everybodys {
        issuer: "https://app.terraform.io",
        who: "HCP Terraform",
        any_audience: true,
        claims: TERRAFORM,
    },
    Everybodys {
        issuer: "https://appleid.apple.com",
        who: "Apple",
        any_audience: false,
        claims: APPLE,
    },
    Everybodys {
        issuer: "https://gitlab.com",
        who: "GitLab.com",
        any_audience: true,
        claims: GITLAB,
    },
    // The tenant of all personal accounts.
    Everybodys {
        issuer: "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        who: "Microsoft",
        any_audience: false,
        claims: MICROSOFT,
    },
    Everybodys {
        issuer: "https://token.actions.githubusercontent.com",
        who: "GitHub",
        any_audience: true,
        claims: GITHUB,
    },
];
