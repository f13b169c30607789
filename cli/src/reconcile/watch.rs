//! `holdfast reconcile --every`: the same again and again, and what it found as metrics.

use super::difference::Kind;
use super::findings::Findings;
use super::{ReconcileArgs, compare, show};
use crate::cause;
use crate::settings::Settings;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use service::admin::{self, AdminSettings, Readiness};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The part of the readiness that says whether it can be told at all.
const STORES: &str = "stores";

/// Compares at this pace until asked to stop. Differences are for the metrics' readers: it goes on.
pub async fn run(
    settings: &Settings,
    args: &ReconcileArgs,
    every: Duration,
    listen: SocketAddr,
) -> anyhow::Result<ExitCode> {
    let metrics = service::metrics::install()?;
    describe();
    let stop = service::shutdown::on_signal()?;
    let readiness = Readiness::waiting_for(&[STORES]);
    let admin = AdminSettings { listen };
    eprintln!(
        "reconcile: every {} s; metrics at http://{listen}/metrics",
        every.as_secs()
    );
    tokio::select! {
        served = admin::serve(&admin, readiness.clone(), metrics, stop.clone()) => served?,
        () = watch(settings, args, every, &readiness, &stop) => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(
    settings: &Settings,
    args: &ReconcileArgs,
    every: Duration,
    readiness: &Readiness,
    stop: &CancellationToken,
) {
    let mut ticks = tokio::time::interval(every);
    // One that takes longer than the pace is not followed by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let compared = tokio::select! {
            () = stop.cancelled() => return,
            compared = compare(settings, args) => compared,
        };
        let told = compared.and_then(|findings| {
            record(&findings);
            show(args, &findings)
        });
        if let Err(error) = &told {
            counter!("reconcile_failures_total").increment(1);
            eprintln!("reconcile: {}", cause::told(error.as_ref()));
        }
        readiness.set(STORES, told.map_err(|error| cause::told(error.as_ref())));
    }
}

fn record(findings: &Findings) {
    for kind in Kind::ALL {
        gauge!("reconcile_differences", "kind" => kind.name()).set(findings.of(kind) as f64);
    }
    gauge!("reconcile_orders").set(findings.orders as f64);
    gauge!("reconcile_in_flight").set(findings.in_flight as f64);
    gauge!("reconcile_took_seconds").set(findings.seconds);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    gauge!("reconcile_last_told_seconds").set(now.unwrap_or_default().as_secs_f64());
}

fn describe() {
    for (name, meaning) in [
        (
            "reconcile_differences",
            "Found by the last comparison, by kind",
        ),
        ("reconcile_orders", "Orders compared the last time"),
        (
            "reconcile_in_flight",
            "Of these, not ended or too new for search",
        ),
    ] {
        describe_gauge!(name, meaning);
    }
    describe_gauge!(
        "reconcile_took_seconds",
        Unit::Seconds,
        "The last comparison"
    );
    describe_gauge!(
        "reconcile_last_told_seconds",
        Unit::Seconds,
        "When the last comparison was complete, since 1970"
    );
    describe_counter!(
        "reconcile_failures_total",
        "Comparisons that could not be made"
    );
}
