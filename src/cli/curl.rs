//! A curl line as the request that curl would send: the options that make a request, and no others.
//!
//! What curl itself would do otherwise (forms, uploads, several URLs) and what only a shell knows (variables, pipes) is
//! refused: a request that was guessed would be judged in place of the real one.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context, bail};
use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

/// Whether a body may stand in a file that the line names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Files {
    /// The line is of somebody who may read it.
    Read,
    #[default]
    None,
}

/// What was read of a line so far.
#[derive(Default)]
struct Line {
    files: Files,
    method: Option<String>,
    url: Option<String>,
    headers: HeaderMap,
    /// Headers that the line takes away.
    without: Vec<HeaderName>,
    body: Option<Vec<u8>>,
    media_type: Option<&'static str>,
    head_only: bool,
}

/// Reads a line such as `curl -X PUT https://…/api/v2/apiTokens/ID -H '…' -d '{…}'`.
pub(super) fn parse(line: &str, files: Files) -> anyhow::Result<Request<Bytes>> {
    let line = plain(line)?;
    let words = shlex::split(&line).context(OPEN)?;
    let mut words = words.into_iter();
    match words.next() {
        Some(first) if first == "curl" || first.ends_with("/curl") => {}
        _ => bail!("the line must begin with curl"),
    }
    let mut read = Line {
        files,
        ..Line::default()
    };
    while let Some(word) = words.next() {
        if let Some(sign) = SHELL.iter().find(|sign| word == **sign) {
            bail!("{sign} is for a shell: give the curl line alone");
        }
        let mut value = |option: &str| {
            let missing = || format!("curl's option {option} needs a value");
            words.next().with_context(missing)
        };
        if word.starts_with("--") {
            if LONG_FLAGS.contains(&word.as_str()) {
                continue;
            }
            match word.as_str() {
                "--head" => read.head_only = true,
                long if LONG_VALUES.contains(&long) => drop(value(long)?),
                long if MEANT.iter().any(|(name, _)| *name == long) => {
                    let text = value(long)?;
                    read.option(long, &text)?;
                }
                other => bail!("{}", unknown(other)),
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            read.short(short, &mut value)?;
        } else if read.url.replace(word).is_some() {
            bail!("the line has more than one URL");
        }
    }
    let request = read.request()?;
    if is_for_a_shell(&line) {
        bail!(
            "the line has a variable or a command in it, which only a shell knows: write it out, or put it in single \
             quotes if it stands for itself"
        );
    }
    Ok(request)
}

impl Line {
    /// `-sSXPUT`: flags, and at last one with its value.
    fn short(
        &mut self,
        short: &str,
        value: &mut dyn FnMut(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let mut rest = short.chars();
        while let Some(letter) = rest.next() {
            let option = format!("-{letter}");
            if letter == 'I' {
                self.head_only = true;
            } else if !SHORT_FLAGS.contains(letter) {
                let text = match rest.as_str() {
                    "" => None,
                    attached => Some(attached.to_owned()),
                };
                let is_ignored = SHORT_VALUES.contains(letter);
                let long = MEANT.iter().find(|(_, short)| *short == Some(letter));
                if !is_ignored && long.is_none() {
                    bail!("{}", unknown(&option));
                }
                let text = match text {
                    Some(text) => text,
                    None => value(&option)?,
                };
                if let Some((long, _)) = long {
                    self.option(long, &text)?;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn option(&mut self, long: &str, text: &str) -> anyhow::Result<()> {
        match long {
            "--request" => self.method = Some(text.to_owned()),
            "--url" => {
                if self.url.replace(text.to_owned()).is_some() {
                    bail!("the line has more than one URL");
                }
            }
            "--header" => self.header(text)?,
            "--user-agent" => self.set(USER_AGENT, text)?,
            "--referer" => self.set(REFERER, text)?,
            "--cookie" => {
                if !text.contains('=') {
                    bail!("-b with a file of cookies is not read: write -b 'NAME=VALUE'");
                }
                self.set(COOKIE, text)?;
            }
            "--user" => {
                let user = BASE64.encode(text.as_bytes());
                self.set(AUTHORIZATION, &format!("Basic {user}"))?;
            }
            // As curl: of a file without its line ends, and joined to what is there.
            "--data" | "--data-ascii" => {
                let mut data = self.file_or(text)?;
                if text.starts_with('@') {
                    data.retain(|byte| !b"\r\n\0".contains(byte));
                }
                self.data(&data, b"&", FORM);
            }
            "--data-binary" => self.data(&self.file_or(text)?, b"&", FORM),
            "--data-raw" => self.data(text.as_bytes(), b"&", FORM),
            _ => self.data(&self.file_or(text)?, b"", JSON),
        }
        Ok(())
    }

    /// The text, or the file behind an `@`.
    fn file_or(&self, text: &str) -> anyhow::Result<Vec<u8>> {
        match text.strip_prefix('@') {
            None => Ok(text.as_bytes().to_vec()),
            Some(_) if self.files == Files::None => {
                bail!("no file is read here: write the body into the line, with --data-raw")
            }
            Some("-") => bail!("standard input is not read for a curl line: name a file"),
            Some(path) => std::fs::read(path)
                .map_err(|error| anyhow::anyhow!("{path}: {}", crate::value::unread(&error))),
        }
    }

    fn data(&mut self, data: &[u8], between: &[u8], media_type: &'static str) {
        self.media_type = Some(media_type);
        match &mut self.body {
            Some(body) => {
                body.extend_from_slice(between);
                body.extend_from_slice(data);
            }
            None => self.body = Some(data.to_vec()),
        }
    }

    fn header(&mut self, text: &str) -> anyhow::Result<()> {
        let (name, value) = match (text.split_once(':'), text.strip_suffix(';')) {
            (Some((name, value)), _) => (name, value.trim()),
            (None, Some(name)) => (name, ""),
            (None, None) => bail!("a header is written -H 'NAME: VALUE'"),
        };
        let name: HeaderName = name.trim().parse().context("-H: the name of a header")?;
        if value.is_empty() && text.ends_with(':') {
            self.without.push(name);
            return Ok(());
        }
        self.set(name, value)
    }

    fn set(&mut self, name: HeaderName, value: &str) -> anyhow::Result<()> {
        if name == AUTHORIZATION && value.contains('$') {
            bail!(
                "the Authorization header has a variable in it, which only a shell knows: leave the header out, and say who \
                 calls by --token ID"
            );
        }
        let value = HeaderValue::from_str(value).map_err(|_invalid| {
            anyhow::anyhow!("the value of {name} has characters that no header has")
        })?;
        self.headers.append(name, value);
        Ok(())
    }

    /// What curl would send.
    fn request(mut self) -> anyhow::Result<Request<Bytes>> {
        let url = self.url.take().context("the line has no URL")?;
        if url.contains('$') {
            bail!("the URL has a variable in it, which only a shell knows: write it out");
        }
        let url = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        let url = url.split('#').next().unwrap_or_default();
        let uri: Uri = url.parse().context("the URL")?;
        let (Some(authority), Some(path)) = (uri.authority(), uri.path_and_query()) else {
            bail!("the URL has no host");
        };
        let method = match (&self.method, self.head_only, &self.body) {
            (Some(method), ..) => method.as_str(),
            (None, true, _) => "HEAD",
            (None, false, Some(_)) => "POST",
            (None, false, None) => "GET",
        };
        let mut request = Request::builder().method(method).uri(path.clone());
        let defaults = [
            (HOST, Some(authority.as_str())),
            (CONTENT_TYPE, self.media_type),
            (
                ACCEPT,
                Some(if self.media_type == Some(JSON) {
                    JSON
                } else {
                    "*/*"
                }),
            ),
        ];
        for (name, value) in defaults {
            if let Some(value) = value
                && !self.headers.contains_key(&name)
                && !self.without.contains(&name)
            {
                self.headers.insert(name, HeaderValue::from_str(value)?);
            }
        }
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers);
        }
        Ok(request.body(Bytes::from(self.body.unwrap_or_default()))?)
    }
}

/// The line on one line, and in the quoting that every shell has: browsers write `$'…'`, which is bash's.
fn plain(line: &str) -> anyhow::Result<String> {
    let line = line.replace("\\\r\n", "\\\n");
    let mut plain = String::new();
    let mut quote = None;
    let mut rest = line.chars().peekable();
    while let Some(letter) = rest.next() {
        match (letter, quote, rest.peek()) {
            ('\\', None, Some('\n')) => {
                rest.next();
                plain.push(' ');
            }
            ('$', None, Some('\'')) => {
                rest.next();
                let text = ansi_c(&mut rest)?;
                plain.push_str(&shlex::try_quote(&text)?);
            }
            ('\\', None | Some('"'), Some(next)) => {
                plain.extend([letter, *next]);
                rest.next();
            }
            _ => {
                plain.push(letter);
                match quote {
                    None if letter == '\'' || letter == '"' => quote = Some(letter),
                    Some(open) if open == letter => quote = None,
                    _ => {}
                }
            }
        }
    }
    Ok(plain)
}

/// Whether a shell would put something else in the place of a part of it: a variable, or what a command prints. Of a
/// line as [`plain`] gives it.
fn is_for_a_shell(line: &str) -> bool {
    let (mut quote, mut letters) = (None, line.chars().peekable());
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => drop(letters.next()),
            ('`', None | Some('"')) => return true,
            ('$', None | Some('"')) if letters.peek().copied().is_some_and(begins_a_name) => {
                return true;
            }
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            _ => {}
        }
    }
    false
}

fn begins_a_name(next: char) -> bool {
    next.is_ascii_alphanumeric() || "_{(@*#?!$-".contains(next)
}

/// What stands in `$'…'`, behind the first quote.
fn ansi_c(rest: &mut Peekable<Chars<'_>>) -> anyhow::Result<String> {
    let mut text = Vec::new();
    loop {
        let letter = match rest.next().context(OPEN)? {
            '\'' => return String::from_utf8(text).context("what stands in $'…' is not UTF-8"),
            '\\' => match rest.next().context(OPEN)? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                itself @ ('\\' | '\'' | '"' | '?') => itself,
                'x' => {
                    text.push(u8::try_from(hexadecimal(rest, 2)?)?);
                    continue;
                }
                'u' => char::from_u32(hexadecimal(rest, 4)?).context("\\u is for a character")?,
                other => bail!("\\{other} is not understood in $'…'"),
            },
            plain => plain,
        };
        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// A number of so many digits, or fewer.
fn hexadecimal(rest: &mut Peekable<Chars<'_>>, most: usize) -> anyhow::Result<u32> {
    let digits = std::iter::from_fn(|| rest.next_if(char::is_ascii_hexdigit));
    let digits: String = digits.take(most).collect();
    u32::from_str_radix(&digits, 16).context("\\x and \\u need a hexadecimal number in $'…'")
}

fn unknown(option: &str) -> String {
    // What is behind it may be a secret.
    let option = option.split(['=', ' ', ':']).next().unwrap_or_default();
    let why = match option {
        "-F" | "--form" => "a form is no request of these APIs",
        "-T" | "--upload-file" => "an upload is no request of these APIs",
        "-G" | "--get" => "write the query into the URL",
        "-K" | "--config" | "-n" | "--netrc" => "write what it says into the line",
        "--data-urlencode" => "write the body as it is, with --data-raw",
        _ => "leave it out if it does not change the request",
    };
    format!("curl's option {option} is not understood here: {why}")
}

/// Options that make a request, with their short forms.
const MEANT: [(&str, Option<char>); 12] = [
    ("--cookie", Some('b')),
    ("--data", Some('d')),
    ("--data-ascii", None),
    ("--data-binary", None),
    ("--data-raw", None),
    ("--header", Some('H')),
    ("--json", None),
    ("--referer", Some('e')),
    ("--request", Some('X')),
    ("--url", None),
    ("--user", Some('u')),
    ("--user-agent", Some('A')),
];

/// Options that change nothing about the request.
const LONG_FLAGS: [&str; 22] = [
    "--basic",
    "--compressed",
    "--fail",
    "--fail-with-body",
    "--globoff",
    "--http1.1",
    "--http2",
    "--include",
    "--insecure",
    "--location",
    "--no-buffer",
    "--no-progress-meter",
    "--path-as-is",
    "--progress-bar",
    "--show-error",
    "--silent",
    "--ssl-reqd",
    "--tlsv1.2",
    "--tlsv1.3",
    "--verbose",
    "--ipv4",
    "--ipv6",
];
const SHORT_FLAGS: &str = "#46LNSfgikqsv";

/// The same with a value.
const LONG_VALUES: [&str; 17] = [
    "--cacert",
    "--capath",
    "--cert",
    "--connect-timeout",
    "--connect-to",
    "--cookie-jar",
    "--dump-header",
    "--key",
    "--limit-rate",
    "--max-redirs",
    "--max-time",
    "--output",
    "--proxy",
    "--resolve",
    "--retry",
    "--retry-delay",
    "--write-out",
];
const SHORT_VALUES: &str = "DEcmowx";

/// What ends a command, or leads its output elsewhere.
const SHELL: [&str; 8] = ["|", "||", "&", "&&", ";", ">", ">>", "2>"];

const OPEN: &str = "a quote or a backslash is open at the end";

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
