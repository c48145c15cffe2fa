//! Settings objects, as far as writing them is answered: nothing is kept, and no schema is checked.
//!
//! Faithful is the id: base64url of a text that holds the schema, because an update names its schema
//! nowhere else.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    body::Members,
    call::Call,
    reply::{self, Refusal, Violation},
    state::{State, require},
};

const WRITE: [&str; 1] = ["settings.write"];
/// Every id begins and ends with it.
const MARK: &[u8] = b"\xbe\xefT\xde\x15\xda\xde\xad";

/// `path` is what follows `/api/v2/settings/objects`.
pub(super) fn answer(
    state: &mut State,
    call: &Call,
    path: &[&str],
) -> Result<Response<Bytes>, Refusal> {
    match (path, &call.method) {
        ([], &Method::POST) => create(state, call),
        ([], _) => Err(Refusal::method("POST")),
        ([id], &Method::PUT) => update(state, call, id),
        ([_], _) => Err(Refusal::method("PUT")),
        _ => Err(Refusal::not_found()),
    }
}

/// The body is an array: one request may write objects of several schemas.
fn create(state: &mut State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    require(&call.authenticate(state)?, &WRITE)?;
    let objects: Vec<Value> = serde_json::from_slice(&call.body)
        .map_err(|_error| Refusal::bad("The request body is not a JSON array."))?;
    let mut answers = Vec::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let Some(schema) = text("schemaId") else {
            let path = format!("[{index}].schemaId");
            let violation = Violation::body(path, "Must not be null.");
            return Err(Refusal::violated(vec![violation]));
        };
        let scope = text("scope").unwrap_or("environment");
        let id = object_id(schema, scope, state.next_number());
        answers.push(json!({"code": 200, "objectId": id}));
    }
    Ok(reply::json(StatusCode::OK, &answers))
}

fn update(state: &mut State, call: &Call, id: &str) -> Result<Response<Bytes>, Refusal> {
    require(&call.authenticate(state)?, &WRITE)?;
    Members::read(&call.headers, &call.body)?;
    let bytes = BASE64URL_NOPAD.decode(id.as_bytes()).unwrap_or_default();
    if !bytes.starts_with(MARK) {
        let message = format!("Settings object with ID '{id}' not found.");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    Ok(reply::json(
        StatusCode::OK,
        &json!({"code": 200, "objectId": id}),
    ))
}

fn object_id(schema: &str, scope: &str, number: u64) -> String {
    // The scope of the whole environment is called so inside.
    let scope = if scope == "environment" {
        "tenant"
    } else {
        scope
    };
    let own = format!("00000000-0000-4000-8000-{number:012}");
    let kind = scope.split('-').next().unwrap_or_default();
    let mut bytes = MARK.to_vec();
    bytes.extend(1_u32.to_be_bytes());
    for text in [schema, kind, scope, &own] {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(text.bytes());
    }
    bytes.extend(MARK);
    BASE64URL_NOPAD.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{
        fixture::{ask, simulator},
        seeds::{AUTOMATION, LOOKED_UP},
    };

    #[test]
    fn an_object_is_named_by_an_id_that_holds_its_schema() {
        let simulator = simulator();
        let body = r#"[{"schemaId":"builtin:tokens.token-settings","scope":"environment","value":{"patEnabled":true}},
            {"schemaId":"builtin:activegate-token","value":{}}]"#;
        let answer = ask(
            &simulator,
            AUTOMATION,
            "POST /api/v2/settings/objects",
            body,
        );
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let written = answer.json();
        let ids: Vec<&str> = [&written[0], &written[1]]
            .map(|object| object["objectId"].as_str().unwrap())
            .to_vec();
        let decoded = BASE64URL_NOPAD.decode(ids[0].as_bytes()).unwrap();
        let expected = b"\xbe\xefT\xde\x15\xda\xde\xad\0\0\0\x01\0\x1dbuiltin:tokens.token-settings\0\x06tenant\0\x06tenant\0\x24";
        assert!(decoded.starts_with(expected), "{decoded:?}");
        assert_ne!(ids[0], ids[1]);

        let line = format!("PUT /e/abc12345/api/v2/settings/objects/{}", ids[0]);
        let answer = ask(&simulator, AUTOMATION, &line, r#"{"value":{}}"#);
        assert_eq!(
            (answer.status(), &answer.json()["objectId"]),
            (200, &written[0]["objectId"])
        );
    }

    #[test]
    fn every_other_request_for_settings_is_refused_as_documented() {
        let objects = "POST /api/v2/settings/objects";
        for (caller, line, body, status) in [
            (AUTOMATION, objects, "{}", 400),
            (AUTOMATION, objects, r#"[{"value":{}}]"#, 400),
            (LOOKED_UP, objects, "[]", 403),
            (AUTOMATION, "DELETE /api/v2/settings/objects", "", 405),
            (AUTOMATION, "PUT /api/v2/settings/objects/x", "{}", 404),
            (AUTOMATION, "PUT /api/v2/settings/objects/x", "[]", 400),
            (AUTOMATION, "PATCH /api/v2/settings/objects/x", "{}", 405),
            (AUTOMATION, "PUT /api/v2/settings/objects/x/y", "{}", 404),
        ] {
            let answer = ask(&simulator(), caller, line, body);
            assert_eq!(answer.status(), status, "{line}: {}", answer.text());
        }
    }
}
