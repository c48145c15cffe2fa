//! JSON web tokens, as OPA 1.22 has them (`topdown/tokens.go`). Refuses to sign: policies have no keys for that.

mod constraints;
pub(in crate::policy) mod keys;
mod pss;
pub(in crate::policy) mod signature;
#[cfg(test)]
mod tests;
mod token;

use data_encoding::HEXLOWER;
use regorus::Value;

use self::constraints::Constraints;
use self::keys::Named;
use self::signature::{Algorithm, Hash, is_mac};
use self::token::{Header, Token, object, text};
use super::{Answer, Arguments, Own, Timed};

pub(super) const OWN: &[Own] = &[
    Own::new("io.jwt.decode", 1, decode),
    Own::new("io.jwt.verify_eddsa", 2, |it| verify(it, Algorithm::EdDsa)),
    Own::new("io.jwt.verify_es256", 2, |it| {
        verify(it, Algorithm::Ecdsa(Hash::Sha256))
    }),
    Own::new("io.jwt.verify_es384", 2, |it| {
        verify(it, Algorithm::Ecdsa(Hash::Sha384))
    }),
    Own::new("io.jwt.verify_es512", 2, |it| {
        verify(it, Algorithm::Ecdsa(Hash::Sha512))
    }),
    Own::new("io.jwt.verify_hs256", 2, |it| verify_mac(it, Hash::Sha256)),
    Own::new("io.jwt.verify_hs384", 2, |it| verify_mac(it, Hash::Sha384)),
    Own::new("io.jwt.verify_hs512", 2, |it| verify_mac(it, Hash::Sha512)),
    Own::new("io.jwt.verify_ps256", 2, |it| {
        verify(it, Algorithm::PssOfAnySalt(Hash::Sha256))
    }),
    Own::new("io.jwt.verify_ps384", 2, |it| {
        verify(it, Algorithm::PssOfAnySalt(Hash::Sha384))
    }),
    Own::new("io.jwt.verify_ps512", 2, |it| {
        verify(it, Algorithm::PssOfAnySalt(Hash::Sha512))
    }),
    Own::new("io.jwt.verify_rs256", 2, |it| {
        verify(it, Algorithm::Pkcs1(Hash::Sha256))
    }),
    Own::new("io.jwt.verify_rs384", 2, |it| {
        verify(it, Algorithm::Pkcs1(Hash::Sha384))
    }),
    Own::new("io.jwt.verify_rs512", 2, |it| {
        verify(it, Algorithm::Pkcs1(Hash::Sha512))
    }),
];

pub(super) const DECODE_VERIFY: Timed = Timed {
    name: "io.jwt.decode_verify",
    arity: 2,
    call: decode_verify,
};

/// The most tokens within one another whose signatures are verified.
const MOST_WITHIN: usize = 8;

/// Each token within another is shorter, so this ends.
fn decode(arguments: Arguments<'_>) -> Answer {
    let mut encoded = arguments.text(0)?.to_owned();
    loop {
        let token = Token::of(&encoded)?;
        let header = token.header()?;
        let payload = token.payload()?;
        if text(&header, "cty")? == "JWT" {
            payload.trim_matches(['"', '\'']).clone_into(&mut encoded);
            continue;
        }
        let payload = object(&payload, "payload")?;
        let signature = HEXLOWER.encode(&token.signature()?);
        return Ok(vec![header, payload, signature.into()].into());
    }
}

fn verify(arguments: Arguments<'_>, algorithm: Algorithm) -> Answer {
    let token = Token::of(arguments.text(0)?)?;
    let keys = keys::read(arguments.text(1)?)?;
    let signature = token.signature()?;
    let header = Header::read(&token.header()?)?;
    let signed = token.signed();
    let verifies = |key: &Named| key.key.verifies(algorithm, signed.as_bytes(), &signature);
    if let Some(key) = keys::by_id(&keys, &header.key) {
        return Ok(verifies(key).into());
    }
    let may_be = |key: &&Named| key.algorithm.is_empty() || key.algorithm == header.algorithm;
    Ok(keys.iter().filter(may_be).any(verifies).into())
}

fn verify_mac(arguments: Arguments<'_>, hash: Hash) -> Answer {
    let (token, secret) = (arguments.text(0)?, arguments.text(1)?);
    let token = Token::of(token)?;
    let signed = token.signed();
    Ok(is_mac(
        hash,
        secret.as_bytes(),
        signed.as_bytes(),
        &token.signature()?,
    )
    .into())
}

/// Whether a token is signed and meant for now and who asks, its header, and what it says.
fn decode_verify(arguments: Arguments<'_>, now_ns: i64) -> Answer {
    let refused = || vec![false.into(), Value::new_object(), Value::new_object()].into();
    let constraints = Constraints::read(arguments.any(1)?, now_ns)?;
    let mut encoded = arguments.text(0)?.to_owned();
    for _ in 0..MOST_WITHIN {
        let token = Token::of(&encoded)?;
        let said = token.header()?;
        let header = Header::read(&said)?;
        if !header.is_valid() || !constraints.may_be(&header) {
            return Ok(refused());
        }
        let signature = token.signature()?;
        if !constraints.is_signed(&header, token.signed().as_bytes(), &signature) {
            return Ok(refused());
        }
        let payload = token.payload()?;
        if header.content.eq_ignore_ascii_case("JWT") {
            encoded = payload;
            continue;
        }
        let payload = object(&payload, "payload")?;
        if !constraints.are_met(&payload)? {
            return Ok(refused());
        }
        return Ok(vec![true.into(), said, payload].into());
    }
    Err("more than 8 tokens are within one another".to_owned())
}
