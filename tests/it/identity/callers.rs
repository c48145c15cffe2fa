//! What policies are told about a caller, and what nobody is told.

use serde_json::{Value, json};

use super::{BROKERED, FIELD, JWT, Making, TLS, naming, of_payments, parts, telling};
use crate::harness::Upstream;
use crate::tls::clients::{ask, client};

const OWN: &str = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X";

#[test]
fn policies_and_the_journal_are_told_the_certificate_the_token_and_the_teams() {
    let stand = Making::new().start(&[TLS, JWT]);
    let issued = stand.authority.issue(of_payments);
    let known = client(&stand.gate, Some(issued));
    let nobody = client(&stand.gate, None);
    let jwt = stand.token(json!({"iss": FIELD, "jti": "d5836312-5790-4e80-afcf-09971954c3ea"}));
    let own = ("Authorization", OWN);
    let proof = ("X-Dtgate-Token", &*jwt);
    for (client, fields, status) in [
        (&nobody, &[own][..], 403),
        (&known, &[own], 204),
        (&nobody, &[own, proof], 204),
        (&known, &[proof, own], 204),
    ] {
        let answer = ask(client, stand.gate.address, b"", &naming("payments", fields)).unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let decisions = stand.decisions();
    let callers: Vec<&Value> = decisions.iter().map(|it| &it["input"]["caller"]).collect();
    let none = json!({
        "subject": "", "issuer": "", "serial": "", "dns": [], "uris": [], "emails": [], "addresses": [],
        "spiffe_id": "", "fingerprint": "", "not_after": "",
    });
    let shown = &callers[1]["certificate"];
    let nothing = json!({"issuer": "", "subject": "", "audiences": [], "id": "", "claims": {}});
    let told = json!({
        "issuer": FIELD, "subject": "repo:example/payments:ref:refs/heads/main", "audiences": ["dtgate"],
        "id": "d5836312-5790-4e80-afcf-09971954c3ea",
        "claims": {
            "iss": FIELD, "aud": "dtgate", "sub": "repo:example/payments:ref:refs/heads/main",
            "repository": "example/payments", "jti": "d5836312-5790-4e80-afcf-09971954c3ea",
            "exp": callers[2]["jwt"]["claims"]["exp"],
        },
    });
    for (caller, certificate, jwt, teams) in [
        (callers[0], &none, &nothing, json!([])),
        (callers[1], shown, &nothing, json!(["payments"])),
        (callers[2], &none, &told, json!(["payments"])),
        (callers[3], shown, &told, json!(["payments"])),
    ] {
        assert_eq!(caller["certificate"], *certificate);
        assert_eq!(caller["jwt"], *jwt);
        assert_eq!(caller["teams"], teams);
        assert_eq!(caller["token"]["id"], "dt0c01.ST2EY72KQINMH574WMNVI7YN");
    }
    let uri = "spiffe://example/ns/payments/sa/ci";
    for (member, expected) in [
        ("subject", json!("CN=ci")),
        ("issuer", json!("CN=Root")),
        ("serial", json!("07")),
        ("dns", json!(["ci.payments.example"])),
        ("uris", json!([uri])),
        ("emails", json!(["ci@payments.example"])),
        ("addresses", json!(["192.0.2.1"])),
        ("spiffe_id", json!(uri)),
    ] {
        assert_eq!(shown[member], expected);
    }
    assert_eq!(shown["fingerprint"].as_str().unwrap().len(), 64);
    // As every other time, so that the two compare as texts.
    assert!(shown["not_after"].as_str().unwrap().contains(".000Z"));
    assert!(shown["not_after"].as_str() > decisions[1]["input"]["time"].as_str());
    // The header in the shape of OPA-Envoy is without the field.
    for decision in &decisions {
        let headers = &decision["input"]["attributes"]["request"]["http"]["headers"];
        assert_eq!(headers["x-dtgate-token"], Value::Null);
        assert_eq!(headers["authorization"], Value::Null);
        assert_eq!(headers["host"], "gate", "{headers}");
    }
    for seen in stand.upstream.seen() {
        assert_eq!(seen.header("x-dtgate-token"), None);
        assert_eq!(seen.header("authorization"), Some(OWN));
    }
    stand.hides(&parts(&jwt));
}

#[test]
fn honest_claims_are_told_as_they_are() {
    let stand = Making::before(telling()).start(&[JWT, BROKERED]);
    let long = "a-very-long-name.of-somebody.with-many-parts+build@payments.department.example.com";
    let honest = json!({
        "sub": "repo:octo-organisation/octo-repository:ref:refs/heads/feature/JIRA-1234-do_something",
        "email": long,
        "jti": "example-id-3f1b1d5e-8d1c-4a6f-9f1b-6f6f6f6f6f6f",
        "sid": "d5836312-5790-4e80-afcf-09971954c3ea",
        "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "oid": "00000000-0000-0000-66f3-3332eca7ea81",
        "groups": ["CN=Payments Team,OU=Groups,DC=example,DC=com", "0d1f7e5a9b3c"],
        "realm_access": {"roles": ["offline_access", "uma_authorization"]},
        "kubernetes.io": {"namespace": "payments", "pod": {"name": "ci-7f9c6c5b4-x2x9z"}},
        "acr": "urn:mace:incommon:iap:silver",
        "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng",
        "azp": "0oa1b2c3d4E5F6G7h8i9",
        "nonce": "n-0S6_WzA2Mj",
        "upn": "ci@example.com",
        "role": "arn:aws:iam::123456789012:role/payments-ci-deployer",
        "login_url": "https://idp.example/login?auth=none",
        "number": 12_345_678_901_u64,
        "flag": true,
        "nothing": null,
    });
    for more in ["", "more"] {
        let mut claims = honest.clone();
        // All three ways in which base64 may stand.
        claims["z"] = json!(more);
        let bearer = stand.bearer(claims.clone());
        let answer = stand.name("payments", &[("Authorization", &bearer)]);
        assert_eq!(answer.status, 204, "{answer:?}");
        let told = stand.decisions().pop().unwrap()["input"]["caller"]["jwt"].clone();
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(told["claims"][name], *value, "{name}");
        }
        assert_eq!(told["subject"], claims["sub"]);
        assert_eq!(told["id"], claims["jti"]);
        stand.hides(&parts(bearer.split_at(7).1));
    }
}

