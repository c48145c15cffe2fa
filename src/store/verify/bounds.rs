//! Of which time a part says that its rows are: whoever asks for a time does not look into others.

use std::collections::HashMap;

use crate::store::StoreError;
use crate::store::ask::Asked;
use crate::store::column::column;
use crate::store::moment::Moment;

/// What a part says of its rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) table: String,
    from: End,
    to: End,
}

/// Where the time of a part begins or ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    At(Moment),
}

impl Bounds {
    /// As the server shows them, in the one form that every session has; `None`: dtgate makes none such.
    fn read(table: String, text: &str) -> Option<Self> {
        let text = text.strip_prefix("FOR VALUES FROM (")?.strip_suffix(')')?;
        let (from, to) = text.split_once(") TO (")?;
        let (from, to) = (End::read(from, "MINVALUE")?, End::read(to, "MAXVALUE")?);
        Some(Self { table, from, to })
    }

    pub(super) fn has(&self, at: Moment) -> bool {
        let is_begun = match self.from {
            End::Open => true,
            End::At(from) => at >= from,
        };
        let is_over = match self.to {
            End::Open => false,
            End::At(to) => at >= to,
        };
        is_begun && !is_over
    }
}

impl End {
    fn read(text: &str, open: &str) -> Option<Self> {
        if text == open {
            return Some(Self::Open);
        }
        let time = text.strip_prefix('\'')?.strip_suffix('\'')?;
        // Moments have words of their own, which a server has not.
        let is_time = time.starts_with(|first: char| first.is_ascii_digit());
        is_time.then(|| time.parse().ok())?.map(Self::At)
    }
}

impl Asked {
    /// What all parts say of their rows.
    pub(super) fn bounds(&self) -> Result<HashMap<i64, Bounds>, StoreError> {
        let mut all = HashMap::new();
        for row in self.rows(PARTS, &[])? {
            let (table, text): (String, String) = (column(&row, 1)?, column(&row, 2)?);
            let Some(bounds) = Bounds::read(table.clone(), &text) else {
                let why = format!("of what time its rows are is said otherwise: {text}");
                return Err(StoreError::Odd { table, why });
            };
            all.insert(column(&row, 0)?, bounds);
        }
        Ok(all)
    }
}

const PARTS: &str =
    "SELECT c.oid::bigint, c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'dtgate.record'::regclass AND c.relpartbound IS NOT NULL";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Bounds> {
        Bounds::read(String::new(), text)
    }

    #[test]
    fn what_a_part_says_of_its_rows_is_read() {
        let moment = |text: &str| text.parse::<Moment>().unwrap();
        let month =
            read("FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')");
        let month = month.unwrap();
        assert!(month.has(moment("2026-11-01T00:00:00Z")));
        assert!(month.has(moment("2026-11-30T23:59:59.999999Z")));
        assert!(!month.has(moment("2026-12-01T00:00:00Z")) && !month.has(moment("none")));
        let first = read("FOR VALUES FROM (MINVALUE) TO ('2000-01-01 00:00:00+00')").unwrap();
        assert!(first.has(moment("none")) && !first.has(moment("infinity")));
        let last = read("FOR VALUES FROM ('2100-01-01 00:00:00+00') TO (MAXVALUE)").unwrap();
        assert!(last.has(moment("infinity")) && !last.has(moment("none")));
        for odd in [
            "DEFAULT",
            "FOR VALUES IN ('deny')",
            "FOR VALUES FROM (MAXVALUE) TO (MINVALUE)",
            "FOR VALUES FROM ('none') TO (MAXVALUE)",
            "FOR VALUES FROM ('01/11/2026 08:00:00 CST') TO ('01/12/2026 08:00:00 CST')",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
