//! The domain: what the Dynatrace API calls things, and the one shape in which it reports errors.
//!
//! Pure: no I/O, no clock, no async. It refuses to know how a request arrived and who judges it.

pub mod birth;
pub mod catalogue;
pub mod change;
pub mod current;
pub mod moment;
pub mod openapi;
pub mod redact;
pub mod scopes;
pub mod token;

use serde::Serialize;

use redact::Redacted;

/// Dynatrace's error answer, as its documentation declares it for every 4xx and 5xx.
///
/// It goes to the caller, and proxies on the way log it: a text of a client is taken only as [`Redacted`].
///
/// ```compile_fail
/// let message = String::from("as the client wrote it");
/// dtgate::dynatrace::ErrorEnvelope::new(400, message, Vec::new());
/// ```
///
/// Terraform needs an integer `code` and prints `message` with one line a violation; Monaco, the
/// operator and the Python client print the body raw. So it is always one compact line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorEnvelope {
    error: ErrorBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ErrorBody {
    code: u16,
    message: Redacted,
    #[serde(rename = "constraintViolations", skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ConstraintViolation>,
}

/// One entry of `constraintViolations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintViolation {
    pub path: Redacted,
    pub message: Redacted,
    pub parameter_location: ParameterLocation,
    /// Dynatrace declares the member and sends null; clients ignore it.
    pub location: Option<Redacted>,
}

/// Where in the request the objectionable thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ParameterLocation {
    Header,
    Path,
    PayloadBody,
    Query,
}

impl ErrorEnvelope {
    pub fn new(code: u16, message: Redacted, violations: Vec<ConstraintViolation>) -> Self {
        Self {
            error: ErrorBody {
                code,
                message,
                violations,
            },
        }
    }

    /// One compact line, as every known client can read it.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope has only strings and integers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_one_compact_line_with_an_integer_code() {
        let envelope = ErrorEnvelope::new(
            403,
            Redacted::ours("no"),
            vec![ConstraintViolation {
                path: Redacted::ours("scopes[1]"),
                message: Redacted::ours("not this one"),
                parameter_location: ParameterLocation::PayloadBody,
                location: None,
            }],
        );
        assert_eq!(
            String::from_utf8(envelope.to_json()).unwrap(),
            r#"{"error":{"code":403,"message":"no","constraintViolations":[{"path":"scopes[1]","message":"not this one","parameterLocation":"PAYLOAD_BODY","location":null}]}}"#
        );
    }

    #[test]
    fn without_violations_the_member_is_left_out() {
        let envelope = ErrorEnvelope::new(400, Redacted::ours("no"), Vec::new());
        assert_eq!(
            String::from_utf8(envelope.to_json()).unwrap(),
            r#"{"error":{"code":400,"message":"no"}}"#
        );
    }
}
