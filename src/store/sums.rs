//! How many decisions there were, by what and when.

use std::collections::{BTreeMap, HashMap};

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::moment::Moment;
use super::query::Question;
use super::schema::unsigned;
use crate::audit::index::{By, Sum, Sums};

impl Asked {
    /// Counts the decisions that a filter lets through, in each quarter of an hour. One that several names stand for counts
    /// for each.
    pub fn sums(&self, question: Question<'_>, by: By) -> Result<Sums, StoreError> {
        self.summed(question, by, &parts(900))
    }

    /// The same in parts of so many milliseconds.
    pub fn by_parts(&self, question: Question<'_>, by: By, long: i64) -> Result<Sums, StoreError> {
        self.summed(question, by, &parts(long / 1000))
    }

    /// The same over all of the time, which is less to send.
    pub fn totals(&self, question: Question<'_>, by: By) -> Result<Sums, StoreError> {
        self.summed(question, by, "'epoch'::timestamptz")
    }

    fn summed(&self, question: Question<'_>, by: By, when: &str) -> Result<Sums, StoreError> {
        let Some(condition) = self.condition(question)? else {
            return Ok(Sums::default());
        };
        let names = names(by);
        let beside = if by == By::Challenger { CHALLENGED } else { "" };
        let sql = format!(
            "SELECT {when}, {names}, d.verdict = 'deny', count(*), (sum(count(*)) OVER ())::bigint
             FROM dtgate.record AS d {beside} WHERE {} GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT {MOST}",
            condition.text()
        );
        let mut sums: HashMap<(i64, String), (u64, u64)> = HashMap::new();
        let (mut all, mut counted) = (0, 0);
        for row in self.rows(&sql, &condition.values())? {
            let from = column::<Moment>(&row, 0)?.millis().unwrap_or_default();
            let mut names: Vec<Option<String>> = column(&row, 1)?;
            if names.is_empty() {
                names.push(None);
            }
            let count = unsigned(column(&row, 3)?);
            all = unsigned(column(&row, 4)?);
            counted += count;
            let is_denied = column::<Option<bool>>(&row, 2)? == Some(true);
            for name in names {
                let sum = sums.entry((from, name.unwrap_or_default())).or_default();
                if is_denied {
                    sum.1 += count;
                } else {
                    sum.0 += count;
                }
            }
        }
        let mut sums: Vec<Sum> = sums
            .into_iter()
            .map(|((from, name), (allowed, denied))| Sum {
                from,
                name,
                allowed,
                denied,
            })
            .collect();
        sums.sort_by(|one, other| (one.from, &one.name).cmp(&(other.from, &other.name)));
        Ok(Sums {
            all: sums,
            left_out: all - counted.min(all),
        })
    }

    /// The policies that objected when somebody was refused, and how often: for each of these names, which decisions are
    /// counted by. The empty one stands for all of whom there is no name.
    pub fn objections(
        &self,
        question: Question<'_>,
        by: By,
        names: &[&str],
    ) -> Result<Vec<BTreeMap<String, u64>>, StoreError> {
        let mut found = vec![BTreeMap::new(); names.len()];
        let Some(mut condition) = self.condition(question)? else {
            return Ok(found);
        };
        let called_by = self::names(by);
        condition.say("d.verdict = 'deny' AND cardinality(d.policy) > 0");
        let wanted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        condition.add(
            &format!("({called_by} && ?::text[] OR cardinality({called_by}) = 0 AND '' = ANY (?::text[]))"),
            wanted,
        );
        let sql = format!(
            "SELECT {called_by}, d.policy, count(*) FROM dtgate.record AS d WHERE {} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT {MOST}",
            condition.text()
        );
        for row in self.rows(&sql, &condition.values())? {
            let called: Vec<Option<String>> = column(&row, 0)?;
            let policies: Vec<Option<String>> = column(&row, 1)?;
            let count = unsigned(column(&row, 2)?);
            let is_it = |name: &str| match &*called {
                [] => name.is_empty(),
                called => called.iter().flatten().any(|it| it == name),
            };
            let of = names.iter().zip(&mut found);
            for (_, of) in of.filter(|(name, _)| is_it(name)) {
                for policy in policies.iter().flatten().filter(|it| !it.is_empty()) {
                    *of.entry(policy.clone()).or_default() += count;
                }
            }
        }
        Ok(found)
    }
}

/// Groups that are taken in, those with the most decisions first.
const MOST: usize = 500_000;

/// In which part of so many seconds a decision was. Every zone's days and hours begin with a quarter of an hour.
fn parts(seconds: i64) -> String {
    format!(
        "CASE WHEN d.at > '-infinity' THEN to_timestamp(floor(extract(epoch FROM d.at) / {seconds}) * {seconds})
                        ELSE 'epoch' END"
    )
}

/// The names that a decision counts for, as a list.
fn names(by: By) -> &'static str {
    match by {
        By::Verdict => "ARRAY[d.verdict]",
        By::Policy => "coalesce(d.policy, '{}')",
        By::Code => "coalesce(d.code, '{}')",
        // The gate's own credential is nobody's, and stands where nothing better is known.
        By::Caller => {
            "ARRAY[coalesce(d.claim[cardinality(d.claim)], (SELECT it FROM unnest(d.certificate) AS it
              ORDER BY starts_with(it, 'spiffe://') DESC LIMIT 1), d.caller, '')]"
        }
        By::Credential => "ARRAY[coalesce(d.caller, '')]",
        // Issuer and subject, or one of them.
        By::Subject => "ARRAY[coalesce(d.claim[cardinality(d.claim)], '')]",
        By::Certificate => {
            "ARRAY[coalesce((SELECT it FROM unnest(d.certificate) AS it
              ORDER BY starts_with(it, 'spiffe://') DESC LIMIT 1), '')]"
        }
        By::Team => "coalesce(d.team, '{}')",
        By::Token => "coalesce(d.token, '{}')",
        By::Scope => "coalesce(d.scope, '{}')",
        By::Environment => "ARRAY[coalesce(d.environment, '')]",
        By::Operation => "ARRAY[coalesce(d.operation, '')]",
        By::Client => "ARRAY[coalesce(d.client, '')]",
        By::Challenger => "ARRAY[coalesce(c.found, '')]",
        By::Outcome => {
            "ARRAY[CASE WHEN d.verdict = 'deny' THEN 'denied' WHEN d.outcome IN ('answered', 'failed') THEN d.outcome
              WHEN coalesce(d.found, 'unknown') <> 'unknown' THEN 'settled' ELSE 'in doubt' END]"
        }
    }
}

/// What challengers would have done otherwise, once for each decision: the last says it.
const CHALLENGED: &str = "LEFT JOIN (
    SELECT DISTINCT ON (gate, decision_seq) gate, decision_seq, found FROM dtgate.record
    WHERE kind = 'challenger' AND decision_seq IS NOT NULL ORDER BY gate, decision_seq, seq DESC
  ) AS c ON c.gate = d.gate AND c.decision_seq = d.seq";