#[test]
fn secrets_in_claims_and_in_certificates_are_told_nobody() {
    let stand = Making::new().start(&[TLS, JWT]);
    let secret = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    let token = format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{secret}");
    let bare = format!("dt0s16.ABCDEFGH.{}", secret.to_lowercase());
    let mut name = serde_json::Map::new();
    name.insert(token.clone(), json!(1));
    let claims = json!({
        "iss": FIELD, "sub": format!("job {token}"), "jti": token, "aud": ["dtgate", token],
        "deep": [{"er": {"still": bare}}], "name": name,
        "jwt": stand.token(json!({})), "header": "Authorization: Basic dXNlcjpnZWhlaW1uaXM5OTk=",
    });
    let jwt = stand.token(claims);
    let known = client(
        &stand.gate,
        Some(stand.authority.issue(|it| {
            it.distinguished_name
                .push(rcgen::DnType::OrganizationName, token.clone());
        })),
    );
    let fields = [("Authorization", OWN), ("x-dtgate-token", &*jwt)];
    let request = naming("payments", &fields);
    let answer = ask(&known, stand.gate.address, b"", &request).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    let caller = stand.decisions().pop().unwrap()["input"]["caller"].clone();
    let public = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    assert_eq!(caller["jwt"]["subject"], format!("job {public}.[secret]"));
    assert_eq!(caller["jwt"]["claims"]["jwt"], "[secret]");
    assert!(
        caller["certificate"]["subject"]
            .as_str()
            .unwrap()
            .contains(&format!("{public}.[secret]")),
        "{caller}"
    );
    let (begin, _) = secret.split_at(20);
    stand.hides(&[begin, &begin.to_lowercase(), "dXNlcjpn"]);
    stand.hides(&parts(&jwt));
}

/// A token that a caller shows twice, once where it does not belong.
#[test]
fn a_token_that_is_pasted_elsewhere_is_written_nowhere() {
    let upstream = Upstream::lenient();
    let stand = Making::before(upstream).start(&[JWT, BROKERED]);
    for head in [
        json!({"alg": "ES256", "kid": "k"}).to_string(),
        "{ \"alg\": \"ES256\",\n \"kid\": \"k\" }".to_owned(),
        "{\n \"alg\": \"ES256\",\n \"kid\": \"k\"\n}".to_owned(),
    ] {
        let jwt = stand
            .signer
            .signed(&head, &super::claims(json!({})).to_string());
        let bearer = format!("Bearer {jwt}");
        let pasted = parts(&jwt).join(".");
        let proof = ("Authorization", &*bearer);
        let answers = [
            stand.name(&pasted, &[proof]),
            stand.name(&format!("job {}", parts(&jwt)[1]), &[proof]),
            stand.name("payments", &[proof, ("x-request-id", &pasted)]),
            stand.name("payments", &[proof, ("x-job", &format!("a {pasted}"))]),
            stand.get(&format!("/api/v2/metrics/{pasted}"), &[proof]),
            stand.get(&format!("/api/v1/tokens/{pasted}"), &[proof]),
            stand.get(&format!("/api/v2/metrics?job={pasted}"), &[proof]),
        ];
        for answer in answers {
            for part in &parts(&jwt)[1..] {
                assert!(!format!("{answer:?}").contains(part), "{answer:?}");
            }
        }
        stand.hides(&parts(&jwt)[1..]);
    }
}
