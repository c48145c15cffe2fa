//! Untrusted requests in, [`Call`]s out: the only reader of what clients send.
//!
//! A [`Call`] exists only for a guarded request that can be understood in exactly one way; what will
//! go upstream is made here, from the same value that policies judge. It refuses to know policies, the
//! journal and the upstream, and waits for nothing: whoever calls it has the bytes.

mod caller;
mod error;
mod fields;
mod fold;
pub mod host;
pub mod json;
#[cfg(test)]
mod oracle;
mod overrides;
pub mod path;
pub mod prefix;
mod reading;
mod secrets;
mod settings;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http::request::Parts;
use serde_json::Value;

use crate::dynatrace::catalogue::{Catalogue, Content, Only};
use crate::dynatrace::change::{self, TokenChange, Understood};
use crate::dynatrace::redact::{Redacted, Redactor, names_a_secret};
use crate::dynatrace::token::{Caller, HashKey, TokenSecret};
use crate::value::Sha256Hex;
pub use caller::{caller, credential_name, has_token, redactor, require_credential};
pub use error::{HeadError, ReadError};
pub use fields::refuse_connection_fields;
use fields::{API_TOKEN, Credential, asks_for, credential, is_json, parameters};
pub use overrides::{is_about_another_request, only_reads};
use overrides::{refuse_method, refuse_overrides};
use path::{CanonicalPath, Likeness, PathError, Target};
use reading::Work;
use secrets::secret_in;

/// Where a request goes from its head alone.
#[derive(Debug)]
pub enum Route {
    Guarded(Box<Head>),
    /// Streamed through, byte for byte.
    Open,
    /// Which of the two, its body has to tell: [`sift`].
    Unsure(Box<Head>),
}

/// Where a request goes that had to be read for it.
#[derive(Debug)]
pub enum Sifted {
    Guarded(Box<Head>),
    Open,
}

/// The head of a guarded request, understood. Its body is still to be read.
#[derive(Clone, Debug)]
pub struct Head {
    path: CanonicalPath,
    caller: Option<Caller>,
    credential: Option<Credential>,
    /// The query as it came, where the operation has one. It may hold secrets.
    query: Option<TokenSecret>,
    /// Whether its credential is the gate's.
    brokered: bool,
    /// Of its parameters those that are no credential, names folded, values decoded.
    parameters: Vec<(String, String)>,
    redactor: Redactor,
}

/// A guarded request, read whole and understood.
#[derive(Debug)]
pub struct Call {
    head: Head,
    understood: Understood,
    forwarded: Bytes,
    received_sha256: Sha256Hex,
    forwarded_sha256: Sha256Hex,
}

/// Reads the head of any request, of which a body follows or none. `redactor`: the request's own, made by [`redactor`].
pub fn head(
    parts: &Parts,
    has_body: bool,
    redactor: &Redactor,
    catalogue: &Catalogue,
    key: &HashKey,
) -> Result<Route, HeadError> {
    read(
        parts,
        has_body,
        redactor,
        catalogue,
        key,
        &mut Work::default(),
    )
}

fn read(
    parts: &Parts,
    has_body: bool,
    redactor: &Redactor,
    catalogue: &Catalogue,
    key: &HashKey,
    work: &mut Work,
) -> Result<Route, HeadError> {
    host::is_one(parts)?;
    refuse_method(parts.method.as_str())?;
    // Other codings would be taken off with this connection's framing, and nobody would undo them.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(ReadError::Encoding.into());
    }
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let likeness = Likeness::of(path, catalogue, work).map_err(PathError::from)?;
    let target = likeness.classify(method, path, catalogue, key);
    let operation = match &target {
        Ok(Target::Guarded(path)) => Some(path.endpoint().operation),
        Ok(Target::Open) | Err(_) => None,
    };
    let of_operation = |error| HeadError { error, operation };
    refuse_overrides(parts, &likeness, catalogue, work).map_err(of_operation)?;
    match target? {
        Target::Guarded(path) => {
            understand_head(parts, has_body, redactor, key, path, work).map_err(of_operation)
        }
        Target::Open => Ok(Route::Open),
    }
}

