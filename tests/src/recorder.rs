//! A client that writes down every attempt and its answer.

use crate::attempt::{Asked, Attempt, Told};
use crate::history::{Figures, judge, word};
use crate::merchant::order;
use crate::{Merchant, Pipeline, facts};
use anyhow::{Result, ensure};
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The tenant of all recorded orders.
pub(crate) const TENANT: &str = "demo";
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
const GETS_AT_ONCE: usize = 16;

/// Cheap to clone; all clones write one history.
#[derive(Clone)]
pub struct Recorder {
    /// Who submits.
    pub merchant: Merchant,
    history: Arc<History>,
}

#[derive(Default)]
struct History {
    attempts: Mutex<Vec<Attempt>>,
    accepted: AtomicU64,
    refused_503: AtomicU64,
    no_answer: AtomicU64,
}

/// Answers so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// 202 and 200.
    pub accepted: u64,
    /// 503.
    pub refused_503: u64,
    /// No answer at all.
    pub no_answer: u64,
}

impl Recorder {
    /// Writes down what this merchant submits.
    pub fn of(merchant: Merchant) -> Self {
        Self {
            merchant,
            history: Arc::default(),
        }
    }

    /// Submits once.
    pub async fn submit(&self, key: &str, asked: &Asked) -> Told {
        self.submit_within(ANSWER_WITHIN, key, asked).await
    }

    /// Submits once, and waits only so long for an answer.
    pub async fn submit_within(&self, limit: Duration, key: &str, asked: &Asked) -> Told {
        let body = order(&asked.payer, &asked.payee, asked.amount);
        let client = &self.merchant.client;
        let answer = client.post_within(limit, key, None, &body).await;
        self.write_down(key, asked, Told::of(&answer))
    }

    /// Submits once, and lets the API wait for the outcome.
    pub async fn submit_and_wait(&self, key: &str, asked: &Asked, seconds: u32) -> Told {
        let body = order(&asked.payer, &asked.payee, asked.amount);
        let limit = ANSWER_WITHIN + Duration::from_secs(seconds.into());
        let client = &self.merchant.client;
        let answer = client.post_within(limit, key, Some(seconds), &body).await;
        self.write_down(key, asked, Told::of(&answer))
    }

    fn write_down(&self, key: &str, asked: &Asked, told: Told) -> Told {
        let history = &self.history;
        match &told {
            Told::Accepted { .. } => history.accepted.fetch_add(1, Relaxed),
            Told::NoAnswer => history.no_answer.fetch_add(1, Relaxed),
            Told::NotEnqueued | Told::OutcomeUnknown => history.refused_503.fetch_add(1, Relaxed),
            Told::OtherBodyStands | Told::Strange(_) => 0,
        };
        let attempt = Attempt {
            key: key.to_owned(),
            asked: asked.clone(),
            told: told.clone(),
        };
        self.attempts().push(attempt);
        told
    }

    /// Answers so far.
    pub fn tally(&self) -> Tally {
        Tally {
            accepted: self.history.accepted.load(Relaxed),
            refused_503: self.history.refused_503.load(Relaxed),
            no_answer: self.history.no_answer.load(Relaxed),
        }
    }

    /// How many orders were accepted, each counted once.
    pub fn accepted_orders(&self) -> usize {
        let mut keys: Vec<String> = self
            .attempts()
            .iter()
            .filter(|attempt| matches!(attempt.told, Told::Accepted { .. }))
            .map(|attempt| attempt.key.clone())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }

    /// Holds all that was told against the stores and against what the API shows. Whatever was
    /// accepted must have ended by now.
    pub async fn check(&self, pipeline: &Pipeline) -> Result<Figures> {
        let facts = facts::of_merchant(pipeline.stack.env(), &self.merchant.name).await?;
        let ids = pipeline.id_key()?;
        let id_of = |key: &str| ids.order_id(TENANT, &self.merchant.name, key).to_string();
        let attempts = self.attempts().clone();
        let mut figures = judge(&attempts, &facts, id_of);
        let ended: HashMap<&String, &str> = facts
            .iter()
            .filter(|(_, order)| order.rows > 0)
            .map(|(id, order)| (id, word(order.state)))
            .collect();
        let shown = stream::iter(ended)
            .map(|(id, status)| self.differs(id, status))
            .buffer_unordered(GETS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for differs in shown {
            figures.mistaken.extend(differs?);
        }
        Ok(figures)
    }

    async fn differs(&self, id: &str, status: &str) -> Result<Option<String>> {
        let answer = self
            .merchant
            .client
            .get(&format!("/v1/orders/{id}"))
            .await?;
        let shown = answer.text("status");
        Ok((shown != status).then(|| format!("{id} is {status}, and is shown as {shown}")))
    }

    /// As [`Recorder::check`], and fails with every broken promise.
    pub async fn assert_true(&self, pipeline: &Pipeline) -> Result<Figures> {
        let figures = self.check(pipeline).await?;
        let breaches: Vec<&String> = figures.breaches().collect();
        ensure!(breaches.is_empty(), "broken promises: {breaches:#?}");
        Ok(figures)
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Vec<Attempt>> {
        self.history
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
