//! Requests and a policy to begin with.

use super::Before;
use crate::policy::Text;

/// A request that is shipped.
pub(super) struct Shipped {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) request: &'static str,
    before: Option<(&'static str, &'static [&'static str])>,
}

impl Shipped {
    pub(super) fn before(&self) -> Option<Before> {
        let (name, scopes) = self.before?;
        Some(Before {
            name: name.to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            disabled: false,
        })
    }
}

/// The policy where none is known.
pub(super) fn policy() -> Text {
    let name = "no_write_config.rego".to_owned();
    Text {
        path: name.clone(),
        name,
        text: POLICY.to_owned(),
    }
}

const POLICY: &str = r#"# METADATA
# title: No WriteConfig
package dtgate.no_write_config

deny contains violation if {
	some i, scope in input.change.scopes.requested
	scope == "WriteConfig"
	violation := {
		"message": sprintf("scope %q may not be granted", [scope]),
		"path": sprintf("scopes[%d]", [i]),
	}
}
"#;

/// Whose request each of them is.
pub(super) const CALLER: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";

pub(super) const ALL: [Shipped; 5] = [
    Shipped {
        name: "forbidden-scope",
        title: "A token gains WriteConfig",
        request: r#"curl -X PUT https://abc12345.live.dynatrace.com/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea \
  -H 'Content-Type: application/json' \
  --data-raw '{"scopes": ["ReadConfig", "WriteConfig"]}'"#,
        before: Some(("payments-prod-ci", &["ReadConfig"])),
    },
    Shipped {
        name: "harmless",
        title: "A token gains metrics.read",
        request: r#"PUT /api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1
Host: abc12345.live.dynatrace.com
Content-Type: application/json

{"scopes": ["logs.read", "metrics.read"]}"#,
        before: Some(("payments-prod-ci", &["logs.read"])),
    },
    Shipped {
        name: "odd-name",
        title: "A new token with an odd name",
        request: r#"POST /api/v2/apiTokens HTTP/1.1
Host: abc12345.live.dynatrace.com
Content-Type: application/json

{"name": "My Token", "scopes": ["metrics.read"]}"#,
        before: None,
    },
    Shipped {
        name: "new-token",
        title: "A new token",
        request: r#"POST /api/v2/apiTokens HTTP/1.1
Host: abc12345.live.dynatrace.com
Content-Type: application/json

{"name": "payments-prod-ci", "scopes": ["metrics.read"], "expirationDate": "now+30d"}"#,
        before: None,
    },
    Shipped {
        name: "delete",
        title: "A token is deleted",
        request: "DELETE /api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1
Host: abc12345.live.dynatrace.com
",
        before: Some(("payments-prod-ci", &["metrics.read"])),
    },
];
