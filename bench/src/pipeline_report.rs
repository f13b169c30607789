//! The pipeline's part of the report.

use crate::markdown::{heading, table};
use crate::measured::PipelineRun;
use crate::samples::Samples;
use crate::session::Results;

/// How soon an order is searchable at each pace, and how much of the machine that takes.
pub fn write(text: &mut String, results: &Results) {
    let burst = &results.pipeline;
    if burst.is_empty() {
        return;
    }
    heading(
        text,
        "Accept to searchable",
        "64 connections post, as fast as they are answered or at a part of that pace; an order is searchable \
         when a search of Elasticsearch finds it as paid. The lag from paid to searchable is that of a sample \
         of one in 50, looked for every 100 ms. What is busy is the share of all cores that the stack and the \
         bench take: small batches cost more, so half the pace is not half the load.",
    );
    let rows = [
        (
            "last 202 after, s",
            samples(burst, |one| one.accepted.as_secs_f64()),
        ),
        (
            "all searchable after, s",
            samples(burst, |one| one.run.took.as_secs_f64()),
        ),
    ];
    let rows = rows.map(|(name, samples)| vec![name.to_owned(), samples.to_string()]);
    table(text, &["burst", "measured"], rows.into_iter());
    text.push('\n');
    let paces = [
        ("full", burst),
        ("half", &results.half_load),
        ("a quarter", &results.quarter_load),
    ];
    let rows = paces.map(|(name, runs)| {
        let figures = [
            samples(runs, |one| one.run.rate()),
            samples(runs, |one| busy(one) * 100.0),
            samples(runs, |one| one.lags.quantile_ms(0.5)),
            samples(runs, |one| one.lags.quantile_ms(0.99)),
        ];
        let figures = figures.map(|samples| samples.to_string());
        std::iter::once(name.to_owned()).chain(figures).collect()
    });
    let head = ["pace", "orders/s", "busy, %", "lag p50, ms", "lag p99, ms"];
    table(text, &head, rows.into_iter());
}

fn samples(runs: &[PipelineRun], of: fn(&PipelineRun) -> f64) -> Samples {
    runs.iter().map(of).collect()
}

/// The share of all cores that were busy.
fn busy(one: &PipelineRun) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let us_per_order = one.run.cpu.us_per_order(one.run.orders, |_| true);
    us_per_order * one.run.rate() / (1e6 * cores)
}
