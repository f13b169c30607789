//! Why an export ended before its end, and how loudly that is told.

use crate::search::SearchError;
use std::io;
use store::StoreError;

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BreakOff {
    /// What it is read from cannot be reached, or has let it go.
    #[error("{0}")]
    Away(String),
    /// What it is read from answers what we cannot use.
    #[error("{0}")]
    Faulty(String),
    #[error("what it is read from does not answer")]
    Silent,
    #[error("the client takes nothing")]
    Unread,
    #[error("the client hung up")]
    HungUp,
    #[error("it took too long")]
    TimeIsUp,
    #[error("a line cannot be written: {0}")]
    Line(#[from] io::Error),
}

impl BreakOff {
    /// Logs it once; `of` is whose export it was.
    pub(super) fn tell(&self, of: &str) {
        match self {
            Self::HungUp => {
                tracing::debug!(export.of = of, "An export was not wanted to its end.");
            }
            Self::Away(_) | Self::Silent | Self::Unread | Self::TimeIsUp => {
                tracing::warn!(export.of = of, cause = %self, "An export broke off.");
            }
            Self::Faulty(_) | Self::Line(_) => {
                tracing::error!(export.of = of, cause = %self, "An export broke off.");
            }
        }
    }
}

impl From<StoreError> for BreakOff {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Transient { .. } => Self::Away(error.to_string()),
            other => Self::Faulty(other.to_string()),
        }
    }
}

impl From<SearchError> for BreakOff {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Unavailable(_) | SearchError::PointInTimeGone => {
                Self::Away(error.to_string())
            }
            SearchError::Refused(_) => Self::Faulty(error.to_string()),
        }
    }
}
