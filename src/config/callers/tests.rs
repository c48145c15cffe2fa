use serde_json::json;

use super::*;

const CI: &str =
    "[identity.jwt.ci]\nissuer = 'https://ci.example'\naudience = 'dtgate'\njwks_file = 'f'\n";
const GITHUB: &str = "[identity.jwt.github]\nissuer = 'https://token.actions.githubusercontent.com'\n\
                      audience = 'dtgate'\ndiscovery = true\n";
const CLIENTS: &str =
    "[listener.tls]\nfiles = { certificate = 'c', key = 'k' }\nclients = { ca = 'ca' }\n";

fn config(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dtgate.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

fn teams() -> Teams {
    let callers = json!([
        {"name": "payments", "jwt": [{"issuer": "https://ci.example", "claim": "sub", "value": "a"}]},
        {"name": "machines", "certificates": [{"dns": "a.example"}]},
        {"name": "holders", "tokens": ["dt0c01.ST2EY72KQINMH574WMNVI7YN"]},
    ]);
    Teams::read(&callers, None).unwrap()
}

/// Without the name of the directory.
fn said(problems: &[Problem]) -> Vec<String> {
    let said = problems.iter().map(|problem| {
        let said = problem.to_string();
        said.split_once("dtgate.toml:").unwrap().1.to_owned()
    });
    said.collect()
}

fn refusals(text: &str) -> Vec<String> {
    let checked = config(text).check_callers(&teams());
    checked.map_or_else(|error| said(&error.problems), |()| Vec::new())
}

fn doubts(text: &str) -> Vec<String> {
    said(&config(text).doubts())
}

#[test]
fn a_credential_that_nobody_can_use_is_refused_at_its_place() {
    let one = "[credential]\nfile = 't'\n";
    for (text, wanted) in [
        (
            one.to_owned(),
            "1:2: credential: nobody can prove who he is",
        ),
        (
            "[environments.prod]\nhosts = ['a']\n[environments.prod.credential]\nfile = 't'\n"
                .to_owned(),
            "3:20: environments.prod.credential: nobody can prove who he is",
        ),
        (
            format!("{one}teams = ['payments',\n 'paymets']\n{CI}"),
            "4:2: credential.teams.1: no caller belongs to a team \"paymets\", so nobody of it could use this credential: \
             did you mean \"payments\"?",
        ),
        (
            format!("{one}teams = ['sre']\n{CI}"),
            "3:10: credential.teams.0: no caller belongs to a team \"sre\", so nobody of it could use this credential: the \
             data of the policies has no such team",
        ),
        (
            format!("{one}teams = ['Payments']\n{CI}"),
            "did you mean \"payments\"?",
        ),
        (
            format!("{one}teams = ['holders']\n{CI}"),
            "3:10: credential.teams.0: team \"holders\" has nothing but `tokens`",
        ),
        (
            format!("{one}teams = ['machines']\n{CI}"),
            "3:10: credential.teams.0: team \"machines\" has nothing but certificates",
        ),
    ] {
        let refusals = refusals(&text);
        assert!(
            refusals.len() == 1 && refusals[0].contains(wanted),
            "{text}: {refusals:?}"
        );
    }
    for text in [
        String::new(),
        CI.to_owned(),
        format!("{one}{CI}"),
        format!("{one}{CLIENTS}"),
        format!("{one}teams = ['machines', 'payments']\n{CLIENTS}{CI}"),
    ] {
        assert_eq!(refusals(&text), [""; 0], "{text}");
    }
}

#[test]
fn a_credential_for_the_whole_world_is_doubted() {
    let one = "[credential]\nfile = 't'\n";
    let told = doubts(&format!("{one}{CI}{GITHUB}"));
    assert_eq!(
        told,
        [
            "1:2: credential: everybody in the world with an account at GitHub may use it: identity.jwt.github believes \
          tokens that GitHub gives to each of them, for any audience that they ask for; name the teams that may use it \
          (`teams`)"
        ]
    );
    for text in [
        format!("{one}teams = ['payments']\ntraffic = 'all'\n{GITHUB}"),
        format!("{one}traffic = 'reads'\n{CI}"),
        GITHUB.to_owned(),
        // The issuer of one company's at GitHub.
        format!(
            "{one}{}",
            GITHUB.replace("content.com'", "content.com/example'")
        ),
    ] {
        assert_eq!(doubts(&text), [""; 0], "{text}");
    }
    let told = doubts(&format!("{one}traffic = 'all'\n{CI}"));
    assert!(
        told.len() == 1 && told[0].starts_with("3:1: credential.traffic: whoever proves"),
        "{told:?}"
    );
}

#[test]
fn what_is_never_used_and_what_is_readable_on_the_way_is_doubted() {
    for (text, wanted) in [
        (
            "[upstream]\nurl = 'http://managed.example'\n",
            "2:1: upstream.url: credentials cross the network readable",
        ),
        (
            "[environments.a]\nid = 'a'\nupstream.url = 'http://10.0.0.1'\n",
            "3:10: environments.a.upstream.url: credentials cross",
        ),
        (
            "[upstream]\nurl = 'http://127.0.0.1:1'\nca = 'f'\n",
            "3:1: upstream.ca: it is never used",
        ),
        (
            "[upstream]\nurl = 'http://localhost'\nclient_certificate = { certificate = 'c', key = 'k' }\n",
            "3:1: upstream.client_certificate: it is never used",
        ),
        (
            "[identity.forwarded]\nheader = 'forwarded'\n",
            "1:11: identity.forwarded: nobody is believed",
        ),
        (
            "[console.forwarded]\nheader = 'forwarded'\n",
            "1:10: console.forwarded: nobody is believed",
        ),
        (
            "[console]\npublic_url = 'https://a'\n",
            "2:1: console.public_url: another program does TLS",
        ),
        (
            "[identity.jwt.a]\nissuer = 'https://a'\naudience = 'a'\ndiscovery = true\npause = '100ms'\n",
            "5:1: identity.jwt.a.pause: anybody can make the gate ask",
        ),
        (
            "[identity.jwt.a]\nissuer = 'https://a'\naudience = 'a'\ndiscovery = true\nmax_age = '2m'\n",
            "5:1: identity.jwt.a.max_age: tokens are answered 503",
        ),
    ] {
        let told = doubts(text);
        assert!(
            told.len() == 1 && told[0].starts_with(wanted),
            "{text}: {told:?}"
        );
    }
    for text in [
        "",
        "[upstream]\nurl = 'https://a.live.dynatrace.com'\nca = 'f'\n",
        "[upstream]\nurl = 'http://[::1]:8080'\n",
        "[identity.forwarded]\nfrom = ['10.0.0.0/8']\nheader = 'forwarded'\n",
        "[console]\npublic_url = 'https://a'\nforwarded.from = ['127.0.0.1']\n",
        "[console]\npublic_url = 'http://localhost:1'\n",
        "[console]\npublic_url = 'https://a'\n[admin.tls.files]\ncertificate = 'c'\nkey = 'k'\n",
    ] {
        assert_eq!(doubts(text), [""; 0], "{text}");
    }
}
