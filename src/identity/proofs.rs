//! How callers can prove who they are, said to one who has not.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::config::Config;

/// What the gate believes. Clones share the text.
#[derive(Clone, Debug)]
pub struct Proofs {
    how: Arc<str>,
    /// Whether a token may stand in `Authorization`.
    pub bearer: bool,
}

impl Proofs {
    /// Names of issuers are the operator's own words, and no secrets. `certificates`: clients are asked for them.
    pub fn of(config: &Config, certificates: bool) -> Self {
        let mut all: Vec<String> = Vec::new();
        if certificates {
            all.push("show a client certificate".to_owned());
        }
        for (name, issuer) in config.jwt.iter().take(MOST) {
            let place = if issuer.header == AUTHORIZATION {
                "Authorization: Bearer TOKEN".to_owned()
            } else {
                format!("{}: TOKEN", issuer.header)
            };
            all.push(format!(
                "send a JSON Web Token of the issuer {name} ({place})"
            ));
        }
        if config.jwt.len() > MOST {
            all.push("send one of another issuer that the gate knows".to_owned());
        }
        Self {
            how: all.join(", or ").into(),
            bearer: config.jwt.values().any(|it| it.header == AUTHORIZATION),
        }
    }
}

impl fmt::Display for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)
    }
}

/// An answer is no list of issuers.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn issuers(number: usize) -> Config {
        let one = |at: usize| {
            let header = if at == 0 {
                "x-dtgate-token"
            } else {
                "authorization"
            };
            format!(
                "[jwt.n{at}]\nissuer = 'https://{at}.internal.example'\naudience = 'a'\njwks_file = 'f'\nheader = '{header}'\n"
            )
        };
        toml::from_str(&(0..number).map(one).collect::<String>()).unwrap()
    }

    #[test]
    fn what_is_believed_is_said_in_a_few_words() {
        let proofs = Proofs::of(&issuers(2), true);
        assert_eq!(
            proofs.to_string(),
            "show a client certificate, or send a JSON Web Token of the issuer n0 (x-dtgate-token: TOKEN), or send a \
             JSON Web Token of the issuer n1 (Authorization: Bearer TOKEN)"
        );
        assert!(proofs.bearer);
        assert!(!Proofs::of(&issuers(1), true).bearer);
        let many = Proofs::of(&issuers(100), false).to_string();
        assert!(many.len() < 500, "{many}");
        assert!(many.ends_with("of another issuer that the gate knows"));
        // Where an issuer of the company is, is not for strangers.
        assert!(!many.contains("internal"));
    }
}
