//! The access log: one line a request, written straight into the log's queue.
//!
//! Everybody has it who sets nothing, and it is written for every request, so it takes a short way: each field is
//! written once, into a buffer that the thread keeps. As text and as JSON it says what `tracing` would say, and it
//! obeys the log's filter, as an event of [`TARGET`] at `info`.

/// Writes to a `String`, which cannot fail.
macro_rules! add {
    ($out:expr, $($format:tt)*) => {
        std::fmt::Write::write_fmt($out, format_args!($($format)*)).expect("writing to a string cannot fail")
    };
}

mod common;
mod digits;
mod ecs;
mod json;
mod text;

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use tracing::Level;

use super::Format;
#[cfg(test)]
use super::Metrics;
use super::log::Queue;
#[cfg(test)]
use crate::value::Size;

/// Where requests are logged. Clones share one queue.
#[derive(Clone)]
pub struct AccessLog {
    queue: Queue,
    form: Form,
    colour: bool,
}

/// The form of a request's line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The Common Log Format of web servers.
    Common,
    /// One object a line in the names of the Elastic Common Schema.
    Ecs,
    /// One object a line, as the log's own JSON.
    Json,
    /// No line.
    Off,
    /// For people.
    Text,
}

/// What is said about one request. Every text is fit to be written, and of bounded length; nothing here looks for
/// secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access<'a> {
    pub request_id: &'a str,
    pub client_id: Option<&'a str>,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// What is said in the place of the address.
    pub peer_name: Option<&'a str>,
    pub method: &'a str,
    /// Without query.
    pub path: &'a str,
    /// `1.1`
    pub version: &'a str,
    pub status: u16,
    /// Bytes of the answer's body, where they are known when it begins.
    pub length: Option<u64>,
    /// Until the answer began.
    pub elapsed: Duration,
    pub route: &'a str,
    pub environment: Option<&'a str>,
    pub operation: Option<&'a str>,
    pub verdict: Option<&'a str>,
    /// The public id of its credential.
    pub caller: Option<&'a str>,
    /// That credential is the gate's own.
    pub brokered: bool,
    pub teams: Option<&'a str>,
    /// The subject of the caller's certificate.
    pub certificate: Option<&'a str>,
    /// Issuer and subject of its JSON Web Token.
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub policies: Option<&'a str>,
    pub decision_id: Option<&'a str>,
    pub error: Option<&'a str>,
}

/// One field of a line.
#[derive(Clone, Copy)]
enum Value<'a> {
    Address(Option<IpAddr>),
    True,
    Milliseconds(Duration),
    Number(u16),
    /// Text that stands without quotation marks in lines for people.
    Bare(&'a str),
    Text(&'a str),
}

impl AccessLog {
    pub(super) fn new(queue: Queue, form: Form, colour: bool) -> Self {
        Self {
            queue,
            form,
            colour,
        }
    }

    /// One that nobody reads.
    #[cfg(test)]
    pub fn unread(metrics: Metrics) -> Self {
        let queue = Queue::start(std::io::sink(), Size::from_mib(1), metrics);
        Self::new(queue.expect("a thread can be started"), Form::Text, false)
    }

    /// Whether anybody reads it. Ask before a line is put together.
    pub fn is_on(&self) -> bool {
        self.form != Form::Off && tracing::enabled!(target: TARGET, Level::INFO)
    }

    /// Never waits: a line for which the queue has no room is dropped and counted.
    pub fn write(&self, now: jiff::Timestamp, access: &Access<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.form {
                Form::Off => return,
                Form::Common => common::write(line, now, access),
                Form::Ecs => ecs::write(line, now, access),
                Form::Json => json::write(line, now, access),
                Form::Text => text::write(line, now, access, self.colour),
            }
            line.push('\n');
            self.queue.put(line, self.form.as_format());
            line.shrink_to(KEPT);
        });
    }
}

impl Form {
    /// How a line of this form is shortened when it is too long.
    fn as_format(self) -> Format {
        match self {
            Self::Ecs | Self::Json => Format::Json,
            Self::Common | Self::Off | Self::Text => Format::Text,
        }
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Text => Self::Text,
        }
    }
}

impl<'a> Access<'a> {
    /// In the order of lines for people. What there is none of has no field.
    fn fields(&self) -> [Option<(&'static str, Value<'a>)>; 20] {
        let text = |name, text: Option<&'a str>| text.map(|text| (name, Value::Text(text)));
        [
            Some(("request.id", Value::Bare(self.request_id))),
            text("request.client_id", self.client_id),
            Some((
                "peer.address",
                self.peer_name
                    .map_or(Value::Address(self.peer), Value::Text),
            )),
            Some(("method", Value::Bare(self.method))),
            Some(("path", Value::Bare(self.path))),
            Some(("status", Value::Number(self.status))),
            Some(("duration_ms", Value::Milliseconds(self.elapsed))),
            Some(("route", Value::Text(self.route))),
            text("environment", self.environment),
            text("operation", self.operation),
            text("verdict", self.verdict),
            text("caller.id", self.caller),
            self.brokered.then_some(("caller.brokered", Value::True)),
            text("caller.teams", self.teams),
            text("caller.certificate", self.certificate),
            text("caller.issuer", self.issuer),
            text("caller.subject", self.subject),
            text("policies", self.policies),
            text("decision.id", self.decision_id),
            text("error", self.error),
        ]
    }
}

/// Text in which nothing has to be escaped, whatever the form.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    // To the end, without a branch: sixteen bytes at a time.
    text.bytes().fold(true, |all, byte| all & is_plain(byte))
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a thread keeps of its buffer: any usual line.
const KEPT: usize = 4 << 10;

/// What the filter of the log knows requests by.
const TARGET: &str = "dtgate::gateway::story";

/// The message of a request's line.
const MESSAGE: &str = "request";

#[cfg(test)]
mod tests;
