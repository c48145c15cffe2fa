//! What of an `AuthZEN` question is which part of a request.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::authzen::{Flaw, text};
use crate::dynatrace::catalogue::{ANY, Api, ENDPOINTS, Endpoint, Operation, REST, WRITE};
use crate::gateway::{Before, Supposition};
use crate::identity::supposed;
use crate::policy::input::Amounts;

/// A question that can be answered, and what in it is not used.
pub(super) struct Wanted {
    pub(super) supposition: Supposition,
    pub(super) operation: String,
    pub(super) ignored: Vec<String>,
}

/// The four entities of a question. All but the last are objects with what they need.
pub(super) struct Entities<'a> {
    pub(super) subject: &'a Map<String, Value>,
    pub(super) action: &'a Map<String, Value>,
    pub(super) resource: &'a Map<String, Value>,
    pub(super) context: Option<&'a Map<String, Value>>,
    /// Beside them stands a body.
    pub(super) is_body_beside: bool,
}

/// What is asked for, as far as it is no body.
struct Target {
    method: Method,
    path: String,
    host: Option<String>,
    headers: Option<HeaderMap>,
}

/// Who asks, as far as it is said.
#[derive(Default)]
struct Who {
    token: Option<String>,
    teams: Vec<String>,
    claims: Option<Map<String, Value>>,
    certificate: Option<Map<String, Value>>,
    address: Option<IpAddr>,
    recent: Option<Amounts>,
}

impl Who {
    /// Where it is known from what it did before: as the gate counts it, by the token before the certificate.
    fn before(&self) -> Before {
        if let Some(said) = self.recent {
            return Before::Said(said);
        }
        let is_text = |members: &Map<String, Value>, name| {
            let text = members.get(name).and_then(Value::as_str);
            text.is_some_and(|text| !text.is_empty())
        };
        let is_counted = match (&self.claims, &self.certificate) {
            (Some(claims), _) => is_text(claims, "sub"),
            // As the gate names its holder. A fingerprint alone is no name where the certificate has others.
            (None, Some(certificate)) => {
                let has = |name: &&str| {
                    let list = certificate.get(*name).and_then(Value::as_array);
                    list.is_some_and(|list| !list.is_empty())
                };
                let has_names = is_text(certificate, "subject")
                    || ["dns", "uris", "emails", "addresses"].iter().any(has);
                (is_text(certificate, "issuer") && has_names) || is_text(certificate, "spiffe_id")
            }
            (None, None) => false,
        };
        if is_counted {
            Before::Counted
        } else {
            Before::Unknown
        }
    }
}

