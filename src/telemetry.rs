//! What the operator sees of a running gate: the log's set-up, and every metric in one list.
//!
//! The log goes to stderr, as text for people or as JSON for machines, and nobody ever waits for it. Whatever a
//! field holds, one event is one line and nothing in it is hidden. Nothing here knows a token, and no metric takes a
//! label that a client can choose.

mod access;
mod limit;
mod log;
mod metrics;
pub mod otlp;
mod trace;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, stderr};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;
use std::time::Duration;

use anstyle::Style;
use serde::{Deserialize, Deserializer};
use tracing::Dispatch;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::value::{Size, Visible, VisibleLines};
pub use access::{Access, AccessLog, Form as AccessForm};
pub use limit::Limit;
use log::{Lines, Queue};
pub use metrics::{
    CLASSIC, Counted, Evaluator, JournalKept, Load, Metrics, OPEN_METRICS, SinkLoad, known_method,
};
pub use trace::{Attributes, Step, Trace, Tracer, Value};

/// Where requests are told of: in numbers, in one line each, in traces.
pub struct Telemetry {
    pub metrics: Metrics,
    pub access: AccessLog,
    pub traces: Tracer,
}

/// What is logged, and how it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub format: Format,
    pub filter: Filter,
    /// The form of a request's line; by itself that of all lines.
    pub access: Option<AccessForm>,
    /// Lines that wait to be written; more are dropped and counted.
    pub queue: Size,
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

/// The log of a running program. Dropped, it writes what is left, if that is soon done.
#[must_use]
pub struct Log {
    queue: Queue,
    access: AccessLog,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("standard error cannot be written")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Sends everything that is logged from now on to stderr, panics too. Works once in a process.
pub fn init(config: &Config, metrics: &Metrics) -> Result<Log, InitError> {
    // The convention of no-color.org: any value but the empty one.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = stderr().is_terminal() && !no_color;
    // A descriptor of its own: whoever writes to the shared one holds its lock until it is written.
    let out = File::from(stderr().as_fd().try_clone_to_owned()?);
    let queue = Queue::start(out, config.queue, metrics.clone())?;
    let lines = Lines {
        queue: queue.clone(),
        format: config.format,
    };
    dispatch(config, colour, lines).try_init()?;
    let metrics = metrics.clone();
    panic::set_hook(Box::new(move |panic| {
        metrics.panicked();
        report(panic);
    }));
    let form = config.access.unwrap_or_else(|| config.format.into());
    let access = AccessLog::new(queue.clone(), form, colour);
    Ok(Log { queue, access })
}

impl Log {
    /// Says how the program ended, to people: in lines of its own, whatever the format of the log.
    pub fn say(&self, words: impl fmt::Display) {
        self.queue
            .push(format!("{}\n", VisibleLines(words)).as_bytes());
    }
}

impl Log {
    /// Where requests are logged.
    pub fn access(&self) -> AccessLog {
        self.access.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.close(LAST_WRITES);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::default(),
            filter: Filter::default(),
            access: None,
            // A second of a gate at its busiest.
            queue: Size::from_mib(4),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Filter {
    /// A database server writes no lines into this log, and the driver none with what it is asked, unless it is named.
    fn as_lines(&self) -> EnvFilter {
        if self.0.contains(DRIVER) {
            EnvFilter::new(&self.0)
        } else {
            EnvFilter::new(format!("{},{DRIVER}=off", self.0))
        }
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
        .with_env_filter(config.filter.as_lines())
        .with_writer(writer)
        // It would print them, and who prints to a closed stderr panics.
        .log_internal_errors(false);
    match config.format {
        Format::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .into(),
        Format::Text => subscriber
            .with_ansi(colour)
            .with_target(false)
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .into(),
    }
}

/// One field of a line of text, whatever it holds.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Visible(format_args!("{value:?}"));
    if field.name() == "message" {
        return write!(out, "{value}");
    }
    let (name, dimmed) = if out.has_ansi_escapes() {
        (Style::new().italic(), Style::new().dimmed())
    } else {
        (Style::new(), Style::new())
    };
    write!(
        out,
        "{name}{}{name:#}{dimmed}={dimmed:#}{value}",
        field.name()
    )
}

/// Logs a panic. Only words that stand in the source are shown: others may quote what a client sent.
fn report(panic: &PanicHookInfo<'_>) {
    let words = panic.payload().downcast_ref::<&'static str>();
    let place = panic.location().map(ToString::to_string);
    tracing::error!(
        thread = std::thread::current().name(),
        place,
        words,
        "a fault of the program: please report it"
    );
}

/// How long the end of the program waits for the log.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Who asks the store.
const DRIVER: &str = "tokio_postgres";

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a configuration makes of events, on their whole way.
    fn logged_by(text: &str, events: impl FnOnce()) -> String {
        let written = Written::default();
        let config: Config = toml::from_str(text).unwrap();
        let queue = Queue::start(written.clone(), config.queue, Metrics::new("1.2.3")).unwrap();
        let lines = Lines {
            queue: queue.clone(),
            format: config.format,
        };
        tracing::dispatcher::with_default(&dispatch(&config, false, lines), events);
        queue.close(Duration::from_secs(30));
        written.text()
    }

    /// The same of one info and one debug event.
    fn logged(text: &str) -> String {
        logged_by(text, || {
            tracing::info!(token.id = "dt0c01.PUBLIC", "token updated");
            tracing::debug!("a detail");
        })
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

    proptest::proptest! {
        #[test]
        fn whatever_a_field_holds_an_event_is_one_line_and_nothing_in_it_is_hidden(text: String) {
            let hides = |line: &str| line.contains(|c: char| c.is_control() || "\u{202e}\u{2028}\u{200b}\u{e0001}".contains(c));
            let text = format!("{text}\n\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}\u{200b}\u{e0001}");
            for format in ["text", "json"] {
                let line = logged_by(&format!("format = '{format}'"), || {
                    tracing::info!(plain = text, shown = %text, debug = ?Some(&text), "{text}");
                });
                let line = line.strip_suffix('\n').unwrap();
                proptest::prop_assert!(!hides(line), "{line:?}");
                if format == "json" {
                    let object: serde_json::Value = serde_json::from_str(line).unwrap();
                    for field in ["plain", "shown", "message"] {
                        proptest::prop_assert_eq!(&object[field], &text);
                    }
                }
            }
        }
    }

    #[test]
    fn colours_are_ours_alone() {
        let lines = Written::default();
        let dispatch = dispatch(&Config::default(), true, {
            let lines = lines.clone();
            move || lines.clone()
        });
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(path = %"\u{1b}[31mred", "\u{1b}[8mnot seen");
        });
        let line = lines.text();
        assert!(line.contains("\u{1b}[3mpath\u{1b}[0m"), "{line:?}");
        assert!(
            line.contains(r"\u{1b}[31mred") && line.contains(r"\u{1b}[8mnot"),
            "{line:?}"
        );
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
