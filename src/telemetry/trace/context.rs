//! Where a span stands among those of others: W3C Trace Context, level 1.
//!
//! What a client sends is believed as far as it is well-formed. It says where the gate's spans hang, and nothing else.

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A span, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::telemetry) struct Context {
    pub(in crate::telemetry) trace: [u8; 16],
    pub(in crate::telemetry) span: [u8; 8],
    /// Whether whoever made it records it.
    pub(super) is_sampled: bool,
}

impl Context {
    /// That of the client. `None`: there is none, there are two, or it is not well-formed.
    pub(super) fn of_client(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(&TRACEPARENT).iter();
        let (field, None) = (fields.next()?, fields.next()) else {
            return None;
        };
        let mut parts = field.to_str().ok()?.trim().split('-');
        let mut part = || parts.next().map(str::as_bytes);
        let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
        let [version] = hex(version)?;
        let [flags] = hex(flags)?;
        // A later version may have more parts, and this one must not.
        let is_known = version == 0 && parts.next().is_none() || (1..u8::MAX).contains(&version);
        let context = Self {
            trace: hex(trace)?,
            span: hex(span)?,
            is_sampled: flags & SAMPLED != 0,
        };
        (is_known && context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// Makes it the parent of what the next hop does. `is_ours`: the client began no trace, so that whatever it says
    /// about one belongs to none.
    pub(super) fn pass_on(&self, is_ours: bool, headers: &mut HeaderMap) {
        let (trace, span) = (HEXLOWER.encode(&self.trace), HEXLOWER.encode(&self.span));
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        let field = format!("00-{trace}-{span}-{flags:02x}");
        let field = HeaderValue::from_str(&field).expect("hexadecimal digits are visible");
        headers.insert(TRACEPARENT, field);
        if is_ours {
            headers.remove(&TRACESTATE);
        }
    }
}

/// Exactly so many bytes, in small digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    HEXLOWER.decode(digits).ok()?.try_into().ok()
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const SAMPLED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(TRACEPARENT, field.parse().unwrap());
        }
        Context::of_client(&headers)
    }

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn what_is_well_formed_is_read_and_passed_on_as_it_came() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("03", true), ("02", false)] {
            let context = read(&[&format!("00-{TRACE}-{SPAN}-{flags}")]).unwrap();
            assert_eq!(context.is_sampled, is_sampled);
            let mut headers = HeaderMap::new();
            headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
            context.pass_on(false, &mut headers);
            let known = if is_sampled { "01" } else { "00" };
            assert_eq!(headers[TRACEPARENT], format!("00-{TRACE}-{SPAN}-{known}"));
            assert_eq!(headers[TRACESTATE], "a=b");
            context.pass_on(true, &mut headers);
            assert!(!headers.contains_key(TRACESTATE));
        }
        // A later version is read as far as this one goes.
        assert!(read(&[&format!("cc-{TRACE}-{SPAN}-01-what-comes-later")]).is_some());
    }

    #[test]
    fn what_is_not_well_formed_is_none() {
        let zeros = "0".repeat(32);
        let good = format!("00-{TRACE}-{SPAN}-01");
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{SPAN}-{TRACE}-01"),
        ] {
            assert_eq!(read(&[&wrong]), None, "{wrong}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[&good, &good]), None, "two of them");
        assert!(read(&[&good]).is_some());
    }
}
