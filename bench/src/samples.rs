//! The figures of several runs, and what is told of them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// One figure per run.
#[derive(Debug, Clone, Default)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The figure in the middle; NaN of nothing.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    /// The least figure; infinite of nothing.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The greatest figure; minus infinite of nothing.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

impl fmt::Display for Samples {
    /// `12,345 (12,000–12,900)`; small figures keep two decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, min, max] = [self.median(), self.min(), self.max()].map(figure);
        match self.0.len() {
            0 => write!(f, "–"),
            1 => write!(f, "{median}"),
            _ => write!(f, "{median} ({min}–{max})"),
        }
    }
}

/// A figure for people: thousands set apart, decimals only where they matter.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Latencies from 1 us up, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // Three significant digits are within what the histogram can do.
        #[expect(clippy::expect_used, reason = "3 is between 0 and 5")]
        let histogram = Histogram::new(3).expect("a histogram of three digits");
        Self(histogram)
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // It grows with what it is given, so nothing is out of its range.
        let _ = self.0.record(us.max(1));
    }

    /// All of another's.
    pub fn add(&mut self, other: &Self) {
        // Both were made alike and resize by themselves, so this cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// The latency that this share (0 to 1) does not exceed, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Samples(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples(vec![4.0, 1.0]).median(), 2.5);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn figures_read_well() {
        let shown = [1_234_567.0, 999.6, 12.34, 1.234, 0.0].map(figure);
        assert_eq!(shown, ["1,234,567", "1,000", "12.3", "1.23", "0.00"]);
        let samples = Samples(vec![10_500.0, 9_800.0, 11_000.0]);
        assert_eq!(samples.to_string(), "10,500 (9,800–11,000)");
    }

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut latencies = Latencies::new();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        assert!((latencies.quantile_ms(0.5) - 50.0).abs() < 0.1);
        assert_eq!(latencies.count(), 100);
    }
}
