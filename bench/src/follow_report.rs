//! The follower's part of the report.

use crate::markdown::{heading, ratio, table};
use crate::measured::{CatchUp, FollowRun, Run, rates};
use crate::samples::Samples;

/// Its speeds beside a direct load, and how it catches up.
pub fn write(text: &mut String, runs: &[FollowRun]) {
    if runs.is_empty() {
        return;
    }
    heading(
        text,
        "The follower",
        "`direct`: the documents of all orders from memory, by the follower's own writer, a lane for \
         each server. `replication`: what `drain` left in the binlogs and nothing else, from the start of \
         the follower's process until search finds every order as it ended; the binlogs hold the accounts' \
         changes too, and every version is published as an event. `unpublished`: the same backlog, without \
         events. `snapshot`: all orders, without a position, published too. Each begins with an empty index.",
    );
    let of = |name: &str, run: fn(&FollowRun) -> &Run| {
        let own: Vec<Run> = runs.iter().map(|one| run(one).clone()).collect();
        let direct: Vec<Run> = runs.iter().map(|one| one.direct.clone()).collect();
        vec![
            format!("`{name}`"),
            own.last().map_or(0, |run| run.orders).to_string(),
            rates(&own).to_string(),
            ratio(&rates(&own), &rates(&direct), "%"),
        ]
    };
    let rows = [
        of("direct", |one| &one.direct),
        of("replication", |one| &one.replication),
        of("unpublished", |one| &one.unpublished),
        of("snapshot", |one| &one.snapshot),
    ];
    let head = ["", "orders, in the last run", "orders/s", "of direct"];
    table(text, &head, rows.into_iter());
    write_catch_up(text, runs);
}

fn write_catch_up(text: &mut String, runs: &[FollowRun]) {
    let Some(last) = runs.last() else { return };
    let samples = |of: fn(&CatchUp) -> f64| -> Samples {
        let runs = runs.iter();
        runs.map(|one| of(&one.catch_up)).collect()
    };
    let (backlog, live) = (last.catch_up.backlog, last.catch_up.live_per_second);
    let words = format!(
        "A follower that has missed {backlog} orders is started while {live} more come each second; it has \
         caught up when every order older than three seconds is found."
    );
    heading(text, "Catching up", &words);
    let rows = [
        ("caught up after, s", samples(|one| one.took.as_secs_f64())),
        (
            "of those that came, paid to searchable p50, ms",
            samples(|one| one.lags.quantile_ms(0.5)),
        ),
        (
            "of those that came, paid to searchable max, ms",
            samples(|one| one.lags.quantile_ms(1.0)),
        ),
    ];
    let rows = rows.into_iter();
    let rows = rows.map(|(name, samples)| vec![name.to_owned(), samples.to_string()]);
    table(text, &["", "measured"], rows);
}
