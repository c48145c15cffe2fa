//! In which form a scraper wants the metrics.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether `OpenMetrics` is asked for, and the older text is not liked better.
pub(super) fn open_metrics(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT).iter();
    let offers = fields.filter_map(|field| field.to_str().ok());
    let offers: Vec<(&str, u16)> = offers
        .flat_map(|field| field.split(','))
        .map(offer)
        .collect();
    let best = |kind: &str| {
        let liked = offers
            .iter()
            .filter(|(offered, _)| offered.eq_ignore_ascii_case(kind));
        liked.map(|(_, quality)| *quality).max().unwrap_or(0)
    };
    let wanted = best("application/openmetrics-text");
    wanted > 0 && wanted >= best("text/plain")
}

/// A kind, and how much it is liked, in thousandths.
fn offer(text: &str) -> (&str, u16) {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value)
    });
    let quality = quality.map_or(1.0, |value| value.trim().parse().unwrap_or(0.0));
    let quality: f32 = if (0.0..=1.0).contains(&quality) {
        quality
    } else {
        0.0
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 1,000"
    )]
    let thousandths = (quality * 1000.0) as u16;
    (kind, thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        let wants = |fields: &[&str]| {
            let fields = fields.iter().map(|field| (ACCEPT, field.parse().unwrap()));
            open_metrics(&fields.collect())
        };
        // What Prometheus 3 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for fields in [
            &[prometheus][..],
            &["application/openmetrics-text"],
            &["text/html", "Application/OpenMetrics-Text; version=1.0.0"],
            &["application/openmetrics-text, text/plain"],
        ] {
            assert!(wants(fields), "{fields:?}");
        }
        for fields in [
            &[][..],
            &["*/*"],
            &["text/plain;version=0.0.4"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=x"],
            &["application/openmetrics-text;q=9"],
            &["application/openmetrics-text;q=0.4, text/plain;q=0.5"],
            &["application/openmetrics-texts"],
        ] {
            assert!(!wants(fields), "{fields:?}");
        }
    }
}