impl Entities<'_> {
    /// The request that is meant.
    pub(super) fn wanted(&self, now: Timestamp) -> Result<Wanted, Flaw> {
        let mut ignored = Vec::new();
        let wanted = self.wanted_of(now, &mut ignored);
        let wanted = wanted.map_err(|flaw| flaw.with(&ignored))?;
        Ok(Wanted { ignored, ..wanted })
    }

    fn wanted_of(&self, now: Timestamp, ignored: &mut Vec<String>) -> Result<Wanted, Flaw> {
        let who = self.who(ignored)?;
        let name = text(self.action, "name");
        let operation: Operation = name
            .parse()
            .map_err(|_unknown| Flaw::new(404, format!("action.name is no operation of the catalogue (`dtgate endpoints` lists them): {name}")))?;
        let target = self.target(operation, ignored)?;
        let properties = properties("resource", self.resource, &["body", "current"], ignored)?;
        let body = properties.and_then(|it| it.get("body"));
        let current = properties.and_then(|it| it.get("current"));
        let (environment, time) = self.circumstances(now, ignored)?;
        if body.is_none() {
            self.tell_where_a_body_belongs(ignored);
        }
        let before = who.before();
        let certificate = who
            .certificate
            .map(|members| certificate(members.into(), now));
        let claims = who.claims.map(|claims| {
            let missing = "the claims of subject name no issuer: give \"iss\"";
            supposed::jwt(claims).ok_or_else(|| Flaw::new(400, missing))
        });
        Ok(Wanted {
            operation: operation.to_string(),
            supposition: Supposition {
                method: target.method,
                target: target.path,
                host: target.host,
                headers: target.headers,
                token: who.token,
                body: body.map(|body| Bytes::from(body.to_string())),
                address: who.address,
                certificate: certificate.transpose()?.map(Arc::new),
                jwt: claims.transpose()?,
                teams: who.teams,
                environment,
                current: current.map(|current| current.to_string().into_bytes()),
                time,
                before,
            },
            ignored: Vec::new(),
        })
    }

    /// One that stands somewhere else is judged as none.
    fn tell_where_a_body_belongs(&self, ignored: &mut Vec<String>) {
        ignored.extend(self.is_body_beside.then(|| "body".to_owned()));
        let entities = [
            ("subject", self.subject),
            ("action", self.action),
            ("resource", self.resource),
        ];
        let with_one = entities.iter().filter(|(_, it)| it.contains_key("body"));
        ignored.extend(with_one.map(|(name, _)| format!("{name}.body")));
        for name in ignored {
            if name.rsplit('.').next() == Some("body") {
                name.push_str(": give it as resource.properties.body");
            }
        }
    }

    fn who(&self, ignored: &mut Vec<String>) -> Result<Who, Flaw> {
        let mut who = Who::default();
        let id = text(self.subject, "id");
        let kind = text(self.subject, "type");
        let meant = TYPES
            .iter()
            .find(|known| known.eq_ignore_ascii_case(kind.trim()));
        if let Some(meant) = meant.filter(|meant| **meant != kind) {
            // Else nobody would be the caller, and nobody is denied less.
            let message = format!("write subject.type {meant:?} in these letters");
            return Err(Flaw::new(400, message));
        }
        if meant.is_some() && id.is_empty() {
            return Err(Flaw::new(400, "subject.id is empty"));
        }
        match kind {
            "token" => who.token = Some(public_id("subject.id", id)?),
            "team" => who.teams.push(id.to_owned()),
            "jwt" => who.claims = Some(Map::from_iter([("sub".to_owned(), id.into())])),
            "spiffe" => {
                who.certificate = Some(Map::from_iter([("spiffe_id".to_owned(), id.into())]));
            }
            _ => ignored.push("subject.id".to_owned()),
        }
        let known = [
            "address",
            "certificate",
            "claims",
            "recent",
            "teams",
            "token",
        ];
        let Some(properties) = properties("subject", self.subject, &known, ignored)? else {
            return Ok(who);
        };
        let wrong = |name: &str, what: &str| {
            Flaw::new(400, format!("subject.properties.{name} is no {what}"))
        };
        for (name, value) in properties {
            match (name.as_str(), value) {
                ("address", Value::String(address)) => {
                    let address = address.parse();
                    who.address = Some(address.map_err(|_other| wrong(name, "IP address"))?);
                }
                ("address", _) => return Err(wrong(name, "IP address")),
                ("certificate", Value::Object(members)) => {
                    let said = who.certificate.take().unwrap_or_default();
                    who.certificate = Some(joined(said, members, "certificate")?);
                }
                ("claims", Value::Object(members)) => {
                    let said = who.claims.take().unwrap_or_default();
                    who.claims = Some(joined(said, members, "claims")?);
                }
                ("certificate" | "claims", _) => return Err(wrong(name, "object")),
                ("recent", value) => {
                    let amounts = amounts(value);
                    who.recent = Some(amounts.ok_or_else(|| wrong(name, "object of counts"))?);
                }
                ("teams", Value::Array(teams)) => {
                    for team in teams {
                        let team = team.as_str().ok_or_else(|| wrong(name, "list of texts"))?;
                        if team.trim().is_empty() {
                            return Err(wrong(name, "list of names: one is empty"));
                        }
                        who.teams.push(team.to_owned());
                    }
                }
                ("teams", _) => return Err(wrong(name, "list of texts")),
                ("token", Value::String(token)) => {
                    if who.token.as_ref().is_some_and(|said| said != token) {
                        return Err(said_twice("token"));
                    }
                    who.token = Some(public_id("subject.properties.token", token)?);
                }
                ("token", _) => return Err(wrong(name, "text")),
                _ => {}
            }
        }
        Ok(who)
    }

    /// Method and path: those of the operation's row, unless the question gives its own.
    fn target(&self, operation: Operation, ignored: &mut Vec<String>) -> Result<Target, Flaw> {
        let known = ["api", "headers", "host", "method", "path"];
        let properties = properties("action", self.action, &known, ignored)?;
        let said = |name: &str| match properties.and_then(|it| it.get(name)) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Flaw::new(
                400,
                format!("action.properties.{name} is no text"),
            )),
        };
        let (api, method, path) = (said("api")?, said("method")?, said("path")?);
        let row = row(operation, api)?;
        let method = match (method, row.method) {
            (None, ANY) => "GET",
            (None, WRITE) => "POST",
            (Some(method), _) | (None, method) => method,
        };
        let method = Method::from_bytes(method.as_bytes());
        let method =
            method.map_err(|_invalid| Flaw::new(400, "action.properties.method is no method"))?;
        let path = if let Some(path) = path {
            if !path.starts_with('/') {
                return Err(Flaw::new(
                    400,
                    "action.properties.path begins with no slash",
                ));
            }
            ignored.extend(row.path.contains('{').then(|| "resource.id".to_owned()));
            path.to_owned()
        } else {
            filled(row, text(self.resource, "id"), ignored)?
        };
        let headers = properties.and_then(|it| it.get("headers")).map(headers);
        Ok(Target {
            method,
            path,
            host: said("host")?.map(str::to_owned),
            headers: headers.transpose()?,
        })
    }

    /// The environment's name, and when it is.
    fn circumstances(
        &self,
        now: Timestamp,
        ignored: &mut Vec<String>,
    ) -> Result<(Option<String>, Timestamp), Flaw> {
        let (mut environment, mut time) = (None, now);
        for (name, value) in self.context.into_iter().flatten() {
            match (name.as_str(), value) {
                ("environment", Value::String(name)) => environment = Some(name.clone()),
                ("environment", _) => return Err(Flaw::new(400, "context.environment is no text")),
                ("time", Value::String(text)) => match text.parse() {
                    Ok(parsed) => time = parsed,
                    // AuthZEN's own examples have times that RFC 3339 does not know.
                    Err(_other) => ignored.push("context.time".to_owned()),
                },
                _ => ignored.push(format!("context.{name}")),
            }
        }
        Ok((environment, time))
    }
}

