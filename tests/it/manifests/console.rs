//! The console in Kubernetes: by TLS, with a login, and reached by those whom the values name.

use serde_json::{Value, json};

use super::{NEEDED, assert_accepted, assert_strict, documents, helm, list, only, policies};

const CONSOLE: [&str; 8] = [
    "--set",
    "admin.tls.secretName=admin-tls,console.enabled=true,console.secretName=console,console.service=true,replicas=2",
    "--set",
    "admin.tls.clientsCa=PEM,console.publicUrl=https://gate.example",
    "--set-json",
    r#"networkPolicy.console=[{"podSelector":{"matchLabels":{"app":"ingress"}}}]"#,
    "--set-json",
    r#"console.keys={"session_idle":"15m","hosts":["gate"]}"#,
];
const ALL_WAYS: [&str; 4] = [
    "--set-json",
    r#"console.login=["certificate","password","oidc"]"#,
    "--set-json",
    r#"config="[console.certificates]\n\"CN=alice\" = \"auditor\"\n[console.oidc]\nissuer = \"https://idp.example\"\nclient_id = \"a\"\nclient_secret_file = \"/etc/dtgate/console/oidc-secret\"\nroles_claim = \"groups\"\n[console.oidc.roles]\nstaff = []\n""#,
];

fn configuration(documents: &[Value]) -> String {
    let map = only(documents, "ConfigMap");
    map["data"]["dtgate.toml"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs helm"]
fn needs_helm_the_console_has_tls_a_login_and_peers() {
    let rendered = helm(&[&NEEDED[..], &CONSOLE[..]].concat()).unwrap();
    assert_strict(&rendered);
    let all = documents(&rendered);
    let shown = configuration(&all);
    assert!(shown.contains("session_idle = \"15m\""), "{shown}");
    assert_accepted(&shown, &policies());
    // Probes, and what they ask, speak TLS.
    let set = only(&all, "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let container = &list(&pod["containers"])[0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS");
    }
    for (name, secret, path) in [
        ("admin-tls", "admin-tls", "/etc/dtgate/admin-tls"),
        ("console", "console", "/etc/dtgate/console"),
    ] {
        let is_named = |it: &&Value| it["name"] == name;
        let volume = list(&pod["volumes"]).iter().find(is_named).unwrap();
        assert_eq!(volume["secret"]["secretName"], secret);
        let mount = list(&container["volumeMounts"]).iter().find(is_named);
        assert_eq!(mount.unwrap()["mountPath"], path);
    }
    // One for each gate: each has a journal and sessions of its own.
    for number in 0..2 {
        let name = json!(format!("dtgate-{number}-console"));
        let service = all
            .iter()
            .find(|it| it["kind"] == "Service" && it["metadata"]["name"] == name)
            .unwrap();
        let pod = &service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"];
        assert_eq!(pod, &json!(format!("dtgate-{number}")));
        let port = &service["spec"]["ports"][0];
        assert_eq!(
            (&port["port"], &port["targetPort"]),
            (&json!(443), &json!("admin"))
        );
    }
    let rules = list(&only(&all, "NetworkPolicy")["spec"]["ingress"]);
    let people = rules.last().unwrap();
    assert_eq!(
        people["from"][0]["podSelector"]["matchLabels"]["app"],
        "ingress"
    );
    assert_eq!(
        people["ports"],
        json!([{"port": "admin", "protocol": "TCP"}])
    );
    let rendered = helm(&[&NEEDED[..], &CONSOLE[..], &ALL_WAYS[..]].concat()).unwrap();
    assert_accepted(&configuration(&documents(&rendered)), &policies());
}

/// Without it nobody is let in who would not be without a console.
#[test]
#[ignore = "needs helm"]
fn needs_helm_peers_of_a_console_are_none_where_there_is_no_console() {
    let mut arguments = NEEDED.to_vec();
    arguments.extend(["--set-json", "networkPolicy.console=[{\"podSelector\":{}}]"]);
    let (with, without) = (helm(&arguments).unwrap(), helm(&NEEDED).unwrap());
    assert_eq!(with, without);
}

#[test]
#[ignore = "needs helm"]
fn needs_helm_a_console_that_cannot_work_is_refused_and_said() {
    let tls = "admin.tls.secretName=a,console.enabled=true";
    for (values, said) in [
        (
            "console.enabled=true,console.secretName=a",
            "admin.tls.secretName",
        ),
        (tls, "console.secretName"),
        (
            &format!("{tls},console.login=certificate"),
            "admin.tls.clientsCa",
        ),
        (
            &format!("{tls},console.login=certificate,admin.tls.clientsCa=PEM"),
            "[console.certificates]",
        ),
        (&format!("{tls},console.login=oidc"), "console.publicUrl"),
        (
            &format!("{tls},console.login=oidc,console.publicUrl=https://a"),
            "[console.oidc]",
        ),
        ("console.login=none", "/console/login"),
        ("console.publicUrl=http://a", "/console/publicUrl"),
    ] {
        let arguments = [&NEEDED[..], &["--set", values]].concat();
        let error = helm(&arguments).unwrap_err();
        assert!(error.contains(said), "{values}: {error}");
    }
}
