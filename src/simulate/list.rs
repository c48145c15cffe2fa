//! The v2 list: selector, sorting, pages, and which members of a token are shown.
//!
//! A page key carries its whole query, so that the simulator remembers nothing between pages.

use std::cmp::Ordering;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    call::{Call, Query},
    moment,
    reply::{self, Refusal, Violation},
    selector::Selector,
    state::{State, Token},
};

const FIELDS: [&str; 12] = [
    "id",
    "name",
    "enabled",
    "owner",
    "creationDate",
    "expirationDate",
    "lastUsedDate",
    "lastUsedIpAddress",
    "modifiedDate",
    "personalAccessToken",
    "scopes",
    "additionalMetadata",
];
/// How many of the fields a list shows unless asked for others.
const SHOWN: usize = 5;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    total_count: usize,
    page_size: usize,
    next_page_key: Option<String>,
    api_tokens: Vec<Map<String, Value>>,
}

pub(super) fn answer(state: &State, call: &Call) -> Result<Response<Bytes>, Refusal> {
    let Some(key) = call.query.first("nextPageKey") else {
        return page(state, call, &call.query, 0);
    };
    if call.query.has_other_than(&["nextPageKey"]) {
        let message = "Must be the only parameter.";
        return Err(Refusal::violated(vec![Violation::query(
            "nextPageKey",
            message,
        )]));
    }
    let (offset, query) = unpacked(key).ok_or_else(|| {
        Refusal::violated(vec![Violation::query("nextPageKey", "Not a valid key.")])
    })?;
    page(state, call, &Query::parse(&query), offset)
}

/// Every member of the token that has a value.
pub(super) fn whole(token: &Token) -> Map<String, Value> {
    shown(token, &FIELDS)
}

fn page(
    state: &State,
    call: &Call,
    query: &Query,
    offset: usize,
) -> Result<Response<Bytes>, Refusal> {
    let mut violations = Vec::new();
    let size = query.integer("pageSize", 100..=10_000, 200, &mut violations);
    let from = query.moment("from", call.now, &mut violations);
    let to = query.moment("to", call.now, &mut violations);
    let mut checked = |name: &str, valid: bool| {
        if !valid {
            violations.push(Violation::query(name, "Not a valid value."));
        }
    };
    let fields = fields(query.first("fields"));
    checked("fields", fields.is_some());
    let order = Order::parse(query.first("sort").unwrap_or("-creationDate"));
    checked("sort", order.is_some());
    let selector = Selector::parse(query.first("apiTokenSelector").unwrap_or_default());
    checked("apiTokenSelector", selector.is_some());
    let (Some(fields), Some(order), Some(selector), true) =
        (fields, order, selector, violations.is_empty())
    else {
        return Err(Refusal::violated(violations));
    };

    let wanted = |token: &&Token| selector.admits(token) && token.used_within(from, to);
    let mut tokens: Vec<_> = state.tokens.iter().filter(wanted).collect();
    tokens.sort_by(|one, other| order.compare(one, other));
    let end = offset.saturating_add(size);
    let list = List {
        total_count: tokens.len(),
        page_size: size,
        next_page_key: (end < tokens.len()).then(|| packed(end, query)),
        api_tokens: tokens
            .iter()
            .skip(offset)
            .take(size)
            .map(|token| shown(token, &fields))
            .collect(),
    };
    Ok(reply::json(StatusCode::OK, &list))
}

/// `+a,-b` changes the default, `a,b` replaces it; the id is always there.
fn fields(wish: Option<&str>) -> Option<Vec<&'static str>> {
    let default = FIELDS.iter().take(SHOWN).copied();
    let Some(wish) = wish.filter(|wish| !wish.trim().is_empty()) else {
        return Some(default.collect());
    };
    // An unencoded plus arrives as a space.
    let relative = wish.starts_with(['+', '-', ' ']);
    let mut fields: Vec<_> = if relative {
        default.collect()
    } else {
        vec!["id"]
    };
    for part in wish.split(',') {
        let name = part.trim_start_matches(['+', '-', ' ']);
        let field = FIELDS.iter().copied().find(|field| *field == name)?;
        if part.starts_with('-') {
            fields.retain(|kept| *kept != field || field == "id");
        } else if !fields.contains(&field) {
            fields.push(field);
        }
    }
    Some(fields)
}

fn shown(token: &Token, fields: &[&str]) -> Map<String, Value> {
    let date = |moment: Option<_>| moment.map(moment::print).into();
    let mut members = Map::new();
    for &field in fields {
        let value: Value = match field {
            "id" => token.id.as_str().into(),
            "name" => token.name.as_str().into(),
            "enabled" => token.enabled.into(),
            "owner" => token.owner.as_str().into(),
            "creationDate" => date(Some(token.created)),
            "expirationDate" => date(token.expires),
            "lastUsedDate" => date(token.last_use),
            "lastUsedIpAddress" => token.last_address.map(|address| address.to_string()).into(),
            "modifiedDate" => date(token.modified),
            "personalAccessToken" => token.personal.into(),
            "scopes" => token.scopes.clone().into(),
            "additionalMetadata" => token
                .dashboard
                .map(|dashboard| json!({"dashboardId": dashboard}))
                .into(),
            _ => Value::Null,
        };
        if !value.is_null() {
            members.insert(field.to_owned(), value);
        }
    }
    members
}

struct Order {
    key: Key,
    descending: bool,
}

enum Key {
    Creation,
    Expiration,
    LastUse,
    Modification,
    Name,
}

impl Order {
    fn parse(text: &str) -> Option<Self> {
        let descending = text.starts_with('-');
        let key = match text.trim_start_matches(['+', '-', ' ']) {
            "creationDate" => Key::Creation,
            "expirationDate" => Key::Expiration,
            "lastUsedDate" => Key::LastUse,
            "modifiedDate" => Key::Modification,
            "name" => Key::Name,
            _ => return None,
        };
        Some(Self { key, descending })
    }

    fn compare(&self, one: &Token, other: &Token) -> Ordering {
        let ordering = match self.key {
            Key::Creation => one.created.cmp(&other.created),
            Key::Expiration => one.expires.cmp(&other.expires),
            Key::LastUse => one.last_use.cmp(&other.last_use),
            Key::Modification => one.modified.cmp(&other.modified),
            Key::Name => one.name.cmp(&other.name),
        };
        if self.descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// Hexadecimal, because a key must survive a query string that nobody encodes.
fn packed(offset: usize, query: &Query) -> String {
    hexadecimal(&format!("{offset}?{}", query.text()))
}

pub(super) fn hexadecimal(text: &str) -> String {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn unpacked(key: &str) -> Option<(usize, String)> {
    let (pairs, []) = key.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let plain = String::from_utf8(bytes?).ok()?;
    let (offset, query) = plain.split_once('?')?;
    Some((offset.parse().ok()?, query.to_owned()))
}
