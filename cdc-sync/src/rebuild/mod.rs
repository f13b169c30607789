//! Rebuilds the orders' index beside the one in use, while everybody works.
//!
//! The operator's command writes down what is wanted ([`request`]), the follower that acts does it and
//! writes down how far it is ([`record`]); so a rebuild survives both. In order: the new index is made
//! and from then on every batch goes to both; it is filled from the stores ([`fill`]), a row that
//! changes meanwhile being written twice and its version deciding; then, while nobody writes for a
//! moment, both are refreshed and compared ([`figures`]) and the alias goes over in one step
//! ([`switch`]). A search therefore finds in the new index exactly what it found in the old one. The old
//! one stays beside it and keeps getting every batch, so that the alias can go back.

pub mod figures;
mod fill;
pub mod record;
pub mod request;
mod switch;

use crate::error::FollowError;
use crate::health::Health;
use crate::search_client::{SearchClient, SearchError};
use crate::settings::Settings;
use crate::shared_document::{Found, Ground};
use crate::source::Server;
use crate::targets::Targets;
use record::{Phase, Rebuild};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is asked what is wanted.
const POLL: Duration = Duration::from_millis(500);

/// Does what is wanted, on behalf of the follower that acts.
pub struct Rebuilder<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// Where the indices are.
    pub client: &'a SearchClient,
    /// Where the orders are.
    pub servers: &'a [Server],
    /// Where documents go.
    pub targets: &'a Targets,
    /// Where the writing says how it is.
    pub health: &'a Health,
    /// Asks it to stop.
    pub stop: &'a CancellationToken,
}

/// A rebuild in the hands of one step, with the state it was read in.
struct Held {
    ground: Ground,
    rebuild: Rebuild,
}

/// Why a step is left before its end.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    /// The operator, or another follower, has written something else meanwhile: look again.
    #[error("somebody else has changed the rebuild")]
    Overtaken,
    /// It is tried again.
    #[error("{0}")]
    Failed(#[from] FollowError),
}

impl From<SearchError> for Interrupted {
    fn from(error: SearchError) -> Self {
        Self::Failed(error.into())
    }
}

impl Rebuilder<'_> {
    /// Does what is wanted until asked to stop. Nothing that happens to a rebuild ends the following.
    pub async fn run(&self) {
        let mut delays = self.settings.follower.backoff();
        let mut told = None;
        loop {
            let stepped = tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.beside_is_given_up() => Ok(()),
                stepped = self.step() => stepped,
            };
            let pause = match stepped {
                Ok(()) | Err(Interrupted::Overtaken) => {
                    delays = self.settings.follower.backoff();
                    POLL
                }
                Err(Interrupted::Failed(error)) => {
                    self.tell(error.to_string(), &mut told).await;
                    POLL + delays.next().unwrap_or_default()
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn step(&self) -> Result<(), Interrupted> {
        let Ok(Some(mut held)) = self.load().await else {
            // While Elasticsearch is away everybody else says so.
            return Ok(());
        };
        held.rebuild.trouble = None;
        self.give_up_beside(&mut held).await?;
        match held.rebuild.phase {
            Phase::Requested => self.begin(&mut held).await,
            Phase::Filling => self.fill(&mut held).await,
            Phase::Comparing | Phase::Switching => self.compare(&mut held).await,
            Phase::SwitchingBack => self.switch_back(&mut held).await,
            Phase::Discarding => self.discard(&mut held).await,
            Phase::Differs | Phase::Switched | Phase::Done => Ok(()),
        }
    }

    /// Waits until the index beside is to be removed, whatever a step is busy with, unless with that.
    async fn beside_is_given_up(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            let Ok(Some(mut held)) = self.load().await else {
                continue;
            };
            let is_known = self.targets.written_off().is_cancelled();
            if matches!(self.give_up_beside(&mut held).await, Ok(true)) && !is_known {
                return;
            }
        }
    }

    /// Whether the index beside is to be removed: because the operator says so, or because it cannot be
    /// written any more. That is written down before anybody is let go who waits for it.
    async fn give_up_beside(&self, held: &mut Held) -> Result<bool, Interrupted> {
        let failure = self.targets.beside_failure();
        if failure.is_some() && held.rebuild.phase != Phase::Discarding {
            held.rebuild.failure = failure;
            self.enter(held, Phase::Discarding).await?;
        }
        let is_given_up = held.rebuild.phase == Phase::Discarding;
        if is_given_up {
            self.targets.write_off_beside();
        }
        Ok(is_given_up)
    }

    /// Says once what holds a rebuild up, in the log and where the operator looks.
    async fn tell(&self, trouble: String, told: &mut Option<String>) {
        if told.as_ref() != Some(&trouble) {
            tracing::warn!(trouble, "The rebuild is held up; it is tried again.");
            *told = Some(trouble.clone());
        }
        if let Ok(Some(mut held)) = self.load().await
            && held.rebuild.phase.goes_on()
        {
            held.rebuild.trouble = Some(trouble);
            // Where that fails, the log has it.
            let _ = self.save(&mut held).await;
        }
    }

    async fn load(&self) -> Result<Option<Held>, SearchError> {
        let found = record::load(self.client).await?;
        Ok(found.map(|Found { ground, document }| Held {
            ground,
            rebuild: document,
        }))
    }

    async fn save(&self, held: &mut Held) -> Result<(), Interrupted> {
        let saved = record::save(self.client, Some(held.ground), &held.rebuild).await?;
        held.ground = saved.ok_or(Interrupted::Overtaken)?;
        Ok(())
    }

    async fn enter(&self, held: &mut Held, phase: Phase) -> Result<(), Interrupted> {
        let Rebuild { from, to, rows, .. } = &held.rebuild;
        tracing::info!(from, to, rows, phase = ?phase, "The rebuild goes on.");
        held.rebuild.phase = phase;
        self.save(held).await
    }
}
