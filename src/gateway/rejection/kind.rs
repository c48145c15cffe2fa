//! What a refusal is called where it is only counted: stable words of our own, never text of a client.

use super::Reason;
use crate::gateway::environment::RouteError;
use crate::gateway::identify::BrokerError;
use crate::guard::ReadError;
use crate::guard::path::PathError;

impl Reason {
    pub(in crate::gateway) fn kind(&self) -> &'static str {
        match self {
            Self::Broker(BrokerError::Access(_)) => "access-token",
            Self::Broker(BrokerError::NotYours { .. }) => "not-your-credential",
            Self::Broker(BrokerError::Several(_)) => "credential",
            Self::Broker(BrokerError::Unproven { .. }) => "no-credential",
            Self::Connect => "connect",
            Self::Denied(_) | Self::Throttled { .. } => "denied",
            Self::Gone => "client-gone",
            Self::Identity(_) => "jwt",
            Self::Lapsed => "client-certificate",
            Self::Missing(_) => "no-such-token",
            Self::Panic => "panic",
            Self::Read(error) => read(error),
            Self::Record(_) => "not-recorded",
            Self::Route(RouteError::Ambiguous(_) | RouteError::Unknown { .. }) => "environment",
            Self::Route(RouteError::Host) => "host",
            Self::Shed(shed) => shed.limit.as_str(),
            Self::Stale(_) => "stale-policies",
            Self::Turn(_) => "turn",
            Self::UnknownWrite => "unknown-write",
            Self::Unrecorded(_) => "read",
            Self::Upstream(_) => "upstream",
        }
    }
}

fn read(error: &ReadError) -> &'static str {
    match error {
        ReadError::Body(_) | ReadError::Empty(_) | ReadError::Superfluous(_) => "body",
        ReadError::Case(_) | ReadError::Trace => "method",
        ReadError::Change(_) => "member",
        ReadError::Connection(_) => "connection-header",
        ReadError::Credential(_) => "credential",
        ReadError::Encoding => "encoding",
        ReadError::Host => "host",
        ReadError::Json(_) => "json",
        ReadError::MediaType => "media-type",
        ReadError::NoCredential(_) => "no-credential",
        ReadError::ObjectId => "object-id",
        ReadError::Override(_) => "override",
        ReadError::Path(error) => match error {
            PathError::Ambiguous(_) => "ambiguous-path",
            PathError::Id(_) => "token-id",
            PathError::LookAlike(_) => "look-alike",
            PathError::Method(_) => "method",
            PathError::Refused { .. } => "refused-operation",
            PathError::Long => "long-path",
            PathError::Work(_) => "head-work",
            PathError::Unknown => "unknown-path",
        },
        ReadError::Query => "query",
        ReadError::Secret(_) | ReadError::Shown | ReadError::ShownProof => "secret",
        ReadError::Stalled => "stalled-body",
        ReadError::Timeout(_) => "body-timeout",
        ReadError::TooLarge(_) => "body-too-large",
    }
}
