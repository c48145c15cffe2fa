//! The keys of pseudonyms that records in the store tell of.

use std::collections::BTreeMap;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::schema::signed;
use crate::audit::pseudonym::{MOST_KEYS, Said};

impl Asked {
    /// What the records of a gate, or of each, say of the keys of pseudonyms, also of what is deleted: of a gate
    /// [`MOST_KEYS`] at most. Where there are so many, there may be more.
    pub fn said_of_keys(
        &self,
        gate: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<Said>>, StoreError> {
        let mut said: BTreeMap<String, Vec<Said>> = BTreeMap::new();
        for row in self.rows(TOLD, &[&gate, &signed(MOST_KEYS as u64)])? {
            let told = read(column(&row, 1)?);
            said.entry(column(&row, 0)?).or_default().push(told);
        }
        Ok(said)
    }
}

/// A number, a quotation mark, and the member behind it, if it is the fingerprint.
fn read(told: &str) -> Said {
    let (version, behind) = told.split_once('"').unwrap_or((told, ""));
    let fingerprint = behind.strip_prefix(",\"fingerprint\":\"");
    Said {
        // What is higher than that nobody has.
        version: version.parse().unwrap_or(u32::MAX),
        fingerprint: fingerprint.map(|text| text.split('"').next().unwrap_or_default().to_owned()),
    }
}

/// Of the gate `$1`, or of each, `$2` keys at most. Members as a gate writes them: in a text each quotation mark has a
/// backslash before it, so that none looks like them. A line may be one that no gate wrote, and no JSON that the server
/// takes: it is only cut at such members. Most starts and reloads say the same from there on, so that hardly any is cut
/// further. The condition on kinds is that of an index.
const TOLD: &str = r#"
SELECT gate, told FROM (
  SELECT gate, told, row_number() OVER (PARTITION BY gate) AS number FROM (
    SELECT DISTINCT gate, left(split_part(piece, '}', 1), 80) AS told FROM (
      SELECT DISTINCT gate, split_part(line, '"pseudonyms":', 2) AS rest FROM dtgate.record
      WHERE kind IN ('start', 'reload', 'pruned') AND kind NOT IN ('decision', 'outcome')
        AND ($1::text IS NULL OR gate = $1)
    ) AS rests, unnest((string_to_array(rest, '"key":"v'))[2:]) AS piece
    WHERE piece ~ '^[0-9]{1,10}"'
  ) AS once
) AS numbered WHERE number <= $2 ORDER BY gate"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_far_as_it_is_one() {
        for (told, version, fingerprint) in [
            ("2\",\"fingerprint\":\"ab\"", 2, Some("ab")),
            ("2\",\"fingerprint\":\"\"", 2, Some("")),
            ("2\",\"fingerprint\":\"cut", 2, Some("cut")),
            ("2\",\"fingerprint\":7", 2, None),
            ("2\"", 2, None),
            ("4294967296\"", u32::MAX, None),
        ] {
            let said = read(told);
            assert_eq!(said.version, version, "{told}");
            assert_eq!(said.fingerprint.as_deref(), fingerprint, "{told}");
        }
    }
}
