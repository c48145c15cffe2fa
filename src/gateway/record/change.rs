//! The part of the input that tells what a request would change, and how the token is now.

use crate::dynatrace::current::{CurrentToken, Difference};
use crate::dynatrace::moment;
use crate::dynatrace::redact::Once;
use crate::guard::Call;
use crate::policy::input::{Change, Current, Settings};

/// What a request would make different, as far as that is known.
pub(super) fn difference(call: &Call, current: Option<&CurrentToken>) -> Option<Difference> {
    let (operation, requested) = (call.head().path().endpoint().operation, call.change());
    match current {
        // Of a token that goes nothing is kept, and nothing differs.
        _ if operation.removes_token() => None,
        Some(current) => Some(current.difference(requested)),
        None => operation
            .makes_token()
            .then(|| Difference::of_creation(requested)),
    }
}

pub(super) fn change<'a>(
    call: &'a Call,
    current: Option<&'a CurrentToken>,
    difference: Option<&'a Difference>,
    texts: &mut Once<'a>,
    time: jiff::Timestamp,
) -> Change {
    let requested = call.change();
    let mut change = Change::default();
    change.name.requested = requested.name.as_deref().map(|text| texts.text(text));
    change.enabled.requested = requested.enabled;
    change.scopes.requested = requested.scopes.as_deref().map(|list| texts.all(list));
    let expiration = requested.expiration.as_deref();
    change.expiration.requested = expiration.map(|text| texts.text(text));
    change.expiration.at = expiration.and_then(|text| moment::expiration(text, time));
    change.personal.requested = requested.personal;
    if let Some(current) = current {
        change.name.current = current.name.as_deref().map(|text| texts.text(text));
        change.enabled.current = current.enabled;
        change.scopes.current = Some(texts.all(&current.scopes));
        let differs = difference.map(|difference| difference.differs.iter().copied());
        change.differs = differs.map(|members| members.map(str::to_owned).collect());
    }
    if let Some(difference) = difference {
        change.scopes.added = Some(texts.all(&difference.added));
        change.scopes.removed = Some(texts.all(&difference.removed));
        change.scopes.kept = Some(texts.all(&difference.kept));
    }
    change
}

/// What Dynatrace tells of a token; people put secrets into names too.
pub(super) fn told<'a>(token: &'a CurrentToken, texts: &mut Once<'a>) -> Current {
    let mut text = |text: &'a Option<String>| text.as_deref().map(|text| texts.text(text));
    Current {
        id: text(&token.id),
        name: text(&token.name),
        owner: text(&token.owner),
        expiration: text(&token.expiration),
        enabled: token.enabled,
        scopes: texts.all(&token.scopes),
        personal: token.personal,
    }
}

pub(super) fn settings(call: &Call) -> Option<Settings> {
    let schemas = &call.understood().schemas;
    (!schemas.is_empty()).then(|| Settings {
        schemas: schemas.iter().map(|schema| (*schema).to_owned()).collect(),
    })
}
