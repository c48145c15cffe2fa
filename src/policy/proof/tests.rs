use std::time::Duration;

use crate::policy::bundle::Bundle;
use crate::policy::{Engine, Trusted};

fn shipped() -> Engine {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    Engine::new(Bundle::load(policies).unwrap(), Duration::from_secs(5))
}

#[test]
fn the_shipped_policies_are_proven() {
    let trusted = shipped().prove(300, 1);
    let Trusted::Bytecode { inputs } = trusted else {
        panic!("{trusted}");
    };
    // The tests of the policies bring more than made-up requests do.
    assert!(inputs > 500, "{inputs}");
}
