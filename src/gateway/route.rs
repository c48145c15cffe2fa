//! Where a request goes: by its head, or by its body where the head does not tell.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

use super::Gateway;
use super::client::Address;
use super::environment::Environment;
use super::identify::{Identity, Lent};
use super::rejection::Reason;
use super::story::Started;
use super::unseen::{self, UnknownWrites};
use crate::dynatrace::catalogue::Operation;
use crate::guard::{self, Head, HeadError, Route, Sifted};
use crate::listener::{Body, full};

/// Why a request goes nowhere, and what it would have been, where its head says that.
pub(super) struct Unrouted {
    pub(super) reason: Reason,
    pub(super) operation: Option<Operation>,
}

/// What a request is, with the body that is still to be used.
pub(super) enum Routed {
    Guarded(Arc<Environment>, Box<Head>, Body),
    Open(Open),
}

/// Open traffic.
pub(super) struct Open {
    pub(super) body: Body,
    /// The gate's credential, if it is sent with that.
    pub(super) lent: Option<Lent>,
    /// A write that the catalogue would have to know, and does not: it is counted.
    pub(super) unknown: bool,
}

impl Gateway {
    /// Guarded or open; a body that had to be read for it is given back. Both may be lent the gate's credential.
    pub(super) async fn route(
        &self,
        started: &Started,
        parts: &mut Parts,
        identity: &mut Identity,
        body: Body,
    ) -> Result<Routed, Unrouted> {
        let mut routed = self.divide(started, parts, identity, body).await?;
        if let Routed::Open(open) = &mut routed
            && identity.is_proven()
        {
            self.find_teams_by_head(identity, parts);
            let lent = self.broker_open(parts, identity, &started.redactor);
            open.lent = Box::pin(lent).await?;
        }
        Ok(routed)
    }

    async fn divide(
        &self,
        started: &Started,
        parts: &Parts,
        identity: &mut Identity,
        body: Body,
    ) -> Result<Routed, Unrouted> {
        let (has_body, redactor) = (started.has_body, &started.redactor);
        let route = guard::head(
            parts,
            has_body,
            redactor,
            &self.set.catalogue,
            &self.shared.key,
        );
        let (head, is_sure) = match route? {
            Route::Guarded(head) => (head, true),
            Route::Open => return Ok(self.open(parts, body)?),
            Route::Unsure(head) => (head, false),
        };
        let operation = Some(head.path().endpoint().operation);
        let routed = self.route_guarded(started.address(), parts, identity, head, is_sure, body);
        let of_operation = |reason| Unrouted { reason, operation };
        // Boxed: open traffic would carry room for it about.
        Box::pin(routed).await.map_err(of_operation)
    }

    /// `is_sure`: its body need not be asked.
    async fn route_guarded(
        &self,
        address: Address,
        parts: &Parts,
        identity: &mut Identity,
        head: Box<Head>,
        is_sure: bool,
        body: Body,
    ) -> Result<Routed, Reason> {
        let (head, body) = if is_sure {
            (head, body)
        } else {
            let longest = self.set.limits.settings_body.as_usize();
            let body = self
                .set
                .admission
                .bodies
                .read(address, body, longest)
                .await?;
            match self.sift(address, identity, *head, &body).await? {
                Sifted::Guarded(head) => (head, full(body)),
                Sifted::Open => {
                    return Ok(Routed::Open(Open {
                        body: full(body),
                        lent: None,
                        unknown: false,
                    }));
                }
            }
        };
        let environment = self.environments.guarded(parts, &head)?;
        self.find_teams(identity, head.caller());
        let head = self.brokered(head, parts, &environment, identity).await?;
        guard::require_credential(parts, &head)
            .map_err(|error| self.without_credential(error, &environment))?;
        Ok(Routed::Guarded(environment, head, body))
    }

    /// Open traffic, unless it is a write that the catalogue would have to know.
    fn open(&self, parts: &Parts, body: Body) -> Result<Routed, Reason> {
        let unknown = || unseen::is_unknown(&parts.method, parts.uri.path(), &self.set.catalogue);
        let unknown = self.set.unknown_writes != UnknownWrites::Pass && unknown();
        if unknown && self.set.unknown_writes == UnknownWrites::Refuse {
            return Err(Reason::UnknownWrite);
        }
        Ok(Routed::Open(Open {
            body,
            lent: None,
            unknown,
        }))
    }

    /// Searches a body, a long one off the threads that move bytes.
    async fn sift(
        &self,
        address: Address,
        identity: &Identity,
        head: Head,
        body: &Bytes,
    ) -> Result<Sifted, Reason> {
        let _slot = self.set.admission.guarded.take(address, 1)?;
        let who = identity.who(address, &head);
        let (length, body) = (body.len(), body.clone());
        let search = move || guard::sift(head, &body);
        let judges = &self.set.admission.judges;
        Ok(judges.read(who, length, search).await??)
    }
}

impl From<HeadError> for Unrouted {
    fn from(HeadError { error, operation }: HeadError) -> Self {
        Self {
            reason: error.into(),
            operation,
        }
    }
}

impl From<Reason> for Unrouted {
    fn from(reason: Reason) -> Self {
        Self {
            operation: reason.operation(),
            reason,
        }
    }
}