/// What says who calls, as `subject.type`.
const TYPES: [&str; 4] = ["jwt", "spiffe", "team", "token"];

/// The properties of an entity; those that mean nothing are told.
fn properties<'e>(
    name: &str,
    entity: &'e Map<String, Value>,
    known: &[&str],
    ignored: &mut Vec<String>,
) -> Result<Option<&'e Map<String, Value>>, Flaw> {
    match entity.get("properties") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(properties)) => {
            let unknown = properties
                .keys()
                .filter(|key| !known.contains(&key.as_str()));
            ignored.extend(unknown.map(|key| format!("{name}.properties.{key}")));
            Ok(Some(properties))
        }
        Some(_) => Err(Flaw::new(400, format!("{name}.properties is no object"))),
    }
}

/// What a caller did before; what is not said is none.
fn amounts(said: &Value) -> Option<Amounts> {
    let mut amounts = Amounts::default();
    for (name, value) in said.as_object()? {
        let count = value.as_u64()?;
        match name.as_str() {
            "created" => amounts.created = count,
            "scopes_gained" => amounts.scopes_gained = count,
            "removed" => amounts.removed = count,
            _ => return None,
        }
    }
    Some(amounts)
}

/// Members that the subject has said, and more of them.
fn joined(
    mut said: Map<String, Value>,
    more: &Map<String, Value>,
    name: &str,
) -> Result<Map<String, Value>, Flaw> {
    for (member, value) in more {
        if said.get(member).is_some_and(|said| said != value) {
            return Err(said_twice(name));
        }
        said.insert(member.clone(), value.clone());
    }
    Ok(said)
}

