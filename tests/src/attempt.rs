//! One attempt to submit an order, and what the client was told.

use crate::Answer;
use anyhow::Result;

/// What an order asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub payee: String,
    /// Minor units.
    pub amount: i64,
}

/// One attempt, written down when its answer came, or did not.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its Idempotency-Key.
    pub key: String,
    /// Its body.
    pub asked: Asked,
    /// What the client was told.
    pub told: Told,
}

/// What a client was told of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// 202, or 200 with the outcome: it is durable.
    Accepted {
        /// The order's id.
        id: String,
        /// `processing`, or how it ended.
        status: String,
    },
    /// 422: another body stands under this key. Nothing comes of this one.
    OtherBodyStands,
    /// 503 `not_enqueued`, or refused before anything was done: nothing comes of this attempt.
    NotEnqueued,
    /// 503 `outcome_unknown`.
    OutcomeUnknown,
    /// The connection broke, or nothing came in time.
    NoAnswer,
    /// Anything else: no promise covers it.
    Strange(String),
}

impl Told {
    /// What this answer says.
    pub fn of(answer: &Result<Answer>) -> Self {
        let Ok(answer) = answer else {
            return Self::NoAnswer;
        };
        match (answer.status.as_u16(), answer.text("code")) {
            (200 | 202, _) => Self::Accepted {
                id: answer.text("id").to_owned(),
                status: answer.text("status").to_owned(),
            },
            (422, "idempotency_key_reused") => Self::OtherBodyStands,
            (503, "not_enqueued" | "overloaded") | (409, "idempotency_key_in_flight") => {
                Self::NotEnqueued
            }
            (503, "outcome_unknown") => Self::OutcomeUnknown,
            _ => Self::Strange(format!("{} {}", answer.status, answer.body)),
        }
    }

    /// Whether the order may have been taken and may not.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown | Self::NoAnswer)
    }

    /// Whether the answer was a 503.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NotEnqueued | Self::OutcomeUnknown)
    }
}
