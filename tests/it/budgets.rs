//! Refusals fill neither disk nor log: who is refused without end is counted, and everybody else is recorded as ever.

use std::io::{BufReader, Write};

use crate::harness::{GOOD, TOKEN, Upstream, gate, read_answer};
use crate::wire::{assert_envelope, connect};

#[test]
fn a_change_without_a_credential_is_401_before_its_body_is_read() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for (method, target) in [
        ("PUT", TOKEN),
        ("DELETE", TOKEN),
        ("POST", "/api/v2/apiTokens"),
        ("PUT", &format!("{TOKEN}?api-token")),
    ] {
        let mut client = connect(gate.address);
        // The body never comes.
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: g\r\nCookie: \r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        let answer = read_answer(&mut BufReader::new(client)).unwrap();
        if target == TOKEN || method == "POST" {
            assert_envelope(&answer, 401);
            assert!(answer.message().contains("Authorization: Api-Token"));
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Api-Token realm=\"Dynatrace\""));
        } else {
            assert_envelope(&answer, 400);
        }
    }
    assert!(upstream.seen().is_empty());
    let refused = &gate.records()[1];
    assert_eq!(refused["kind"], "decision");
    assert_eq!(refused["verdict"], "deny");
    assert_eq!(refused["operation"], "token.update");
    assert!(refused.get("input").is_none(), "policies saw it: {refused}");
    assert!(refused.get("caller").is_none(), "{refused}");
    // All that Dynatrace knows a caller by is a credential.
    for (field, target) in [
        ("Authorization: Bearer dt0s16.ABC.X\r\n", TOKEN.to_owned()),
        ("", format!("{TOKEN}?Api-Token=dt0c01.ABC.X")),
        ("Cookie: b925d32c=session\r\n", TOKEN.to_owned()),
    ] {
        let answer = gate.raw(format!(
            "PUT {target} HTTP/1.1\r\nHost: g\r\n{field}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{GOOD}",
            GOOD.len()
        ));
        assert_eq!(answer.status, 204, "{field}: {answer:?}");
    }
    // What is not guarded is Dynatrace's to refuse.
    let open = "GET /api/v2/metrics HTTP/1.1\r\nHost: g\r\n\r\n";
    assert_eq!(gate.raw(open).status, 204);
}
