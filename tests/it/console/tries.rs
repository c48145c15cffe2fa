//! Who tries passwords that are wrong keeps nobody else out.

use std::net::SocketAddr;

use super::{FROM_HERE, PATIENT, ask, gate, log_in, users};
use crate::harness::{Answered, Upstream};

const RIGHT: &str = "correct+horse+battery";
/// Wrong passwords for one name from one network in a minute.
const TRIES: usize = 10;

/// Guesses until that is refused. Who has tried too often is not told whether a password is right.
fn guess(admin: SocketAddr, name: &str, fields: &str) {
    for _ in 0..TRIES {
        let guessed = log_in(admin, name, "a+guess", &format!("{FROM_HERE}{fields}"));
        assert_eq!(guessed.status, 403, "{guessed:?}");
    }
    for password in ["a+guess", RIGHT] {
        let guessed = log_in(admin, name, password, &format!("{FROM_HERE}{fields}"));
        assert_eq!(guessed.status, 429, "{guessed:?}");
        assert!(guessed.body.contains("Wait a minute"), "{guessed:?}");
    }
}

/// The cookies that an answer sets, as a browser sends them again.
fn cookies(answer: &Answered) -> Vec<&str> {
    let set = answer.headers.iter();
    let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.split(';').next().unwrap())
        .collect()
}

/// A proxy on the same machine that nobody has told the console of: all have one address.
#[test]
fn a_stranger_behind_the_same_proxy_keeps_nobody_out_by_other_names_nor_a_browser_that_is_known() {
    let (_directory, path) = users();
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[console]\npasswords = \"{path}\"\n{PATIENT}"),
    );
    let entered = log_in(gate.admin, "alice", RIGHT, FROM_HERE);
    let [session, known] = cookies(&entered)[..] else {
        panic!("{entered:?}")
    };
    let known = format!("Cookie: {known}\r\n");
    // It lets nobody in, and stays when the session ends.
    assert_eq!(ask(gate.admin, "GET", "/console", &known, "").status, 303);
    let leaving = format!("{FROM_HERE}Cookie: {session}\r\n{known}");
    let left = ask(gate.admin, "POST", "/console/logout", &leaving, "");
    assert!(
        cookies(&left).iter().all(|it| !it.contains("known")),
        "{left:?}"
    );
    // Whatever a stranger says about where they are.
    guess(gate.admin, "alice", "");
    guess(gate.admin, "nobody", "X-Forwarded-For: 203.0.113.9\r\n");
    let again = log_in(gate.admin, "alice", RIGHT, &format!("{FROM_HERE}{known}"));
    assert_eq!(again.status, 303, "{again:?}");
    // It is known for one name.
    let other = log_in(gate.admin, "victor", RIGHT, FROM_HERE);
    assert_eq!(other.status, 303, "{other:?}");
    let others = cookies(&other)[1].to_owned();
    let fields = format!("{FROM_HERE}Cookie: {others}\r\n");
    assert_eq!(log_in(gate.admin, "alice", RIGHT, &fields).status, 429);
}

#[test]
fn a_stranger_elsewhere_keeps_nobody_out_where_the_proxy_says_who_asks() {
    let (_directory, path) = users();
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!(
            "[console]\npasswords = \"{path}\"\n{PATIENT}[console.forwarded]\nfrom = [\"127.0.0.1\"]\n"
        ),
    );
    // What the stranger writes stands before what the proxy adds.
    guess(
        gate.admin,
        "alice",
        "X-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n",
    );
    let elsewhere = format!("{FROM_HERE}X-Forwarded-For: 198.51.100.7\r\n");
    let entered = log_in(gate.admin, "alice", RIGHT, &elsewhere);
    assert_eq!(entered.status, 303, "{entered:?}");
    assert!(gate.log().contains("203.0.113.9"), "{}", gate.log());
}
