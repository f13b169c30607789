//! The dead letters on their way: each in a task of its own, so that the loop goes on meanwhile.

use crate::dead_letters::DeadLetters;
use crate::decode::Cause;
use crate::record::{Place, Record};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

/// The dead letters that the broker has not acknowledged yet.
pub struct Burials {
    dead_letters: DeadLetters,
    tasks: JoinSet<Place>,
}

impl Burials {
    /// None under way.
    pub fn new(dead_letters: DeadLetters) -> Self {
        Self {
            dead_letters,
            tasks: JoinSet::new(),
        }
    }

    /// Sends the record; it takes its room until it is acknowledged.
    pub fn start(&mut self, record: Record, cause: Cause, room: OwnedSemaphorePermit) {
        let dead_letters = self.dead_letters.clone();
        self.tasks.spawn(async move {
            dead_letters.bury(&record, &cause).await;
            drop(room);
            record.place
        });
    }

    /// The place of the next one acknowledged; waits for ever while none is under way.
    pub async fn next(&mut self) -> Place {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(place)) => return place,
                // Its offset stays open, so it is redelivered.
                Some(Err(error)) => tracing::error!(%error, "A dead letter was lost on its way."),
                None => return std::future::pending().await,
            }
        }
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}
