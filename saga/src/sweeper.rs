//! Finishes what coordinators left: takes pages of open global transactions that are due, leases
//! them, and runs each page as a batch through the same rounds.

use crate::coordinator::Coordinator;
use crate::operations::{Claim, CountStuck, PageSize};
use crate::settings::SweeperSettings;
use crate::{Answer, Participant, ShardId, TransactionLog, meter};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sweeps all log shards, each in a loop of its own.
#[derive(Debug, Clone)]
pub struct Sweeper<L, P> {
    coordinator: Arc<Coordinator<L, P>>,
    settings: SweeperSettings,
}

/// What sweeping came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Pages taken, also empty ones.
    pub pages: u64,
    /// Global transactions leased.
    pub claimed: u64,
    /// Of these, ended.
    pub ended: u64,
    /// Of these, still waiting.
    pub waiting: u64,
    /// Shards that could not be swept.
    pub shards_failed: u64,
}

impl<L, P> Sweeper<L, P>
where
    L: TransactionLog<Payload = P::Payload>,
    P: Participant,
{
    /// A sweeper for what this coordinator's log holds.
    pub fn new(coordinator: Arc<Coordinator<L, P>>, settings: SweeperSettings) -> Self {
        Self {
            coordinator,
            settings,
        }
    }

    /// Sweeps every log shard until nothing more is due there.
    pub async fn sweep_once(&self) -> SweepReport {
        let shards = self.coordinator.log.shards();
        let never = CancellationToken::new();
        let reports = join_all(shards.iter().map(|shard| self.drain(*shard, &never))).await;
        reports
            .into_iter()
            .fold(SweepReport::default(), SweepReport::and)
    }

    /// Sweeps until told to stop; the page in hand is finished first.
    pub async fn run(self, shutdown: CancellationToken) {
        let shards = self.coordinator.log.shards();
        let sweep = shards
            .iter()
            .map(|shard| self.keep_sweeping(*shard, &shutdown));
        let count = shards
            .iter()
            .map(|shard| self.keep_counting(*shard, &shutdown));
        tokio::join!(join_all(sweep), join_all(count));
    }

    /// Beside the sweeping, so that a long backlog does not hide how many are stuck.
    async fn keep_counting(&self, shard: ShardId, shutdown: &CancellationToken) {
        let every = Duration::from_millis(self.settings.count_stuck_every_ms);
        let counting = async {
            loop {
                self.count_stuck(shard).await;
                tokio::time::sleep(every).await;
            }
        };
        shutdown.run_until_cancelled(counting).await;
    }

    /// A shard that cannot be asked keeps the number it had; that it does not answer has its own
    /// gauge.
    async fn count_stuck(&self, shard: ShardId) {
        let Coordinator {
            log,
            runner,
            settings,
            ..
        } = &*self.coordinator;
        let operation = CountStuck {
            log,
            shard,
            rows_max: self.settings.count_stuck_rows_max,
        };
        let from = [settings.stuck_after_attempts];
        let mut counted = runner.run(shard, &operation, &from).await;
        if let Some(Ok(stuck)) = counted.pop() {
            meter::stuck(runner.shard_name(shard), stuck);
        }
    }

    async fn keep_sweeping(&self, shard: ShardId, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            self.drain(shard, shutdown).await;
            // From half the interval to one and a half, so that sweepers do not march in step.
            let idle = Duration::from_millis(self.settings.idle_ms);
            let pause = idle.mul_f64(0.5 + rand::random::<f64>());
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes page after page; a page that is not full is the last.
    async fn drain(&self, shard: ShardId, shutdown: &CancellationToken) -> SweepReport {
        let mut report = SweepReport::default();
        while !shutdown.is_cancelled() {
            let page = self.sweep_page(shard).await;
            report = report.and(page);
            if page.claimed < u64::from(self.settings.page_max) {
                break;
            }
        }
        report
    }

    async fn sweep_page(&self, shard: ShardId) -> SweepReport {
        let Coordinator { log, runner, .. } = &*self.coordinator;
        let size = PageSize {
            limit: self.settings.page_max,
            lease: Duration::from_millis(self.settings.lease_ms),
        };
        let claimed = runner
            .run(shard, &Claim { log, shard }, &[size])
            .await
            .pop();
        let page = match claimed {
            Some(Ok(page)) => page,
            Some(Err(fault)) => {
                tracing::debug!(shard = runner.shard_name(shard), cause = %fault, "not swept");
                return SweepReport {
                    shards_failed: 1,
                    ..SweepReport::default()
                };
            }
            None => return SweepReport::default(),
        };
        meter::swept(runner.shard_name(shard), page.len());
        let claimed = page.len() as u64;
        let answers = match page.is_empty() {
            true => Vec::new(),
            false => self.coordinator.take_over(page).await,
        };
        let ended = answers
            .iter()
            .filter(|answer| matches!(answer, Answer::Done { .. }))
            .count();
        let ended = ended as u64;
        SweepReport {
            pages: 1,
            claimed,
            ended,
            waiting: claimed - ended,
            shards_failed: 0,
        }
    }
}

impl SweepReport {
    fn and(self, other: Self) -> Self {
        Self {
            pages: self.pages + other.pages,
            claimed: self.claimed + other.claimed,
            ended: self.ended + other.ended,
            waiting: self.waiting + other.waiting,
            shards_failed: self.shards_failed + other.shards_failed,
        }
    }
}
