//! How long policies and Dynatrace took, by a few decisions of each part of the time: the store keeps no counts of it, and
//! whoever looks must not have it read every record.

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::moment::Moment;
use super::query::Question;
use super::schema::unsigned;
use crate::audit::index::{Latency, Times, Took};

impl Asked {
    /// How long it took from one moment until before another, in parts of so many milliseconds, the first from that moment on: of the newest [`SAMPLE`] decisions
    /// of each part that a filter lets through, whose own times do not count.
    pub fn latencies(
        &self,
        question: Question<'_>,
        (since, until): (i64, i64),
        part: i64,
    ) -> Result<Vec<Latency>, StoreError> {
        let part = part.max(SHORTEST);
        let Some(mut condition) = self.condition(question)? else {
            return Ok(Vec::new());
        };
        condition.say("d.at >= p.begins AND d.at < least(p.begins + p.long, p.ends)");
        let last = until.saturating_sub(1);
        let decided = condition.text();
        // The numbers stand in the parts themselves: a moment and a span, and nothing that somebody wrote.
        let sql = format!(
            "SELECT p.begins, s.judged, s.answered FROM (SELECT begins, make_interval(secs => {part} / 1000.0) AS long,
                 to_timestamp({until} / 1000.0) AS ends
               FROM generate_series(to_timestamp({since} / 1000.0), to_timestamp({last} / 1000.0),
                 make_interval(secs => {part} / 1000.0)) AS begins) AS p
             CROSS JOIN LATERAL (
               SELECT substring(right(d.line, {END}) FROM '{JUDGED}')::bigint AS judged,
                 (SELECT substring(right(o.line, {END}) FROM '\"duration_ms\":([0-9]{{1,12}}(\\.[0-9]{{1,9}})?)[,}}]')::float8
                  FROM dtgate.record AS o WHERE o.gate = d.gate AND o.seq = d.outcome_seq AND o.kind = 'outcome'
                    AND d.outcome <> 'failed' ORDER BY o.at LIMIT 1) AS answered
               FROM dtgate.record AS d WHERE {decided} ORDER BY d.at DESC LIMIT {SAMPLE}) AS s
             ORDER BY 1"
        );
        let mut all: Vec<Latency> = Vec::new();
        for row in self.rows(&sql, &condition.values())? {
            let from = column::<Moment>(&row, 0)?.millis().unwrap_or_default();
            let judged = column::<Option<i64>>(&row, 1)?.map(|ns| unsigned(ns) / 1000);
            let answered = column::<Option<f64>>(&row, 2)?.map(micros);
            for (took, micros) in [(Took::Policies, judged), (Took::Dynatrace, answered)] {
                let Some(micros) = micros else { continue };
                if let Some(last) = all
                    .iter_mut()
                    .rev()
                    .take(2)
                    .find(|it| (it.from, it.took) == (from, took))
                {
                    last.times.add(micros);
                    continue;
                }
                let mut times = Times::default();
                times.add(micros);
                all.push(Latency { from, took, times });
            }
        }
        Ok(all)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the pattern has no sign, and so many digits that a number has room"
)]
fn micros(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}

/// Of a record, how long policies took: the last of what looks so. The request stands before it, and in that what a client
/// wrote.
const JUDGED: &str = r#".*"metrics":\{"timer_rego_query_eval_ns":([0-9]{1,15})\}(?:,"(?:evaluator|turn|operation|path|request|requested_by)":|\}$)"#;
/// Characters at the end of a record in which it stands.
const END: u32 = 4096;

/// Decisions of each part that are looked at.
pub const SAMPLE: usize = 50;
/// Of a part, in milliseconds.
const SHORTEST: i64 = 1000;
