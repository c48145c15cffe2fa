//! The sections `[policies.bundles.NAME]`.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use serde::{Deserialize, Deserializer, de};

use crate::outbound::{ClientCertificate, Proxy, is_encrypted, is_private};
use crate::policy::{Packed, Signature, Signer};
use crate::value::{Duration, is_name, plain_url};

/// How the configuration calls a bundle: in the log, in records, in messages, and as the name of a file.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Name(String);

/// One bundle.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Written")]
pub struct Config {
    pub source: Source,
    /// Parts of `data` that it may own, as in a manifest. None: any.
    pub roots: Option<Vec<String>>,
    /// Who has to have signed it. None: it must not be signed.
    pub signature: Option<Signer>,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    File(PathBuf),
    Url(Box<Remote>),
}

/// A server that has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    pub url: Uri,
    /// File with a bearer token for it.
    pub token_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub client_certificate: Option<ClientCertificate>,
    pub proxy: Option<Proxy>,
    pub proxy_credential_file: Option<PathBuf>,
    /// For one fetch as a whole, besides what the server was asked to wait.
    pub timeout: Duration,
    /// Between two fetches: a time that chance finds between these.
    pub min_delay: Duration,
    pub max_delay: Duration,
    /// For how long a server that can is asked to wait for a new bundle.
    pub long_poll: Duration,
    /// How long what is in force may be without the server's word for it. None: for ever.
    pub max_age: Option<Duration>,
    /// What becomes of changes when it is over.
    pub when_stale: WhenStale,
}

/// What becomes of requests that change tokens when nobody has vouched for the policies for too long.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// They are judged as ever; the gate is not ready.
    #[default]
    Judge,
    /// They are refused, but for those that only disable a token.
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<PathBuf>,
    #[serde(default, deserialize_with = "url")]
    url: Option<Uri>,
    signature: Option<Signer>,
    roots: Option<Vec<String>>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_certificate: Option<ClientCertificate>,
    proxy: Option<Proxy>,
    proxy_credential_file: Option<PathBuf>,
    timeout: Option<Duration>,
    min_delay: Option<Duration>,
    max_delay: Option<Duration>,
    long_poll: Option<Duration>,
    max_age: Option<Duration>,
    when_stale: Option<WhenStale>,
}

fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Uri>, D::Error> {
    let url = plain_url(&String::deserialize(from)?);
    let wanted = "a URL is expected, http[s]://host[:port]/path, without user and fragment";
    url.map(Some).ok_or_else(|| de::Error::custom(wanted))
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let is_remote = [
            written.token_file.is_some(),
            written.ca.is_some(),
            written.client_certificate.is_some(),
            written.proxy.is_some(),
            written.proxy_credential_file.is_some(),
            written.timeout.is_some(),
            written.min_delay.is_some(),
            written.max_delay.is_some(),
            written.long_poll.is_some(),
            written.max_age.is_some(),
            written.when_stale.is_some(),
        ];
        let (signature, roots) = (written.signature.clone(), written.roots.clone());
        let source = match (&written.file, &written.url) {
            (None, None) => {
                return Err("where the bundle is has to be said: write file or url".to_owned());
            }
            (Some(_), Some(_)) => {
                return Err("a bundle has one place: write file or url".to_owned());
            }
            (Some(_), None) if is_remote.contains(&true) => {
                return Err(
                    "how a bundle is fetched is said where it has a url: this one is a file"
                        .to_owned(),
                );
            }
            (Some(file), None) => Source::File(file.clone()),
            (None, Some(url)) => Source::Url(Box::new(Remote::of(&written, url)?)),
        };
        Ok(Self {
            source,
            roots,
            signature,
        })
    }
}

