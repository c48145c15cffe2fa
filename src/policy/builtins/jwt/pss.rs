//! Signatures of RSASSA-PSS with a salt of any length, as Go verifies them (`crypto/rsa`, `PSSSaltLengthAuto`).
//!
//! The library verifies those whose salt is as long as the hash, and no others. Keys come from there: of 2,048 to 8,192
//! bits, with an exponent of 33 at most. Nothing here is secret: a key that
//! verifies is public, and so is a signature.

use aws_lc_rs::digest::{self, digest};
use num_bigint::BigUint;

/// What a message comes to before it is signed ends with it.
const TRAILER: u8 = 0xbc;

/// `key`: with its algorithm (`SubjectPublicKeyInfo`).
pub(super) fn verifies(
    key: &[u8],
    hash: &'static digest::Algorithm,
    message: &[u8],
    signed: &[u8],
) -> bool {
    recovered(key, signed).is_some_and(|(encoded, bits)| is_of(&encoded, bits, hash, message))
}

/// What was signed, and how many bits it has.
fn recovered(key: &[u8], signed: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (modulus, exponent) = numbers(key)?;
    let size = usize::try_from(modulus.bits()).ok()?;
    let signature = BigUint::from_bytes_be(signed);
    if signed.len() != size.div_ceil(8) || signature >= modulus {
        return None;
    }
    let bits = size.checked_sub(1)?;
    let bytes = signature.modpow(&exponent, &modulus).to_bytes_be();
    let zeros = bits.div_ceil(8).checked_sub(bytes.len())?;
    Some(([vec![0; zeros], bytes].concat(), bits))
}

/// RFC 8017, 9.1.2, where the salt has the length that it has.
fn is_of(encoded: &[u8], bits: usize, hash: &'static digest::Algorithm, message: &[u8]) -> bool {
    let Some((data, end)) = encoded
        .len()
        .checked_sub(hash.output_len() + 1)
        .and_then(|length| encoded.split_at_checked(length))
    else {
        return false;
    };
    let [hashed @ .., TRAILER] = end else {
        return false;
    };
    let mask = 0xff_u8 >> (8 * encoded.len() - bits);
    if data.first().is_none_or(|first| first & !mask != 0) {
        return false;
    }
    let mut data: Vec<u8> = data
        .iter()
        .zip(masking(hash, hashed))
        .map(|(one, other)| one ^ other)
        .collect();
    if let Some(first) = data.first_mut() {
        *first &= mask;
    }
    let padding = data.iter().take_while(|byte| **byte == 0).count();
    let Some([1, salt @ ..]) = data.get(padding..) else {
        return false;
    };
    let of_message = digest(hash, message);
    let whole = [&[0; 8], of_message.as_ref(), salt].concat();
    digest(hash, &whole).as_ref() == hashed
}

/// RFC 8017, B.2.1.
fn masking(hash: &'static digest::Algorithm, seed: &[u8]) -> impl Iterator<Item = u8> {
    let seed = seed.to_vec();
    (0_u32..).flat_map(move |number| {
        let block = [seed.as_slice(), &number.to_be_bytes()].concat();
        digest(hash, &block).as_ref().to_vec()
    })
}

/// The modulus and the exponent.
fn numbers(key: &[u8]) -> Option<(BigUint, BigUint)> {
    let (whole, _) = element(key, 0x30)?;
    let (_algorithm, rest) = element(whole, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    let (numbers, _) = element(bits.strip_prefix(&[0])?, 0x30)?;
    let (modulus, rest) = element(numbers, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    let [modulus, exponent] = [modulus, exponent].map(BigUint::from_bytes_be);
    (modulus > BigUint::ZERO).then_some((modulus, exponent))
}

/// What is in the first element of DER, if it is one of these, and what follows.
fn element(encoded: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = encoded.split_first()?;
    let (size, rest) = rest.split_first()?;
    let (size, rest) = match *size {
        size @ ..=0x7f => (usize::from(size), rest),
        0x81 => {
            let (size, rest) = rest.split_first()?;
            (usize::from(*size), rest)
        }
        0x82 => {
            let (size, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*size)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(size))?
}
