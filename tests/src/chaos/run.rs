//! One run: load, faults, quiet, drain, and the books.

use super::faults::World;
use super::meter::Meter;
use super::recovery;
use super::report::Report;
use super::schedule::{Planned, WITH_OWN_CLOCK, schedule};
use super::{DECIDED_WITHIN, verdict};
use crate::load::{Load, LoadSettings, Payers};
use crate::network::Network;
use crate::pipeline::Pipeline;
use crate::recorder::{Recorder, Tally};
use anyhow::Result;
use futures_util::future::join_all;
use stack::ServerName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

const TELL_EVERY: Duration = Duration::from_secs(5);
const SUPERVISE_EVERY: Duration = Duration::from_secs(1);

/// What to do to the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Makes the same schedule and the same load.
    pub seed: u64,
    /// How long faults are at work.
    pub duration: Duration,
    /// Orders that are submitted at once.
    pub lanes: usize,
    /// Pause between two orders of a lane.
    pub pause: Duration,
}

/// A run under way.
struct Run {
    world: World,
    begun: Instant,
    recorder: Recorder,
    payers: Payers,
    at_work: Mutex<BTreeMap<ServerName, String>>,
    recovering: Mutex<JoinSet<(String, Duration)>>,
}

/// Runs chaos on a stack whose servers and services are up, and puts everything back in its place.
pub async fn run(pipeline: &Pipeline, settings: Settings) -> Result<Report> {
    println!(
        "chaos: seed {}, {} s of faults",
        settings.seed,
        settings.duration.as_secs()
    );
    let network = disguise(pipeline).await?;
    let world = World::new(pipeline.stack.clone(), network);
    let outcome = run_in(pipeline, world, settings).await;
    pipeline.start_whatever_is_down().await?;
    outcome
}

/// Services start anew behind proxies, one of them with a clock of its own.
async fn disguise(pipeline: &Pipeline) -> Result<Network> {
    let stack = &pipeline.stack;
    let mut services = stack.services();
    services.push(WITH_OWN_CLOCK);
    for name in &services {
        stack.handle(*name).stop().await?;
    }
    let network = Network::before(stack).await?;
    stack.handle(WITH_OWN_CLOCK).shift_clock(0)?;
    stack.start_all(&services, |_, _| {}).await?;
    Ok(network)
}

async fn run_in(pipeline: &Pipeline, world: World, settings: Settings) -> Result<Report> {
    let load_settings = LoadSettings {
        orders: usize::MAX,
        lanes: settings.lanes,
        pause: settings.pause,
        seed: settings.seed,
    };
    let mut load = Load::start(pipeline, load_settings).await?;
    let run = Arc::new(Run {
        world,
        begun: Instant::now(),
        recorder: load.recorder.clone(),
        payers: load.payers.clone(),
        at_work: Mutex::default(),
        recovering: Mutex::default(),
    });
    let watching = [
        tokio::spawn(tell(Arc::clone(&run))),
        tokio::spawn(supervise(Arc::clone(&run))),
    ];
    run.play(schedule(settings.seed, settings.duration)).await?;
    watching.iter().for_each(tokio::task::JoinHandle::abort);
    run.say("quiet: everything is started again");
    run.world.quiet().await?;
    let quiet = Instant::now();
    load.stop().await?;
    let recoveries = run.recoveries().await;
    run.say("every client knows what became of its orders");
    let mut report = Report {
        seed: settings.seed,
        seconds: settings.duration.as_secs(),
        refused_503: run.recorder.tally().refused_503,
        ..Report::default()
    };
    let decided = run.all_decided(quiet).await;
    verdict::reach(
        pipeline,
        &run.recorder,
        &load.listener,
        decided,
        &mut report,
    )
    .await?;
    report.count(recoveries);
    Ok(report)
}

impl Run {
    async fn play(self: &Arc<Self>, planned: Vec<Planned>) -> Result<()> {
        let mut at_work = Vec::new();
        for (number, planned) in planned.into_iter().enumerate() {
            sleep_until(self.begun + planned.at).await;
            let run = Arc::clone(self);
            at_work.push(tokio::spawn(
                async move { run.inflict(number, planned).await },
            ));
        }
        for done in join_all(at_work).await {
            done?;
        }
        Ok(())
    }

    async fn inflict(&self, number: usize, planned: Planned) {
        let Planned { lasts, deed, .. } = planned;
        self.say(&format!("{deed} for {:.1} s", lasts.as_secs_f64()));
        self.note(deed.target(), Some(deed.to_string()));
        if let Err(cause) = self.world.begin(deed).await {
            self.say(&format!("{deed} could not be done: {cause:#}"));
        }
        sleep(lasts).await;
        self.note(deed.target(), None);
        self.measure_recovery(number, deed.kind());
        if let Err(cause) = self.world.end(deed).await {
            // Quiet does it again, and fails if that cannot be done either.
            self.say(&format!("{deed} could not be undone: {cause:#}"));
        }
    }

    fn measure_recovery(&self, number: usize, kind: String) {
        let (recorder, payers) = (self.recorder.clone(), self.payers.clone());
        let key = format!("recovery-{number}");
        let mut recovering = self
            .recovering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recovering.spawn(async move { (kind, recovery::measure(&recorder, &payers, &key).await) });
    }

    /// How long after quiet everything accepted had ended; none when it took too long.
    async fn all_decided(&self, quiet: Instant) -> Option<Duration> {
        let accepted = i64::try_from(self.recorder.accepted_orders()).unwrap_or(i64::MAX);
        let env = self.world.stack.env();
        loop {
            let progress = crate::facts::progress(env, &self.recorder.merchant.name).await;
            let waited = quiet.elapsed();
            if let Ok(progress) = &progress
                && progress.open == 0
                && progress.rows >= accepted
            {
                self.say(&format!(
                    "everything accepted has ended {:.1} s after quiet",
                    waited.as_secs_f64()
                ));
                return Some(waited);
            }
            if waited > DECIDED_WITHIN {
                self.say(&format!("{accepted} were accepted, and still {progress:?}"));
                return None;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn recoveries(&self) -> Vec<(String, Duration)> {
        let recovering = {
            let mut recovering = self
                .recovering
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *recovering)
        };
        recovering.join_all().await
    }

    fn note(&self, target: ServerName, deed: Option<String>) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        match deed {
            Some(deed) => at_work.insert(target, deed),
            None => at_work.remove(&target),
        };
    }

    fn say(&self, what: &str) {
        println!("[{:6.1} s] {what}", self.begun.elapsed().as_secs_f64());
    }
}

async fn tell(run: Arc<Run>) {
    let mut meter = Meter::default();
    let mut last = Tally::default();
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let now = run.recorder.tally();
        let ended = meter.look(&run.world.stack).await;
        let per_second = |count: u64| count as f64 / TELL_EVERY.as_secs_f64();
        let at_work: Vec<String> = {
            let at_work = run.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            at_work.values().cloned().collect()
        };
        run.say(&format!(
            "    accepted {:5.1}/s   paid {:5.1}/s   cancelled {:5.1}/s   503 {:5.1}/s   silent {:4.1}/s   under: {}",
            per_second(now.accepted - last.accepted),
            per_second(ended.paid),
            per_second(ended.cancelled),
            per_second(now.refused_503 - last.refused_503),
            per_second(now.no_answer - last.no_answer),
            at_work.join(", ")
        ));
        last = now;
    }
}

async fn supervise(run: Arc<Run>) {
    loop {
        sleep(SUPERVISE_EVERY).await;
        for name in run.world.supervise().await {
            run.say(&format!("{name} ended by itself, and is started again"));
        }
    }
}
