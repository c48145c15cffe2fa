//! What the operator sees of a running gate: the log's set-up, and every metric in one list.
//!
//! The log goes to stderr, as text for people or as JSON for machines. Nothing here knows a token, and no
//! metric takes a label that a client can choose.

mod limit;
mod metrics;

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use limit::Limit;
pub use metrics::{CONTENT_TYPE, Evaluator, InFlight, Load, Metrics};

/// What is logged, and how it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub format: Format,
    pub filter: Filter,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line, for programs
    Json,
    /// For people
    #[default]
    Text,
}

/// A level such as `info`, or a list of levels by module such as `info,dtgate::policy=debug`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter(String);

/// A filter that would not log what its author expects.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is not a log filter: write a level (\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\") \
     or levels by module, such as \"info,dtgate::policy=debug\""
)]
pub struct FilterError {
    text: String,
}

/// Sends everything that is logged from now on to stderr. Works once in a process.
pub fn init(config: &Config) -> Result<(), TryInitError> {
    // The convention of no-color.org: any value but the empty one.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = stderr().is_terminal() && !no_color;
    dispatch(config, colour, stderr).try_init()
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        // To the library a bare word is the name of a module: a misspelt level would silence everything.
        let is_plain = |directive: &str| {
            directive.contains(['=', '['])
                || LEVELS
                    .iter()
                    .any(|level| level.eq_ignore_ascii_case(directive))
        };
        if text.split(',').all(|directive| is_plain(directive.trim()))
            && EnvFilter::try_new(text).is_ok()
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(FilterError {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn dispatch<W>(config: &Config, colour: bool, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.filter.0))
        .with_writer(writer);
    match config.format {
        Format::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .into(),
        Format::Text => subscriber.with_ansi(colour).with_target(false).into(),
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a configuration makes of one info and one debug event.
    fn logged(text: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = toml::from_str(text).unwrap();
        let dispatch = dispatch(&config, false, move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(token.id = "dt0c01.PUBLIC", "token updated");
            tracing::debug!("a detail");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_is_one_readable_line_without_colour_codes() {
        let line = logged("");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.contains(" INFO ") && line.contains("token updated"),
            "{line}"
        );
        assert!(
            line.contains("token.id=\"dt0c01.PUBLIC\"") && !line.contains('\u{1b}'),
            "{line}"
        );
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let line = logged("format = 'json'");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["message"], "token updated");
        assert_eq!(object["token.id"], "dt0c01.PUBLIC");
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        assert_eq!(logged("filter = 'debug'").lines().count(), 2);
        assert_eq!(logged("filter = 'off'"), "");
        assert_eq!(logged("filter = 'warn,dtgate=debug'").lines().count(), 2);
    }

    #[test]
    fn a_filter_that_would_silence_everything_by_a_slip_is_refused() {
        for slip in ["inof", "", "info,", "dtgate=loud", "info;debug"] {
            let error = slip.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains("\"info\""), "{error}");
        }
    }
}
