//! Keys, and whether they made a signature. A key of one kind verifies no algorithm of another.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKeyComponents};
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use super::pss;

/// What the algorithms of tokens hash with.
#[derive(Clone, Copy)]
pub(in crate::policy) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// How a token is signed.
#[derive(Clone, Copy)]
pub(in crate::policy) enum Algorithm {
    Hmac(Hash),
    Pkcs1(Hash),
    /// With a salt as long as the hash (RFC 7518, section 3.5).
    Pss(Hash),
    /// With any salt, as `io.jwt.verify_ps256` takes it and `io.jwt.decode_verify` does not.
    PssOfAnySalt(Hash),
    Ecdsa(Hash),
    EdDsa,
}

impl Algorithm {
    /// By the name in a token's header.
    pub(in crate::policy) fn named(name: &str) -> Option<Self> {
        let (family, bits) = match name {
            "EdDSA" | "Ed25519" => return Some(Self::EdDsa),
            _ => name.split_at_checked(2)?,
        };
        let hash = match bits {
            "256" => Hash::Sha256,
            "384" => Hash::Sha384,
            "512" => Hash::Sha512,
            _ => return None,
        };
        match family {
            "HS" => Some(Self::Hmac(hash)),
            "RS" => Some(Self::Pkcs1(hash)),
            "PS" => Some(Self::Pss(hash)),
            "ES" => Some(Self::Ecdsa(hash)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(in crate::policy) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    pub(in crate::policy) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The bytes of a coordinate.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The bytes of a public key with its algorithm, when its point is not compressed: Go reads no other.
    fn encoded(self) -> usize {
        match self {
            Self::P256 => 91,
            Self::P384 => 120,
            Self::P521 => 158,
        }
    }

    fn verification(self, hash: Hash) -> &'static dyn VerificationAlgorithm {
        match (self, hash) {
            (Self::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Self::P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Self::P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
            (Self::P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Self::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Self::P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
            (Self::P521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
            (Self::P521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
            (Self::P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        }
    }
}

/// The bytes of a public key of Ed25519 with its algorithm.
const ED25519: usize = 44;

pub(in crate::policy) enum Key {
    /// A public key with its algorithm (`SubjectPublicKeyInfo`), of 2,048 to 8,192 bits.
    Rsa(Vec<u8>),
    /// The same, or the point.
    Elliptic(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
    /// It signs nothing.
    Exchange,
}

impl Key {
    /// The public key of a certificate or of a PEM block.
    pub(in crate::policy) fn public(encoded: &[u8]) -> Option<Self> {
        if is_rsa(encoded) {
            return Some(Self::Rsa(encoded.to_vec()));
        }
        if encoded.len() == ED25519 && is_key(&signature::ED25519, encoded) {
            return Some(Self::Ed25519(encoded.to_vec()));
        }
        let is_on = |curve: &Curve| {
            encoded.len() == curve.encoded() && is_key(curve.verification(Hash::Sha256), encoded)
        };
        let curve = Curve::ALL.into_iter().find(is_on)?;
        Some(Self::Elliptic(curve, encoded.to_vec()))
    }

    /// Without its algorithm (`RSAPublicKey`).
    pub(super) fn bare_rsa(encoded: &[u8]) -> Option<Self> {
        is_key(&signature::RSA_PKCS1_2048_8192_SHA256, encoded).then(|| Self::Rsa(encoded.to_vec()))
    }

    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let components = PublicKeyComponents {
            n: without_zeros(modulus),
            e: without_zeros(exponent),
        };
        Self::public(components.as_der().ok()?.as_ref())
    }

    pub(super) fn elliptic(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        if x.len() != curve.size() || y.len() != curve.size() {
            return None;
        }
        let point = [&[4], x, y].concat();
        is_key(curve.verification(Hash::Sha256), &point).then_some(Self::Elliptic(curve, point))
    }

    /// Whether a signature has the only length that a header may announce.
    pub(in crate::policy) fn fits(&self, signature: &[u8]) -> bool {
        match self {
            Self::Elliptic(curve, _) => signature.len() == 2 * curve.size(),
            _ => true,
        }
    }

    pub(in crate::policy) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signed: &[u8],
    ) -> bool {
        let is_signed = |by: &'static dyn VerificationAlgorithm, key: &[u8], signed: &[u8]| {
            UnparsedPublicKey::new(by, key)
                .verify(message, signed)
                .is_ok()
        };
        match (algorithm, self) {
            (Algorithm::Hmac(hash), Self::Secret(secret)) => is_mac(hash, secret, message, signed),
            (Algorithm::Pkcs1(hash), Self::Rsa(key)) => is_signed(
                match hash {
                    Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                },
                key,
                signed,
            ),
            (Algorithm::Pss(hash), Self::Rsa(key)) => is_signed(
                match hash {
                    Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
                },
                key,
                signed,
            ),
            (Algorithm::PssOfAnySalt(hash), Self::Rsa(key)) => {
                let hash = match hash {
                    Hash::Sha256 => &digest::SHA256,
                    Hash::Sha384 => &digest::SHA384,
                    Hash::Sha512 => &digest::SHA512,
                };
                pss::verifies(key, hash, message, signed)
            }
            (Algorithm::Ecdsa(hash), Self::Elliptic(curve, key)) => {
                let (r, s) = signed.split_at(signed.len() / 2);
                numbers(r, s).is_some_and(|it| is_signed(curve.verification(hash), key, &it))
            }
            (Algorithm::EdDsa, Self::Ed25519(key)) => is_signed(&signature::ED25519, key, signed),
            _ => false,
        }
    }
}

/// In a time that says nothing about where they differ.
pub(in crate::policy) fn is_mac(hash: Hash, secret: &[u8], message: &[u8], signed: &[u8]) -> bool {
    let by = match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::verify(&hmac::Key::new(by, secret), message, signed).is_ok()
}

/// Whether it is the only encoding of a key of 2,048 to 8,192 bits.
fn is_rsa(encoded: &[u8]) -> bool {
    let key = PublicEncryptingKey::from_der(encoded).ok();
    let again = key.and_then(|key| key.as_der().ok());
    again.is_some_and(|again| again.as_ref() == encoded)
}

fn is_key(algorithm: &'static dyn VerificationAlgorithm, encoded: &[u8]) -> bool {
    ParsedPublicKey::new(algorithm, encoded).is_ok()
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The two numbers of a signature as DER has them. `None`: one is larger than any curve has.
fn numbers(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut numbers = Vec::new();
    for number in [r, s] {
        let digits = without_zeros(number);
        if digits.len() > Curve::P521.size() {
            return None;
        }
        let is_signed = digits.first().is_none_or(|first| *first >= 0x80);
        let sign: &[u8] = if is_signed { &[0] } else { &[] };
        let size = u8::try_from(sign.len() + digits.len()).ok()?;
        numbers.extend([&[2, size], sign, digits].concat());
    }
    Some(sequence(&numbers))
}

/// What these bytes are in DER as members of a sequence.
pub(super) fn sequence(members: &[u8]) -> Vec<u8> {
    let size = members.len().to_be_bytes();
    let size = without_zeros(&size);
    let head: &[u8] = match size {
        [] => &[0x30, 0],
        [..=0x7f] => &[0x30],
        [_] => &[0x30, 0x81],
        [_, _] => &[0x30, 0x82],
        _ => &[0x30, 0x83],
    };
    [head, size, members].concat()
}
