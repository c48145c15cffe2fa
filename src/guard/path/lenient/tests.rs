use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::dynatrace::catalogue::Overrides;
use crate::guard::oracle;
use crate::guard::tests::hostile::{path, segment};

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(&Overrides::default()).unwrap());

const KINDS: [Kind; 3] = [Kind::Quiet, Kind::Get, Kind::Write];

fn likeness(path: &str) -> Likeness {
    Likeness::of(path, &CATALOGUE, &mut Work::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_plain_path_is_taken_for_what_it_was_taken_for_round_by_round(
        segments in prop::collection::vec(segment().prop_filter("dots have readings", |segment| segment != ".."), 0..8),
        root in prop_oneof![8 => Just("/"), 1 => Just("//"), 1 => Just("")],
    ) {
        let path = format!("{root}{}", segments.join("/"));
        let found = likeness(&path);
        for kind in KINDS {
            let suspect = found.suspect(kind, &CATALOGUE).is_some();
            prop_assert_eq!(suspect, oracle::is_suspect(kind, &path, &CATALOGUE), "{:?} {}", kind, path);
        }
    }

    #[test]
    fn what_was_suspicious_round_by_round_is_so_at_once(path in path()) {
        let found = likeness(&path);
        for kind in KINDS {
            if oracle::is_suspect(kind, &path, &CATALOGUE) {
                prop_assert!(found.suspect(kind, &CATALOGUE).is_some(), "{:?} {}", kind, path);
            }
        }
    }
}

/// Strictness has its price, which must stay small: of honest reads hardly any is refused that was not before.
#[test]
fn honest_reads_stay_open() {
    for path in [
        "/api/v2/metrics/builtin%3Ahost.cpu.usage",
        "/api/v2/settings/schemas/builtin%3Aalerting.profile",
        "/api/v2/entities/HOST-0123456789ABCDEF",
        "/api/v2/metrics/ext%3Afoo%2Frest",
        "/api/v2/x%2Frest%2Fy",
        "/api/v1/entity/infrastructure/custom/M%C3%BCller%20%26%20S%C3%B6hne",
        "/api/v1/entity/infrastructure/custom/Müller",
        "/api/v2/tags/a%2Fb%3Bc",
        "/api/v2/x/100%25",
        "/api/v2/x/100%2525",
        "/api/v2/x/a%252Fb",
        "/api/config/v1/calculatedMetrics/log/calc%3Alog.a~(b)",
        "/ui/apps/x/y;a=b?",
        "/%E6%97%A5%E6%9C%AC%E8%AA%9E/\u{fdfa}",
    ] {
        let found = likeness(path);
        assert_eq!(found.suspect(Kind::Get, &CATALOGUE), None, "{path}");
        assert!(!oracle::is_suspect(Kind::Get, path, &CATALOGUE), "{path}");
    }
}

/// Where the word is not, nobody looks for more.
#[test]
fn every_word_about_tokens_mentions_them() {
    for word in TOKEN_WORDS.iter().chain(&[TOKENS]) {
        assert!(word.contains("token"), "{word}");
    }
}
