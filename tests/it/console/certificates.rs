//! Who may look on by a certificate.

use rcgen::{CertificateParams, DnType, SanType};

use super::{FROM_HERE, PATIENT, users};
use crate::authority::Authority;
use crate::harness::{Gate, Upstream, eventually, policies, serving};
use crate::tls::clients::{ask, client, now};
use crate::tls::{certified, write};

fn start(authority: &Authority, upstream: &Upstream, console: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &certified());
    std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let config = format!(
        "[admin.tls]\nfiles = {{ certificate = 'certificate.pem', key = 'key.pem' }}\n\
         clients = {{ ca = 'ca.pem', required = false }}\n[console]\n{console}\n\
         [upstream]\nurl = 'http://{}'\n",
        upstream.address
    );
    std::fs::write(directory.path().join("dtgate.toml"), config).unwrap();
    let mut command = serving(&directory);
    command
        .current_dir(directory.path())
        .args(["--config", "dtgate.toml", "--policies"])
        .arg(policies());
    Gate::spawn(directory, command)
}

fn named(name: &'static str) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.distinguished_name.push(DnType::CommonName, name)
}

#[test]
fn a_certificate_that_is_listed_lets_in_with_its_roles_and_no_other_does() {
    let (authority, upstream) = (Authority::new("Root", now()), Upstream::lenient());
    let (_directory, path) = users();
    let gate = start(
        &authority,
        &upstream,
        &format!(
            "login = ['certificate', 'password']\npasswords = '{path}'\n{PATIENT}[console.certificates]\n\
             'CN=alice' = 'auditor'\n'spiffe://example.org/desk' = []"
        ),
    );
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let alice = client(&gate, Some(authority.issue(named("alice"))));
    let desk = client(
        &gate,
        Some(authority.issue(|params| {
            let uri = "spiffe://example.org/desk".try_into().unwrap();
            params.subject_alt_names = vec![SanType::URI(uri)];
        })),
    );
    let mallory = client(&gate, Some(authority.issue(named("mallory"))));
    let nobody = client(&gate, None);
    let status = |who, target: &str| ask(who, gate.admin, b"", &get(target)).unwrap().status;
    eventually("there is an index", || {
        (status(&alice, "/console/policies") != 503).then_some(())
    });
    for (who, page, search) in [
        (&alice, 200, 200),
        (&desk, 200, 403),
        (&mallory, 303, 303),
        (&nobody, 303, 303),
    ] {
        assert_eq!(status(who, "/console/policies"), page);
        assert_eq!(status(who, "/console/decisions?token=x"), search);
    }
    let page = ask(&alice, gate.admin, b"", &get("/console/policies")).unwrap();
    assert!(
        page.body.contains("CN=alice") && !page.body.contains("Log out"),
        "{page:?}"
    );
    // A page of another site cannot have the browser ask in the background, where the certificate would speak for it.
    let fields =
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
    let request = format!("GET /console HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    assert_eq!(ask(&alice, gate.admin, b"", &request).unwrap().status, 403);
    // Who has none, or another one, may log in by a password: over TLS the cookie is of this host alone.
    let form = "name=alice&password=correct+horse+battery";
    let request = format!(
        "POST /console/login HTTP/1.1\r\nHost: localhost\r\n{FROM_HERE}Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let entered = ask(&mallory, gate.admin, b"", &request).unwrap();
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-dtgate-console="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let request = |cookie: &str| {
        format!("GET /console/policies HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n")
    };
    assert_eq!(
        ask(&nobody, gate.admin, b"", &request(cookie))
            .unwrap()
            .status,
        200
    );
    // One that a neighbour could have set is none.
    let plain = cookie.replace("__Host-", "");
    assert_eq!(
        ask(&nobody, gate.admin, b"", &request(&plain))
            .unwrap()
            .status,
        303
    );
}
