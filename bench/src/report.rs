//! The report: every figure with its spread, what it cost, and the goals beside it.

use std::fmt::Write;

use crate::accept::{is_api, is_echo};
use crate::cpu::BENCH;
use crate::goals::Goal;
use crate::load::PAYEES;
use crate::markdown::{heading, ratio, table};
use crate::measured::{
    AcceptLevel, AcceptRun, AloneRun, FollowRun, OverloadRun, PipelineRun, Run, rates, us_per_order,
};
use crate::plan::Plan;
use crate::samples::{Samples, figure};
use crate::session::Results;
use crate::{backlog, follow_report, goals, pipeline_report};

/// The processes of the cost table, one column each; the databases share one.
const COLUMNS: [&str; 8] = [
    "mysql",
    "kafka",
    "redis",
    "elasticsearch",
    "order-api",
    "consumer",
    "cdc-sync",
    BENCH,
];

/// The whole report as Markdown.
pub fn text(plan: &Plan, results: &Results) -> String {
    let mut text = String::from("# What the pipeline does on this machine\n");
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "\nMade by `holdfast-bench` on {}. Medians of {} runs, in brackets the least and the greatest. \
         {} payers and {PAYEES} payees, drawn evenly; durable settings; client and servers share \
         the machine.{}\n",
        chrono::Utc::now().format("%Y-%m-%d %H:%M UTC"),
        plan.runs,
        plan.sizes().payers,
        if plan.quick {
            " **A quick run: its figures say nothing.**"
        } else {
            ""
        },
    );
    table(
        &mut text,
        &["machine", ""],
        results
            .facts
            .iter()
            .map(|(name, fact)| vec![(*name).to_owned(), fact.clone()]),
    );
    write_goals(&mut text, &goals::of(results));
    write_throughput(&mut text, results);
    write_costs(&mut text, results);
    write_alone(&mut text, &results.alone);
    write_accept(&mut text, &results.accept);
    write_overload(&mut text, results.overload.as_ref());
    follow_report::write(&mut text, &results.follow);
    pipeline_report::write(&mut text, results);
    write_memory(&mut text, results);
    text
}

fn write_goals(text: &mut String, goals: &[Goal]) {
    heading(text, "Goals", "");
    let row = |goal: &Goal| {
        let met = if goal.met() { "yes" } else { "**no**" };
        vec![goal.what.clone(), goal.shown(), met.to_owned()]
    };
    table(text, &["goal", "measured", "met"], goals.iter().map(row));
}

fn write_throughput(text: &mut String, results: &Results) {
    let refused = 100 / backlog::REFUSED_ONE_IN;
    heading(
        text,
        "Orders per second",
        &format!(
            "`limit`: the five rounds as raw SQL in a straightforward schema, batches of 500, two \
             lanes, statements written beforehand. `naive`: the same rounds, one order at a time in \
             64 lanes. `drain`: a backlog on Kafka through one consumer, {refused} % of it cancelled, \
             neither API nor follower running. `recovery`: orders left in doubt by workers that died \
             (logged, reserved or decided, a third each), finished by one consumer. `pipeline`: from the first POST until all are found by \
             search, everything running. CPU is that of all processes, the client included."
        ),
    );
    let (limit, naive) = (rates(&results.limit), rates(&results.naive));
    let pipeline: Vec<Run> = results.pipeline.iter().map(|one| one.run.clone()).collect();
    let measured = [
        ("limit", &results.limit),
        ("naive", &results.naive),
        ("drain", &results.drain),
        ("recovery", &results.recovery),
        ("pipeline", &pipeline),
    ];
    let rows = measured.into_iter().filter(|(_, runs)| !runs.is_empty());
    let row = |(name, runs): (&str, &Vec<Run>)| {
        let rate = rates(runs);
        vec![
            format!("`{name}`"),
            runs.first().map_or(0, |run| run.orders).to_string(),
            rate.to_string(),
            us_per_order(runs, |_| true).to_string(),
            ratio(&rate, &limit, "%"),
            ratio(&rate, &naive, "x"),
        ]
    };
    let head = [
        "",
        "orders",
        "orders/s",
        "CPU us/order",
        "of limit",
        "against naive",
    ];
    table(text, &head, rows.map(row));
}

