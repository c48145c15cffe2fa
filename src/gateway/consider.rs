//! A guarded request from the first byte of its body to the decision about it.
//!
//! Until there is one nothing has happened: all of this may be given up at any moment.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;

use super::Gateway;
use super::client::{Address, Who};
use super::environment::{Addressed, Environment};
use super::lookup::{Asking, Found, LookupError};
use super::quota::Portion;
use super::recent::Counting;
use super::record::Recorder;
use super::rejection::Reason;
use crate::guard::{self, Call, Head, ReadError};
use crate::listener::Body;
use crate::policy::{Decision, Input, Judged};
use crate::store::TurnError;
use crate::telemetry::{Limit, Step};

/// A guarded request as it was asked for.
pub(super) struct Asked {
    pub(super) address: Address,
    pub(super) environment: Arc<Environment>,
    pub(super) head: Head,
    pub(super) parts: Box<Parts>,
    pub(super) body: Body,
}

/// Of the address, and of the caller.
pub(super) type Slot = (Portion<Address>, Portion<Who>);

/// A guarded request that was judged, with what it holds until it is answered.
pub(super) struct Considered {
    pub(super) judged: Judged<Addressed>,
    pub(super) input: Input,
    /// What it counts for, if it was allowed.
    pub(super) counting: Option<Counting>,
    /// Holds the token's turn.
    pub(super) found: Option<Found>,
    /// The client's own head and body.
    pub(super) parts: Box<Parts>,
    pub(super) received: Bytes,
    /// A slot, and memory.
    pub(super) held: (Slot, Portion<Address>),
}

impl Gateway {
    /// From the first byte of a guarded request's body to the decision about it.
    pub(super) async fn consider(
        &self,
        recorder: &Arc<Recorder>,
        asked: Asked,
    ) -> Result<Considered, Reason> {
        let Asked {
            address,
            environment,
            head,
            parts,
            body,
        } = asked;
        let trace = recorder.trace();
        let who = recorder.identity().who(address, &head);
        trace.step(Step::ReadBody);
        let longest = self.set.limits.body.as_usize();
        let body = self
            .set
            .admission
            .bodies
            .read(address, body, longest)
            .await?;
        let slot = (
            self.set.admission.guarded.take(address, 1)?,
            self.set.admission.callers.take(who, 1)?,
        );
        trace.step(Step::Understand);
        let line = &self.set.admission.judges;
        let query = parts.uri.query().map_or(0, str::len);
        let (mut length, received) = (body.len() + query, body.clone());
        let understand = move || guard::call(head, &received);
        let call = line.read(who, length, understand).await??;
        let value = &call.understood().body;
        let memory = self.set.admission.bodies.hold(address, value)?;
        // Nothing is asked of the upstream for what is refused in any case.
        let (call, parts) = match (self.shared.outside.stale)() {
            None => (call, parts),
            Some(reason) => {
                let told = (recorder.clone(), environment.clone(), (self.shared.now)());
                let look = move || with_stale_policies(call, parts, told, reason);
                line.read(who, length, look).await??
            }
        };
        let asking = Asking {
            environment: &environment,
            call: &call,
            parts: &parts,
            request_id: &recorder.request_id,
            who,
            trace,
            fleet: self.shared.outside.fleet.as_ref(),
        };
        let found = self.look_up(asking).await?;
        trace.step(Step::Judge);
        let current = found.as_ref().and_then(|found| found.current.as_ref());
        length += current.map_or(0, |token| token.texts().map(str::len).sum());
        length += if self.set.reads_envoy {
            extent(&parts)
        } else {
            0
        };
        let (teller, with_envoy, time) =
            (recorder.clone(), self.set.reads_envoy, (self.shared.now)());
        let tell = move || {
            let told = environment.input(call.head(), teller.redactor());
            let input = teller.input(&call, told, &parts, found.as_ref(), with_envoy, time)?;
            let addressed = Addressed { call, environment };
            Ok::<_, ReadError>((addressed, input, found, parts))
        };
        let (addressed, mut input, found, parts) = line.read(who, length, tell).await??;
        let counting = self.recall(recorder, who, &mut input).await?;
        let (judged, input) = self.judge(who, addressed, input).await?;
        Ok(Considered {
            counting,
            judged,
            input,
            found,
            parts,
            received: body,
            held: (slot, memory),
        })
    }

    /// The token as it is, when a policy wants to know.
    async fn look_up(&self, asking: Asking<'_>) -> Result<Option<Found>, TurnError> {
        let asked = Instant::now();
        let Some(found) = self.set.lookup.look(asking).await? else {
            return Ok(None);
        };
        if let Some(limit) = found.error.as_ref().and_then(LookupError::limit) {
            self.shared.metrics.reached(limit);
        }
        self.shared
            .metrics
            .looked_up(found.error.is_none(), asked.elapsed());
        Ok(Some(found))
    }

    /// Asks the policies: here, where the answer is quick and nobody objects; else off the threads that move
    /// bytes, because a policy that runs to its time limit must not stall open traffic.
    async fn judge(
        &self,
        who: Who,
        addressed: Addressed,
        input: Input,
    ) -> Result<(Judged<Addressed>, Input), Reason> {
        let addressed = match self.set.policy.judge_quickly(addressed, &input) {
            Ok(judged) => return Ok((judged, input)),
            Err(addressed) => addressed,
        };
        let (policy, metrics) = (self.set.policy.clone(), self.shared.metrics.clone());
        let judges = self.set.admission.judges.clone();
        let work = move || {
            let worth = |denial: &Decision| {
                let worth = denial.has_few_objections() && judges.waiting() == 0;
                if !worth {
                    metrics.reached(Limit::Remedy);
                }
                worth
            };
            (policy.judge(addressed, &input, worth), input)
        };
        let judges = &self.set.admission.judges;
        judges.run(who, work).await
    }
}

/// What may pass while policies are out of date, as it came: what changes nothing but that a token ends.
fn with_stale_policies(
    call: Call,
    parts: Box<Parts>,
    told: (Arc<Recorder>, Arc<Environment>, jiff::Timestamp),
    reason: String,
) -> Result<(Call, Box<Parts>), Reason> {
    let (recorder, environment, time) = told;
    let told = environment.input(call.head(), recorder.redactor());
    let input = recorder.input(&call, told, &parts, None, false, time)?;
    if input.only_disables() {
        Ok((call, parts))
    } else {
        Err(Reason::Stale(reason))
    }
}

/// How long the texts of a head are.
fn extent(parts: &Parts) -> usize {
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    let target = parts.uri.path_and_query();
    target.map_or(0, |target| target.as_str().len()) + fields.sum::<usize>()
}