fn said_twice(name: &str) -> Flaw {
    let message = format!(
        "subject.id says who calls, and subject.properties.{name} says otherwise: say it once"
    );
    Flaw::new(400, message)
}

/// Header fields, each with one text, or with several.
fn headers(said: &Value) -> Result<HeaderMap, Flaw> {
    let wrong = || {
        let message = "action.properties.headers has names of header fields, each with a text or a list of texts";
        Flaw::new(400, message)
    };
    let mut headers = HeaderMap::new();
    for (name, values) in said.as_object().ok_or_else(wrong)? {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| wrong())?;
        if NOT_SAID.contains(&name) {
            let message = format!(
                "action.properties.headers: {name} follows from the other members of the question"
            );
            return Err(Flaw::new(400, message));
        }
        let one = std::slice::from_ref(values);
        for value in values.as_array().map_or(one, Vec::as_slice) {
            let value = value.as_str().ok_or_else(wrong)?;
            let value = HeaderValue::from_str(value).map_err(|_invalid| wrong())?;
            headers
                .try_append(name.clone(), value)
                .map_err(|_too_many| wrong())?;
        }
    }
    Ok(headers)
}

fn row(operation: Operation, api: Option<&str>) -> Result<&'static Endpoint, Flaw> {
    let mut rows = ENDPOINTS.iter().filter(|row| row.operation == operation);
    let found = if let Some(api) = api {
        rows.find(|row| row.api.as_str() == api)
    } else {
        let newest = rows.clone().find(|row| row.api == Api::V2);
        newest.or_else(|| rows.next())
    };
    found.ok_or_else(|| Flaw::new(400, "action.properties.api has no such operation"))
}

/// The row's path, with the resource in its one open place.
fn filled(row: &Endpoint, id: &str, ignored: &mut Vec<String>) -> Result<String, Flaw> {
    let is_open = |segment: &&str| segment.starts_with('{');
    let mut open = row.path.split('/').filter(is_open);
    let (first, second) = (open.next(), open.next());
    match (first, second) {
        (None, _) => {
            ignored.push("resource.id".to_owned());
            Ok(row.path.to_owned())
        }
        (Some(segment), None) if segment != REST => {
            let id = utf8_percent_encode(id, &NOT_PLAIN).to_string();
            Ok(row.path.replacen(segment, &id, 1))
        }
        _ => Err(Flaw::new(
            400,
            "the operation has more than one path: give action.properties.path",
        )),
    }
}

/// The public part of a token. The whole of one is not repeated.
fn public_id(place: &str, id: &str) -> Result<String, Flaw> {
    let mut parts = id.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(_), Some(_)) => Err(Flaw::new(
            400,
            format!(
                "{place} is a whole token, and its secret belongs in no question: write its public id, such as \
             dt0c01.ST2EY72KQINMH574WMNVI7YN"
            ),
        )),
        (Some(prefix), Some(public), None) if prefix.starts_with("dt0") && !public.is_empty() => {
            Ok(id.to_owned())
        }
        _ => Err(Flaw::new(
            400,
            format!("{place} is no public id of a token, such as dt0c01.ST2EY72KQINMH574WMNVI7YN"),
        )),
    }
}

fn certificate(members: Value, now: Timestamp) -> Result<crate::listener::Certificate, Flaw> {
    let text = members.to_string();
    let wrong = || {
        Flaw::new(
            400,
            "subject.properties.certificate has a member that input.caller.certificate does not have, or of another kind",
        )
    };
    let members: supposed::Members = serde_json::from_value(members).map_err(|_other| wrong())?;
    if !members.has_name() {
        let message = "subject.properties.certificate says nobody: give its subject, spiffe_id, fingerprint, or a name in dns, \
                       uris or emails";
        return Err(Flaw::new(400, message));
    }
    members.certificate(&text, now).map_err(|_no_time| wrong())
}

/// What stands in a path only encoded.
const NOT_PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Header fields that the gate makes up of the rest, or that hold secrets.
const NOT_SAID: [HeaderName; 7] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    TRANSFER_ENCODING,
];
