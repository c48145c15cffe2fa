//! Times, durations, numbers and addresses, written without the machinery of formats: every request has some of them.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use crate::value;

/// As `{now:.6}` says it. All of it but the fraction is the same for a second, and kept so long.
pub(super) fn timestamp(out: &mut String, now: jiff::Timestamp) {
    let Ok(fraction) = u64::try_from(now.subsec_microsecond()) else {
        // Before 1970.
        return add!(out, "{now:.6}");
    };
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_second() || text.is_empty() {
            text.clear();
            add!(text, "{now:.0}");
            // The letter that says UTC.
            text.pop();
            *second = now.as_second();
        }
        out.push_str(text);
    });
    out.push('.');
    padded(out, fraction, 6);
    out.push('Z');
}

/// As `{:?}` says what [`value::milliseconds`] makes of it.
pub(super) fn milliseconds(out: &mut String, elapsed: Duration) {
    let rounded = elapsed.as_nanos().saturating_add(500) / 1000;
    let Ok(microseconds) = u32::try_from(rounded) else {
        return add!(out, "{:?}", value::milliseconds(elapsed));
    };
    number(out, u64::from(microseconds / 1000));
    out.push('.');
    match microseconds % 1000 {
        0 => out.push('0'),
        rest if rest % 100 == 0 => padded(out, u64::from(rest / 100), 1),
        rest if rest % 10 == 0 => padded(out, u64::from(rest / 10), 2),
        rest => padded(out, u64::from(rest), 3),
    }
}

pub(super) fn address(out: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return add!(out, "{address}");
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push('.');
        }
        number(out, u64::from(octet));
    }
}

pub(super) fn number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// With so many digits at least.
fn padded(out: &mut String, number: u64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    for _ in text.len()..digits {
        out.push('0');
    }
    out.push_str(text);
}

thread_local! {
    /// A second since 1970, and how it is written.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn times_are_written_as_formats_write_them(
            times in prop::collection::vec((-100_000_i64..4_000_000_000, 0..1_000_000_000_i32), 1..5),
        ) {
            for (second, nanosecond) in times {
                let now = jiff::Timestamp::new(second, nanosecond).unwrap();
                prop_assert_eq!(written(|out| timestamp(out, now)), format!("{now:.6}"));
            }
        }

        #[test]
        fn durations_are_written_as_formats_write_them(seconds in 0..10_000_u64, nanos in 0..1_000_000_000_u32, zeros in 0..9_u32) {
            let elapsed = Duration::new(seconds, nanos / 10_u32.pow(zeros) * 10_u32.pow(zeros));
            let expected = format!("{:?}", value::milliseconds(elapsed));
            // A half is rounded in floating point there.
            prop_assume!(elapsed.subsec_nanos() % 1000 != 500);
            prop_assert_eq!(written(|out| milliseconds(out, elapsed)), expected);
        }

        #[test]
        fn numbers_and_addresses_are_written_as_formats_write_them(n: u64, octets: [u8; 4], long: [u16; 8]) {
            prop_assert_eq!(written(|out| number(out, n)), n.to_string());
            for one in [IpAddr::from(octets), IpAddr::from(long)] {
                prop_assert_eq!(written(|out| address(out, one)), one.to_string());
            }
        }
    }

    #[test]
    fn what_stands_at_the_edges() {
        for n in [0, 9, 10, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
        for elapsed in [
            Duration::ZERO,
            Duration::from_nanos(499),
            Duration::from_hours(24),
            Duration::MAX,
        ] {
            let expected = format!("{:?}", value::milliseconds(elapsed));
            assert_eq!(written(|out| milliseconds(out, elapsed)), expected);
        }
        let second = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(
            written(|out| timestamp(out, second)),
            "1970-01-01T00:00:00.000000Z"
        );
    }
}
