//! Open traffic: nobody judges it, and both bodies are streamed.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http::request::Parts;
use http::uri::PathAndQuery;

use super::answer::passed_on;
use super::client::Who;
use super::environment::Environment;
use super::identify::Identity;
use super::rejection::{Reason, Rejection};
use super::route::Open;
use super::story::{Started, Story};
use super::unseen::Sighting;
use super::{Gateway, bodies, echo, headers, traced};
use crate::guard;
use crate::listener::{Body, empty};
use crate::telemetry::Step;

impl Gateway {
    /// Whose it is goes to the log, and is counted where the catalogue does not know it.
    pub(super) async fn pass(
        &self,
        parts: Box<Parts>,
        Open {
            body,
            lent,
            unknown,
        }: Open,
        identity: &Identity,
        started: &Started,
        story: &mut Story,
    ) -> Result<Response<Body>, Rejection> {
        let (environment, target) = self.environments.open(&parts).map_err(Reason::from)?;
        story.environment = Some(environment.clone());
        let shown = match &lent {
            Some(lent) => Some(lent.caller.clone()),
            None if unknown => guard::caller(&parts, &self.shared.key),
            None => None,
        };
        if identity.is_proven() || shown.is_some() {
            story.caller = Arc::new(identity.told(shown.as_ref(), lent.is_some()));
        }
        let seen = unknown.then(|| {
            let who = (identity, &story.caller);
            Sighting::new(self, &parts, started, &environment, who)
        });
        let from = (started, identity.proven());
        let streamed = self.stream(&environment, target, (parts, body), from, seen);
        let response = streamed.await?;
        let secret = lent.map(|lent| lent.secret);
        Ok(echo::withhold(response, secret.as_ref()).map_err(Reason::from)?)
    }

    /// Nothing is kept. An upload that does not begin holds nothing.
    async fn stream(
        &self,
        environment: &Environment,
        target: PathAndQuery,
        (mut parts, body): (Box<Parts>, Body),
        (started, who): (&Started, Option<Who>),
        mut seen: Option<Sighting>,
    ) -> Result<Response<Body>, Rejection> {
        if !headers::may_forward(&started.method, &mut parts.headers) {
            let mut response = Response::new(empty());
            headers::for_client(response.headers_mut(), started.version, &started.id);
            return Ok(response);
        }
        headers::for_upstream(&mut parts.headers, started.version, &started.id);
        let body = bodies::begun(body).await.map_err(Reason::from)?;
        let admission = &self.set.admission;
        let slot = admission.open.take(started.address(), 1);
        let of_caller = who.map(|who| admission.open_callers.take(who, 1));
        let slot = (
            slot.map_err(Reason::from)?,
            of_caller.transpose().map_err(Reason::from)?,
        );
        let trace = &started.trace;
        trace.step(Step::Forward);
        trace.tell_step(|said| traced::sends(said, &started.method, environment));
        trace.pass_on(&mut parts.headers);
        let sent = Instant::now();
        if let Some(seen) = &mut seen {
            seen.sent();
        }
        let response = environment.upstream.stream(target, parts, body).await;
        if let Some(seen) = &mut seen {
            seen.answered(&response);
        }
        let response = response.map_err(Reason::from)?;
        self.shared.metrics.upstream_answered(sent.elapsed(), None);
        Ok(passed_on(response, slot, &started.id, self.shared.now))
    }
}
