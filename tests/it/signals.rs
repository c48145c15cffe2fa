//! No signal ends the gate in the middle of a request: it drains, or goes on.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::scope;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, gate, verify};

/// An upstream that holds every answer until it may give it.
struct Held {
    upstream: Upstream,
    arrivals: Receiver<()>,
    release: Sender<()>,
}

fn held() -> Held {
    let (arrived, arrivals) = channel();
    let (release, released) = channel();
    let ends = Mutex::new((arrived, released));
    let upstream = Upstream::answering(move |_| {
        let ends = ends.lock().unwrap();
        ends.0.send(()).unwrap();
        ends.1.recv().unwrap();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    Held {
        upstream,
        arrivals,
        release,
    }
}

/// Sends the signals while a change is on its way, which has to get its answer.
fn in_the_middle_of_a_request(gate: &Gate, held: &Held, signals: &[&str]) {
    scope(|scope| {
        let client = scope.spawn(|| gate.send("PUT", TOKEN, GOOD));
        held.arrivals.recv().unwrap();
        for signal in signals {
            gate.signal(signal);
        }
        // The last of them has arrived by then.
        eventually("the operator is answered", || {
            (gate.ready().status == 200).then_some(())
        });
        held.release.send(()).unwrap();
        assert_eq!(client.join().unwrap().status, 204, "{signals:?}");
    });
}

#[test]
fn signals_that_say_nothing_to_the_gate_do_nothing() {
    let held = held();
    let mut gate = gate(held.upstream.address);
    let mut signals = vec![
        "ALRM", "CONT", "HUP", "IO", "PIPE", "PROF", "USR1", "USR2", "VTALRM", "WINCH", "XFSZ",
    ];
    if cfg!(target_os = "linux") {
        // By number, which every `kill` knows: the first and last for real time, SIGSTKFLT, SIGPWR.
        signals.extend(["35", "64", "16", "30"]);
    }
    for signal in signals {
        in_the_middle_of_a_request(&gate, &held, &[signal]);
        assert!(gate.child.try_wait().unwrap().is_none(), "{signal}");
    }
    eventually("SIGHUP is answered in the log", || {
        gate.log().contains("nothing has changed").then_some(())
    });
    gate.signal("TERM");
    assert_eq!(gate.wait().code(), Some(0));
    verify(&gate.journal());
}

#[test]
fn signals_to_end_let_a_request_finish_and_others_change_nothing_about_it() {
    for signal in ["INT", "QUIT", "TERM", "XCPU"] {
        let held = held();
        let mut gate = gate(held.upstream.address);
        let once_more = [signal, "HUP", "USR1", "TERM", "QUIT"];
        in_the_middle_of_a_request(&gate, &held, &once_more);
        assert_eq!(gate.wait().code(), Some(0), "{signal}");
        let kinds = gate.records().split_off(1);
        let kinds: Vec<_> = kinds.iter().map(|record| &record["kind"]).collect();
        assert_eq!(kinds, ["decision", "outcome", "stop"], "{signal}");
        verify(&gate.journal());
    }
}