/// The head of a request to a guarded path.
fn understand_head(
    parts: &Parts,
    has_body: bool,
    redactor: &Redactor,
    key: &HashKey,
    path: CanonicalPath,
    work: &mut Work,
) -> Result<Route, ReadError> {
    let endpoint = path.endpoint();
    let unsure = match endpoint.only {
        Only::Query(name) if !asks_for(parts, name, work)? => return Ok(Route::Open),
        Only::Always | Only::Query(_) => false,
        Only::Schemas => match path.object().map(settings::schema) {
            None => true,
            Some(Some(schema)) if !settings::governs_tokens(&schema) => return Ok(Route::Open),
            Some(Some(_)) => false,
            Some(None) => return Err(ReadError::ObjectId),
        },
    };
    if !unsure {
        path.accept()?;
    }
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(ReadError::Encoding);
    }
    if endpoint.content.is_read() && !is_json(&parts.headers) {
        match endpoint.content {
            _ if has_body => return Err(ReadError::MediaType),
            Content::Named(_) => {}
            _ => return Err(ReadError::Empty(endpoint.operation)),
        }
    }
    refuse_connection_fields(&parts.headers, redactor)?;
    let mut parameters = parameters(parts, work)?;
    let credential = credential(parts, &parameters, endpoint)?;
    // Policies see it, and the journal with them.
    if let Some(environment) = path.environment()
        && redactor.holds_token(environment)
    {
        return Err(ReadError::Secret(Redacted::ours("the path")));
    }
    if redactor.is_shown(&path.public()) {
        return Err(ReadError::Secret(Redacted::ours("the path")));
    }
    let caller = credential.as_ref().map(|credential| {
        let text = credential.secret.expose();
        if credential.in_query {
            Caller::from_query(text, key)
        } else {
            Caller::from_authorization(text, key)
        }
    });
    let query = parts.uri.query().filter(|_| endpoint.query);
    parameters.retain(|(name, _)| name != API_TOKEN);
    let head = Box::new(Head {
        parameters,
        query: query.map(|query| TokenSecret::new(query.to_owned())),
        path,
        caller,
        credential,
        brokered: false,
        redactor: redactor.clone(),
    });
    Ok(if unsure {
        Route::Unsure(head)
    } else {
        Route::Guarded(head)
    })
}

/// Searches the body that has to tell whether a request is guarded. A large one takes milliseconds.
pub fn sift(head: Head, received: &[u8]) -> Result<Sifted, ReadError> {
    if schemas(&head, received)?.is_empty() {
        return Ok(Sifted::Open);
    }
    head.path.accept()?;
    Ok(Sifted::Guarded(Box::new(head)))
}

/// The schemas that are judged, of those that a write of settings is about.
fn schemas(head: &Head, received: &[u8]) -> Result<Vec<&'static str>, ReadError> {
    if head.path.endpoint().only != Only::Schemas {
        return Ok(Vec::new());
    }
    if let Some(schema) = head.path.object().and_then(settings::schema) {
        return Ok(settings::governing(&schema));
    }
    let mut mentioned = settings::mentioned(received)?;
    if let Some(query) = &head.query {
        mentioned.search(query.expose());
    }
    mentioned.schemas().ok_or(ReadError::ObjectId)
}

/// Understands the whole body of a guarded request. With a long query, or a long body, it takes milliseconds.
pub fn call(head: Head, received: &[u8]) -> Result<Call, ReadError> {
    let parameters = head.parameters.iter();
    let mut honest = parameters.filter(|(name, _)| !names_a_secret(name));
    if honest.any(|(_, value)| head.redactor.is_shown(value)) || head.is_shown_in_names() {
        return Err(ReadError::Secret(Redacted::ours("the query")));
    }
    let understood = understand(&head, received)?;
    let forwarded = if understood.body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(serde_json::to_vec(&understood.body).expect("JSON can be written"))
    };
    let received_sha256 = Sha256Hex::of(received);
    let forwarded_sha256 = if received == forwarded {
        received_sha256
    } else {
        Sha256Hex::of(&forwarded)
    };
    Ok(Call {
        head,
        understood,
        forwarded,
        received_sha256,
        forwarded_sha256,
    })
}

impl Head {
    pub fn path(&self) -> &CanonicalPath {
        &self.path
    }

    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The `Authorization` field as it goes upstream: what the caller was read from.
    pub fn authorization(&self) -> Option<&TokenSecret> {
        let credential = self.credential.as_ref()?;
        (!credential.in_query).then_some(&credential.secret)
    }