fn write_costs(text: &mut String, results: &Results) {
    heading(
        text,
        "CPU microseconds per order, by process",
        "Medians; `mysql` is both database servers, `bench` is the client, and the writer of `direct`. \
         `direct`, `replication`, `unpublished` and `snapshot` are the follower's, `half load` and `quarter \
         load` are `pipeline` at a part of its pace; all stand below.",
    );
    let alone: Vec<Run> = results.alone.iter().map(|one| one.run.clone()).collect();
    let runs_of = |pipeline: &[PipelineRun]| -> Vec<Run> {
        pipeline.iter().map(|one| one.run.clone()).collect()
    };
    let follow = |run: fn(&FollowRun) -> &Run| -> Vec<Run> {
        results.follow.iter().map(|one| run(one).clone()).collect()
    };
    let measured = [
        ("limit", &results.limit),
        ("naive", &results.naive),
        ("drain", &results.drain),
        ("recovery", &results.recovery),
        ("direct", &follow(|one| &one.direct)),
        ("replication", &follow(|one| &one.replication)),
        ("unpublished", &follow(|one| &one.unpublished)),
        ("snapshot", &follow(|one| &one.snapshot)),
        ("alone", &alone),
        ("pipeline", &runs_of(&results.pipeline)),
        ("half load", &runs_of(&results.half_load)),
        ("quarter load", &runs_of(&results.quarter_load)),
    ];
    let rows = measured.into_iter().filter(|(_, runs)| !runs.is_empty());
    let row = |(name, runs): (&str, &Vec<Run>)| {
        let mut cells = vec![format!("`{name}`")];
        cells.extend(COLUMNS.iter().map(|column| {
            let cost = us_per_order(runs, |process| process.starts_with(column)).median();
            if cost > 0.0 {
                figure(cost)
            } else {
                "–".to_owned()
            }
        }));
        cells
    };
    let head: Vec<&str> = [""].into_iter().chain(COLUMNS).collect();
    table(text, &head, rows.map(row));
}

fn write_alone(text: &mut String, runs: &[AloneRun]) {
    if runs.is_empty() {
        return;
    }
    heading(
        text,
        "One order alone",
        "POST with `Prefer: wait=10` to the answer `paid`, one after the other on one connection, after 400 that are not counted.",
    );
    let quantile = |share: f64| -> String {
        let runs = runs.iter();
        let quantiles: Samples = runs.map(|one| one.latencies.quantile_ms(share)).collect();
        quantiles.to_string()
    };
    let orders = runs.first().map_or(0, |one| one.run.orders);
    let row = vec![orders.to_string(), quantile(0.5), quantile(0.99)];
    table(text, &["orders", "p50 ms", "p99 ms"], [row].into_iter());
}

fn write_accept(text: &mut String, levels: &[AcceptLevel]) {
    if levels.is_empty() {
        return;
    }
    heading(
        text,
        "Accept",
        "POST to 202, closed loop, consumer and follower stopped, in turn with a bare axum and rdkafka \
         echo that parses the JSON and waits for the broker. CPU is that of the door's own process; \
         the client and the broker take their share of the same cores.",
    );
    let head = [
        "connections",
        "orders/s",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "echo/s",
        "echo p50 ms",
        "echo p99 ms",
        "echo CPU us",
        "of echo",
    ];
    let row = |level: &AcceptLevel| {
        let (api, echo) = (AcceptRun::rates(&level.api), AcceptRun::rates(&level.echo));
        let medians = |runs: &[AcceptRun], mine: fn(&str) -> bool| {
            [
                AcceptRun::quantiles_ms(runs, 0.5),
                AcceptRun::quantiles_ms(runs, 0.99),
                AcceptRun::us_per_order(runs, mine),
            ]
            .map(|samples| figure(samples.median()))
        };
        let mut cells = vec![level.connections.to_string(), api.to_string()];
        cells.extend(medians(&level.api, is_api));
        cells.push(echo.to_string());
        cells.extend(medians(&level.echo, is_echo));
        cells.push(ratio(&api, &echo, "%"));
        cells
    };
    table(text, &head, levels.iter().map(row));
}

fn write_overload(text: &mut String, run: Option<&OverloadRun>) {
    let Some(one) = run else { return };
    let words = format!(
        "{} connections, each asking again as soon as it is answered; every answer is a 202 or a 503 \
         with Retry-After. The capacity is that of 128 connections, in windows of five seconds.",
        one.connections
    );
    heading(text, "Overload", &words);
    let figures = [
        ("capacity before, orders/s", one.before.to_string()),
        ("accepted meanwhile, orders/s", figure(one.accepted)),
        ("refused meanwhile, orders/s", figure(one.refused)),
        (
            "capacity in the first 5 s after, orders/s",
            figure(one.coming_back),
        ),
        ("capacity from then on, orders/s", one.after.to_string()),
        ("memory grown by, MB", figure(one.grown_mb)),
    ];
    let rows = figures.into_iter();
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(text, &["", "measured"], rows);
}

fn write_memory(text: &mut String, results: &Results) {
    heading(text, "Peak resident memory of the services", "");
    let peaks = results.peaks.0.iter();
    let row = |(name, mb): (&String, &f64)| vec![name.clone(), format!("{} MB", figure(*mb))];
    table(text, &["service", "VmHWM"], peaks.map(row));
}
