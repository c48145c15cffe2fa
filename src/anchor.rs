//! Takes the journal's checkpoints to where the operator wants them.

use crate::audit::Destinations;
use crate::outbound::OutboundError;

/// Finds what a start would object to.
pub fn check(to: &Destinations) -> Result<(), OutboundError> {
    drop(to.clone());
    Ok(())
}