    /// The credential as an `Authorization` field, wherever it was presented: Dynatrace takes both for the same.
    pub fn credential(&self) -> Option<TokenSecret> {
        let credential = self.credential.as_ref()?;
        Some(if credential.in_query {
            TokenSecret::new(format!("Api-Token {}", credential.secret.expose()))
        } else {
            credential.secret.clone()
        })
    }

    /// What its caller does not know of what is shown to the upstream.
    pub fn lent(&self) -> Option<&TokenSecret> {
        let credential = self.credential.as_ref().filter(|_| self.brokered)?;
        Some(&credential.secret)
    }

    /// Whether the name of a parameter holds a secret, as it came: those that policies see are in lower case, in which
    /// nothing encoded would be found.
    fn is_shown_in_names(&self) -> bool {
        let query = self.query.as_ref().map(TokenSecret::expose);
        let mut names = fields::pairs(query).map(|(name, _)| fields::decoded(name));
        names.any(|name| self.redactor.is_shown(&name))
    }

    /// The same request with a credential of the gate's, which its caller does not know.
    #[must_use]
    pub fn brokered(self, secret: TokenSecret, caller: Caller) -> Self {
        Self {
            caller: Some(caller),
            redactor: self.redactor.and(secret.clone()),
            credential: Some(Credential {
                secret,
                in_query: false,
            }),
            brokered: true,
            ..self
        }
    }

    /// Path and query as they go upstream, without the environment's prefix if it `strips`. It may hold secrets.
    pub fn target(&self, strips: bool) -> TokenSecret {
        let path = if strips {
            self.path.raw_below()
        } else {
            self.path.raw()
        };
        match (&self.query, &self.credential) {
            (Some(query), _) => TokenSecret::new(format!("{}?{}", path.expose(), query.expose())),
            (None, Some(credential)) if credential.in_query => TokenSecret::new(format!(
                "{}?{API_TOKEN}={}",
                path.expose(),
                credential.secret.expose()
            )),
            (None, _) => path,
        }
    }

    /// Makes what the request says writable.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The query's parameters that are no credential.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }
}

impl Call {
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn change(&self) -> &TokenChange {
        &self.understood.change
    }

    pub fn understood(&self) -> &Understood {
        &self.understood
    }

    /// The body that goes upstream: our own serialisation of what was judged.
    pub fn forwarded(&self) -> &Bytes {
        &self.forwarded
    }

    /// SHA-256 of the body as received.
    pub fn received_sha256(&self) -> &Sha256Hex {
        &self.received_sha256
    }

    /// SHA-256 of the body as it goes upstream.
    pub fn forwarded_sha256(&self) -> &Sha256Hex {
        &self.forwarded_sha256
    }
}

fn understand(head: &Head, received: &[u8]) -> Result<Understood, ReadError> {
    let endpoint = head.path.endpoint();
    if !endpoint.content.is_read() {
        if received.is_empty() {
            return Ok(Understood {
                schemas: schemas(head, b"null")?,
                ..Understood::default()
            });
        }
        return Err(ReadError::Superfluous(endpoint.operation));
    }
    if received.is_empty() && matches!(endpoint.content, Content::Named(_)) {
        return Ok(Understood::default());
    }
    if received.is_empty() {
        return Err(ReadError::Empty(endpoint.operation));
    }
    let value = match endpoint.content {
        Content::Token(_) | Content::Named(_) => {
            json::parse_object(received, change::all_words()).map(Value::Object)
        }
        Content::Settings => json::parse(received),
        Content::Nothing | Content::Object | Content::Opaque => {
            json::parse_object(received, std::iter::empty()).map(Value::Object)
        }
    }?;
    if let Some(place) = secret_in(&value, endpoint.content, &head.redactor) {
        return Err(ReadError::Secret(place));
    }
    Ok(match (endpoint.content, value) {
        (Content::Token(words), Value::Object(members)) => {
            change::understand(words, endpoint.operation.makes_token(), members)?
        }
        (Content::Named(words), Value::Object(members)) => {
            change::understand(words, false, members)?
        }
        (Content::Settings, body) => Understood {
            schemas: schemas(head, received)?,
            body,
            ..Understood::default()
        },
        (_, body) => Understood {
            unknown_members: body.as_object().cloned().unwrap_or_default(),
            body,
            ..Understood::default()
        },
    })
}

#[cfg(test)]
mod tests;