impl Remote {
    fn of(written: &Written, url: &Uri) -> Result<Self, String> {
        let or = |given: Option<Duration>, default| {
            given.unwrap_or_else(|| Duration::from_secs(default))
        };
        let remote = Self {
            url: url.clone(),
            token_file: written.token_file.clone(),
            ca: written.ca.clone(),
            client_certificate: written.client_certificate.clone(),
            proxy: written.proxy.clone(),
            proxy_credential_file: written.proxy_credential_file.clone(),
            timeout: or(written.timeout, 30),
            min_delay: or(written.min_delay, 60),
            max_delay: or(written.max_delay, 120),
            long_poll: or(written.long_poll, 60),
            max_age: written.max_age,
            when_stale: written.when_stale.unwrap_or_default(),
        };
        if remote.max_age.is_none() && written.when_stale.is_some() {
            return Err(
                "when_stale says what happens after max_age: write max_age, too".to_owned(),
            );
        }
        if remote.min_delay > remote.max_delay {
            return Err("min_delay is longer than max_delay".to_owned());
        }
        if !is_private(url) && remote.token_file.is_some() {
            return Err(
                "token_file is a secret, and the URL is http:// on another machine: use https://"
                    .to_owned(),
            );
        }
        let has_proxy = matches!(remote.proxy, Some(Proxy::Url(_)));
        if !is_encrypted(url) && has_proxy && remote.token_file.is_some() {
            return Err(
                "token_file is a secret, and a proxy reads what goes to http:// through it: use https://, or take proxy \
                 away"
                    .to_owned(),
            );
        }
        if !is_private(url) && written.signature.is_none() {
            return Err(
                "anybody on the way could change a bundle that is not signed: use https://, or sign it (signature)"
                    .to_owned(),
            );
        }
        Ok(remote)
    }
}

impl Remote {
    /// How long the server can be well and silent: until it is asked again, and answers.
    pub fn longest_silence(&self) -> std::time::Duration {
        let parts = [self.max_delay, self.long_poll, self.timeout];
        parts.into_iter().map(Duration::as_std).sum()
    }

    /// Whether somebody on the way can answer for it.
    pub fn is_forgeable(&self) -> bool {
        !is_private(&self.url)
    }

    /// Without its query, which may be a secret.
    pub fn shown(&self) -> String {
        let text = self.url.to_string();
        match text.split_once('?') {
            Some((before, _)) => format!("{before}?…"),
            None => text,
        }
    }
}

impl Config {
    /// Where it is on this machine.
    pub fn path(&self, state: &Path, name: &Name) -> PathBuf {
        match &self.source {
            Source::File(path) => path.clone(),
            Source::Url(_) => state.join(format!("{name}.tar.gz")),
        }
    }

    /// What is read there.
    pub fn packed(&self, name: &Name, file: PathBuf) -> Packed {
        let signer = self.signature.clone().map(Box::new);
        Packed {
            name: name.to_string(),
            file,
            signature: signer.map_or(Signature::None, Signature::By),
            roots: self.roots.clone(),
            is_shared: false,
            before: Vec::new(),
        }
    }

    /// The server that has it, if one has.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.source {
            Source::File(_) => None,
            Source::Url(remote) => Some(remote),
        }
    }
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_name(&text) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is no name for a bundle: 1 to 64 letters, digits, '-' and '_'"
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        toml::from_str::<Config>(text).unwrap_err().to_string()
    }

    #[test]
    fn a_bundle_has_one_place_and_nobody_on_the_way_can_change_it() {
        let url = "url = \"https://bundles.example/platform.tar.gz\"\n";
        let remote = toml::from_str::<Config>(url).unwrap();
        let path = remote.path(Path::new("state"), &Name("platform".to_owned()));
        assert_eq!(path, Path::new("state/platform.tar.gz"));
        for (text, said) in [
            ("", "write file or url"),
            ("file = \"a\"\nurl = \"https://a/b\"\n", "one place"),
            ("file = \"a\"\ntimeout = \"1s\"\n", "this one is a file"),
            ("url = \"ftp://a\"\n", "a URL is expected"),
            ("url = \"http://a/b\"\n", "is not signed: use https://"),
            (
                "url = \"http://a/b\"\ntoken_file = \"t\"\n",
                "token_file is a secret",
            ),
            (
                &format!("{url}min_delay = \"1h\"\n"),
                "longer than max_delay",
            ),
            (
                &format!("{url}when_stale = \"refuse\"\n"),
                "write max_age, too",
            ),
            (
                "url = \"http://127.0.0.1:1/b\"\ntoken_file = \"t\"\nproxy = \"http://proxy.example:3128\"\n",
                "a proxy reads what goes to http://",
            ),
            (&format!("{url}urll = 1\n"), "unknown field `urll`"),
        ] {
            assert!(refusal(text).contains(said), "{text}: {}", refusal(text));
        }
        toml::from_str::<Config>("url = \"http://127.0.0.1:1/b\"\ntoken_file = \"t\"\n").unwrap();
        toml::from_str::<Config>("url = \"http://a/b\"\nsignature = { key_file = \"k\" }\n")
            .unwrap();
    }
}
