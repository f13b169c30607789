//! The batches that run: each in a task of its own, so that the loop goes on meanwhile.

use crate::meters;
use crate::partitions::Busy;
use crate::record::Record;
use crate::settings::WorkerSettings;
use domain::OrderId;
use saga::{Answer, Coordinator, ShardId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{AccountParticipant, OrderLog, PaymentOrder};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinError, JoinSet};

/// The engine, as payments use it.
pub type Engine = Coordinator<OrderLog, AccountParticipant>;

/// A command in hand: kept until its outcome is durable.
#[derive(Debug)]
pub struct Work {
    /// As it came, in case it becomes a dead letter.
    pub record: Record,
    /// What the engine is to do.
    pub order: PaymentOrder,
    /// Where the order's log row lives.
    pub shard: ShardId,
    /// The API instance that waits.
    pub wake: Option<String>,
    /// The room it takes.
    pub room: OwnedSemaphorePermit,
}

/// Where a batch's works come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// From these partitions, which it keeps busy.
    Partitions(Vec<Busy>),
    /// From the parked orders of this shard.
    Retry(ShardId),
}

/// Works to run together.
#[derive(Debug)]
pub struct Batch {
    /// Where they come from.
    pub lane: Lane,
    /// In the order of the log.
    pub works: Vec<Work>,
}

/// A batch that is over.
#[derive(Debug)]
pub struct Ended {
    /// The batch.
    pub batch: Batch,
    /// An answer for each work, or why there is none: then all are to be tried again, which is
    /// harmless whatever was done.
    pub answers: Result<Vec<Answer>, String>,
}

/// The running batches.
pub struct Batches {
    engine: Arc<Engine>,
    deadline: Duration,
    tasks: JoinSet<Result<Vec<Answer>, String>>,
    running: HashMap<Id, (Batch, Instant)>,
    /// The last one from partitions, and how long it took once it has ended.
    last: Option<(Id, Option<Duration>)>,
}

impl Batches {
    /// None running.
    pub fn new(engine: Arc<Engine>, settings: &WorkerSettings) -> Self {
        Self {
            engine,
            deadline: Duration::from_millis(settings.batch_deadline_ms),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            last: None,
        }
    }

    /// How many batches from partitions are running.
    pub fn lanes_taken(&self) -> usize {
        let lanes = self.running.values().map(|(batch, _)| &batch.lane);
        lanes
            .filter(|lane| matches!(lane, Lane::Partitions(_)))
            .count()
    }

    /// How long the batch from partitions that began last took; none while it runs.
    pub fn last_took(&self) -> Option<Duration> {
        self.last.map_or(Some(Duration::ZERO), |(_, took)| took)
    }

    /// Starts a batch.
    pub fn start(&mut self, batch: Batch) {
        let numbered = (0_u32..).zip(&batch.works);
        let orders: Vec<PaymentOrder> = numbered
            .map(|(arrival, work)| PaymentOrder {
                arrival,
                ..work.order.clone()
            })
            .collect();
        let (engine, deadline) = (self.engine.clone(), self.deadline);
        let task = self.tasks.spawn(async move {
            let answered = tokio::time::timeout(deadline, engine.run(orders)).await;
            answered.map_err(|_| format!("the batch took longer than {deadline:?}"))
        });
        if matches!(batch.lane, Lane::Partitions(_)) {
            self.last = Some((task.id(), None));
        }
        self.running.insert(task.id(), (batch, Instant::now()));
    }

    /// The next batch that ends; waits for ever while none is running.
    pub async fn next(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            if let Some(ended) = self.ended(joined) {
                return ended;
            }
        }
    }

    fn ended(
        &mut self,
        joined: Result<(Id, Result<Vec<Answer>, String>), JoinError>,
    ) -> Option<Ended> {
        let (id, answers) = match joined {
            Ok((id, answers)) => (id, answers),
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let (batch, since) = self.running.remove(&id)?;
        let took = since.elapsed();
        if let Some((_, last)) = self.last.as_mut().filter(|(last, _)| *last == id) {
            *last = Some(took);
        }
        let lane = match &batch.lane {
            Lane::Partitions(_) => "partitions",
            Lane::Retry(_) => "retry",
        };
        meters::batch(lane, batch.works.len(), took);
        let answers = answers.and_then(|answers| match answers.len() == batch.works.len() {
            true => Ok(answers),
            false => Err("the engine did not answer for every order".to_owned()),
        });
        Some(Ended { batch, answers })
    }
}

impl Batch {
    /// Its orders, each once or more.
    pub fn orders(&self) -> Vec<OrderId> {
        self.works.iter().map(|work| work.order.id).collect()
    }
}
