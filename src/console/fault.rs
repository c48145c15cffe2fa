//! Why there is no page: one place from which all answers of that kind come.

use http::StatusCode;

use crate::trail;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("There is no such page.")]
    NoSuchPage,
    /// What is asked for is not in the journal, or not any more.
    #[error("{0}")]
    NotThere(String),
    /// It is not in the index, which is not whole.
    #[error("{0}")]
    NotYet(String),
    /// What was asked is not understood.
    #[error("{0}")]
    Invalid(String),
    #[error("This is for people with the role {0}.")]
    NotAllowed(&'static str),
    #[error(
        "The console is not called so. Ask it by an IP address or localhost, or name the host in console.hosts."
    )]
    Host,
    #[error("This was sent by a page of another site. Log in here, and do it here.")]
    Elsewhere,
    #[error("Only GET is answered here.")]
    Method,
    #[error("Other pages are being made. Try again in a moment.")]
    Busy,
    #[error(
        "It took too long. Narrow what you ask for: a shorter time, one environment, one token."
    )]
    Late,
    #[error("{0}")]
    Trail(#[from] trail::Error),
    /// Something is out of order, of which the log alone says why: that may name files, hosts and users.
    #[error("{told} ({error})")]
    Broken { told: &'static str, error: String },
    /// The same, as it is told to whoever asks.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// What whoever asks is told.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Trail(trail::Error::Before(_)) => {
                "before: this is no place where a page begins. Begin without it, and follow “Older”.".to_owned()
            }
            Self::Trail(trail::Error::Unopened(_)) => {
                "The records cannot be opened now: the log of dtgate says why. A new journal has no index in its first \
                 moment."
                    .to_owned()
            }
            Self::Trail(_) => {
                "The records cannot be read now: the log of dtgate says why.".to_owned()
            }
            Self::Broken { told, .. } => format!("{told} The log of dtgate says why."),
            _ => self.to_string(),
        }
    }

    /// Says in the log what nobody else is told.
    pub(super) fn log(&self) {
        match self {
            Self::Trail(trail::Error::Before(_)) => {}
            Self::Trail(_) | Self::Broken { .. } => {
                tracing::warn!(error = %self, "a page of the console cannot be made");
            }
            _ => {}
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPage | Self::NotThere(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Trail(trail::Error::Before(_)) => StatusCode::BAD_REQUEST,
            Self::NotAllowed(_) | Self::Elsewhere => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy | Self::Late | Self::NotYet(_) | Self::Trail(trail::Error::Unopened(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Trail(_) | Self::Broken { .. } | Self::Failed(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}
