use serde_json::json;

use super::*;
use crate::policy::input::tests::{input, text, with_one_member_otherwise};

fn about(members: &Json) -> About {
    let mut about = About::default();
    for (name, value) in members.as_object().unwrap() {
        about.read(name, value).unwrap().unwrap();
    }
    about
}

/// Requests whose callers are named by each thing that may name one, the first of them by all.
fn requests() -> Vec<Input> {
    let mut request = input();
    request.caller.teams = vec!["payments".to_owned()];
    request.caller.jwt.issuer = text("https://issuer");
    request.caller.jwt.subject = text("ci");
    request.caller.certificate.spiffe_id = text("spiffe://a/b");
    request.caller.certificate.issuer = text("CN=ca");
    request.caller.certificate.subject = text("CN=ci");
    let mut all = vec![request.clone()];
    for take in [
        (|it| it.caller.jwt.subject = text("")) as fn(&mut Input),
        |it| it.caller.certificate.spiffe_id = text(""),
        |it| it.caller.certificate.subject = text(""),
        |it| it.caller.token.id = text(""),
    ] {
        take(&mut request);
        all.push(request.clone());
    }
    all
}

/// Whoever lacks a member asks for this list: what entries read beside it would be judged from what is not there.
#[test]
fn an_entry_reads_what_it_says_and_nothing_else() {
    let entries = [
        json!({"environment": "prod"}),
        json!({"team": "payments"}),
        json!({"caller": "dt0c01.ST2EY72KQINMH574WMNVI7YN"}),
        json!({"token": "d5836312-5790-4e80-afcf-09971954c3ea"}),
        json!({"percent": 50}),
        json!({"from": "2026-01-01"}),
        json!({"until": "2027-01-01"}),
        json!({"environment": "prod", "team": "payments", "percent": 50, "until": "2027-01-01"}),
    ];
    let mut all = Vec::new();
    for entry in entries {
        let about = about(&entry);
        for request in requests() {
            let answer = |of: &Input| {
                let (time, drawn) = (of.time, about.percent.map(|_| drawn("p", of)));
                let is = About {
                    percent: None,
                    ..about.clone()
                }
                .is(of, "p");
                (is, drawn, about.has_begun(time), about.has_ended(time))
            };
            let reads = about.reads(Some(&request));
            assert!(!reads.is_empty(), "{entry}");
            for (path, other) in with_one_member_otherwise(&request) {
                let is_read = reads.contains(&path.as_str());
                if answer(&other) != answer(&request) {
                    assert!(is_read, "{entry} reads {path}, and does not say so");
                    all.push(path);
                }
            }
            let of_any = about.reads(None);
            assert!(reads.iter().all(|path| of_any.contains(path)), "{entry}");
        }
    }
    let paths = crate::policy::input::members();
    for path in about(&json!({
        "environment": "a", "team": "a", "caller": "a", "token": "a", "percent": 1, "until": "2027-01-01",
    }))
    .reads(None)
    {
        assert!(paths.iter().any(|it| it == path), "there is no {path}");
        assert!(all.iter().any(|it| it == path), "nothing reads {path}");
    }
    assert!(about(&json!({})).reads(None).is_empty());
}
