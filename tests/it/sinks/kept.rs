//! What the journal keeps, and for whom.

use std::net::TcpListener;

use super::shipping;
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually};

/// The record that the oldest segment begins with.
fn oldest(gate: &Gate) -> u64 {
    let segments = dtgate::audit::segments(&gate.journal()).unwrap();
    let name = segments[0].file_stem().unwrap().to_str().unwrap();
    name.split('.').next().unwrap().parse().unwrap()
}

#[test]
fn segments_are_kept_for_sinks_that_are_down_and_not_for_webhooks() {
    let nowhere = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    let files = tempfile::tempdir().unwrap();
    let url = files.path().join("url");
    std::fs::write(&url, format!("http://{nowhere}/hook")).unwrap();
    let hook = format!(
        "[journal]\nsegment_size = '16 KiB'\nretention.max_size = '48 KiB'\n\
         [ship.webhook.a]\nshape = 'slack'\nfrom = 'beginning'\nverdict = ['allow']\nurl_file = '{}'\n",
        url.display()
    );
    let upstream = Upstream::lenient();
    let started = |config: &str| {
        let gate = shipping(tempfile::tempdir().unwrap(), upstream.address, config);
        for _ in 0..60 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        gate
    };
    let told = started(&hook);
    let kept = started(&format!("{hook}[ship.opa.das]\nurl = 'http://{nowhere}'\n"));
    eventually("old segments are deleted", || {
        assert_eq!(told.send("PUT", TOKEN, GOOD).status, 204);
        (oldest(&told) > 1).then_some(())
    });
    // Both are as long by now.
    for _ in 0..20 {
        assert_eq!(kept.send("PUT", TOKEN, GOOD).status, 204);
    }
    let segments = dtgate::audit::segments(&kept.journal()).unwrap();
    assert!(segments.len() > 4, "{segments:?}");
    assert_eq!(oldest(&kept), 1);
}
