use super::*;
use crate::audit::RecordError;
use crate::grant::tests::Place;
use crate::value::Duration;

/// A disk that is silent: what the journal says of the record decides whether the grant is good again.
#[test]
fn a_grant_is_good_again_only_where_it_is_certain_that_no_record_has_it() {
    let hour = Duration::from_secs(3600);
    for (error, is_good) in [
        // Nothing was given to the disk.
        (RecordError::Silent(hour), true),
        // It was, and nobody knows what becomes of it.
        (RecordError::Late(hour), false),
    ] {
        let place = Place::new();
        place.put("a.grant", &place.signed(Place::asked()).to_string());
        place.look();
        let mut claim = place.claim().unwrap();
        claim.hand_over();
        assert!(place.claim().is_none());
        let reason = Reason::Record(error);
        let id = Redacted::ours("x");
        settle((&id, "token.update"), claim, Some(&reason), 2);
        place.look();
        assert_eq!(place.claim().is_some(), is_good, "{reason:?}");
        // The journal goes on without it: then it is certain.
        place.look_when(3);
        place.look_when(3);
        assert!(place.claim().is_some(), "{reason:?}");
    }
}
