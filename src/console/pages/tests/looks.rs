//! What people see first, and what they can tell apart.

use super::*;

/// One that is all right, and the place of each error.
fn status() -> Value {
    json!({
        "reload": {"refused": false, "last": {"ok": true, "error": null}},
        "journal": {
            "ok": true, "error": null, "free_bytes": 2_u64 << 30, "min_free_bytes": 1 << 28,
            "checkpoints_sent": {"file": {"size": 7, "error": null}},
            "kept": {"compress_error": null, "prune_error": null},
        },
        "policies": {"revision": "0123456789abcdef", "unremembered": null},
        "environments": [{"name": "prod", "connections": 1, "waiting": 0, "error": null}],
        "bundles": [{"name": "main", "error": null}],
        "issuers": [{"name": "login", "failure": null}],
        "challenger": null, "turns": null,
        "sinks": {"otlp.logs": {"seq": 1, "error": null}},
        "certificates": [{"shown_to": "clients", "file": "/etc/tls.pem", "days_left": 30}],
    })
}

/// That new policies are refused, or that the journal fails, was plain text at the bottom of the page.
#[test]
fn what_is_wrong_with_the_gate_stands_first() {
    let shown = |status: Value| {
        let gate = Gate {
            status: Some(Arc::new(move || status.clone())),
            ..gate_of(&[denial(1)])
        };
        page(&gate, &Route::Now, "last=24h")
    };
    let well = shown(status());
    assert!(!well.contains("class=\"fault\""), "{well}");
    let why = "what <b>it</b> says";
    for (place, words) in [
        ("/journal/error", "The journal cannot be written:"),
        ("/reload/last/error", "New files are refused"),
        ("/journal/checkpoints_sent/file/error", "Checkpoints do not arrive at file:"),
        ("/journal/kept/compress_error", "cannot be compressed:"),
        ("/journal/kept/prune_error", "cannot be deleted:"),
        ("/policies/unremembered", "cannot be written to policies.state:"),
        ("/environments/0/error", "The environment prod cannot be reached:"),
        ("/bundles/0/error", "The bundle main cannot be fetched:"),
        ("/issuers/0/failure", "The keys of the issuer login cannot be fetched:"),
        ("/challenger", "The files of the challenger are refused:"),
        ("/turns", "The gate gets no turns from the store:"),
        ("/sinks/otlp.logs/error", "The sink otlp.logs does not get records:"),
    ] {
        let mut status = status();
        let wrong = match place {
            "/challenger" | "/turns" => json!({"error": why}),
            _ => json!(why),
        };
        *status.pointer_mut(place).unwrap() = wrong;
        status["reload"]["refused"] = json!(place.starts_with("/reload"));
        let shown = shown(status);
        let (before, _) = shown.split_once("class=\"cards\"").unwrap();
        for words in [words, "what &lt;b&gt;it&lt;/b&gt; says.", "in docs/operations.md"] {
            assert!(before.contains(words), "{place}: {words}: {shown}");
        }
        assert_eq!(before.matches("<li>").count(), 1, "{place}: {shown}");
    }
    // Files that were put back are refused no more.
    let mut back = status();
    back["reload"]["last"] = json!({"ok": false, "error": why});
    assert!(!shown(back).contains("class=\"fault\""));
    let mut full = status();
    full["journal"]["free_bytes"] = json!(1 << 20);
    assert!(shown(full).contains("disk is full.</strong> 1 MiB are free, and 256 MiB have to be."));
    for (days, words) in [(13, "in 13 days"), (0, "expires today"), (-1, "has expired")] {
        let mut ends = status();
        ends["certificates"][0]["days_left"] = json!(days);
        let shown = shown(ends);
        assert!(shown.contains(words) && shown.contains("/etc/tls.pem."), "{shown}");
    }
}
