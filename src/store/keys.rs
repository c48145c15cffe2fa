//! The keys of pseudonyms that records in the store tell of.

use std::collections::BTreeMap;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::schema::signed;
use crate::audit::pseudonym::{MOST_KEYS, Said};

impl Asked {
    /// What the records of a gate, or of each, say of the keys of pseudonyms, also of what is deleted, each key once: of a
    /// gate [`MOST_KEYS`] at most. Where there are so many, there may be more.
    pub fn said_of_keys(
        &self,
        gate: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<Said>>, StoreError> {
        let mut said: BTreeMap<String, Vec<Said>> = BTreeMap::new();
        for row in self.rows(TOLD, &[&gate, &signed(MOST_KEYS as u64)])? {
            let version: &str = column(&row, 1)?;
            // More than a version can be: nobody has such a key.
            let Ok(version) = version.parse() else {
                continue;
            };
            said.entry(column(&row, 0)?).or_default().push(Said {
                version,
                fingerprint: column(&row, 2)?,
            });
        }
        Ok(said)
    }
}

/// Of the gate `$1`, or of each, `$2` keys at most. Members as they are written: in a text each quotation mark has a
/// backslash before it, so that none looks like them. A line may be one that no gate wrote, and no JSON that the server
/// takes: a pattern is looked for in it, and what does not fit tells nothing. The condition on kinds is that of an index.
const TOLD: &str = r#"
SELECT gate, version, fingerprint FROM (
  SELECT gate, version, fingerprint, row_number() OVER (PARTITION BY gate) AS number FROM (
    SELECT DISTINCT gate, told[1] AS version, told[2] AS fingerprint FROM dtgate.record, regexp_matches(
      substr(line, strpos(line, '"pseudonyms":')), '"key":"v([0-9]{1,10})"(?:,"fingerprint":"([^"]{0,40}))?', 'g') AS told
    WHERE kind IN ('start', 'reload', 'pruned') AND kind NOT IN ('decision', 'outcome')
      AND strpos(line, '"pseudonyms":') > 0 AND ($1::text IS NULL OR gate = $1)
  ) AS once
) AS numbered WHERE number <= $2 ORDER BY gate"#;
