//! Of which moment the stores are compared.

use super::Search;
use super::since::Since;
use chrono::{DateTime, Utc};
use std::time::{Duration, Instant};
use store::reconcile::{Settled, Settledness};
use store::{StoreError, Stores};

/// How long search gets to come up to what was seen.
const CATCH_UP: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What the stores are compared up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Orders made from then on.
    pub since: DateTime<Utc>,
    /// When it began, by the order shards' clocks.
    pub began: DateTime<Utc>,
    /// Up to when search is complete, at most when it began; none without a search.
    pub as_of: Option<DateTime<Utc>>,
}

impl Moment {
    /// Which rows are compared.
    pub fn settledness(&self) -> Settledness {
        let until = |until| Settled {
            since: self.since,
            until,
        };
        Settledness {
            search: until(self.as_of.unwrap_or(self.began)),
            ledger: until(self.began),
        }
    }

    /// How far search is behind, if that is worth a word.
    pub fn behind(&self) -> Option<Duration> {
        let behind = (self.began - self.as_of?).to_std().ok()?;
        (behind > Duration::from_secs(1)).then_some(behind)
    }
}

/// Waits a little for search to come up to now, so that as much as possible can be compared.
pub async fn find(
    stores: &Stores,
    search: Option<&Search>,
    since: Option<Since>,
) -> anyhow::Result<Moment> {
    let began = newest_clock(stores).await?;
    let as_of = match search {
        None => None,
        Some(search) => {
            let as_of = wait_for(search, began, CATCH_UP).await?;
            let as_of = as_of.ok_or_else(|| {
                anyhow::anyhow!(
                    "Elasticsearch: nobody knows how fresh search is, because not every order \
                     shard was ever followed: start cdc-sync"
                )
            })?;
            Some(as_of.min(began))
        }
    };
    if let Some(since) = since.filter(|since| since.from(began) > began) {
        anyhow::bail!("--since: {} is in the future", since.from(began));
    }
    Ok(Moment {
        since: since.map_or(DateTime::UNIX_EPOCH, |since| since.from(began)),
        began,
        as_of,
    })
}

/// The latest of the order shards' clocks.
pub async fn newest_clock(stores: &Stores) -> Result<DateTime<Utc>, StoreError> {
    let mut newest = DateTime::UNIX_EPOCH;
    for shard in stores.orders.shards() {
        newest = newest.max(stores.orders.now(shard).await?);
    }
    Ok(newest)
}

/// Waits until search has come up to this time, but not for longer than `patience`. Answers how far
/// it is; none while an order shard was never followed.
pub async fn wait_for(
    search: &Search,
    time: DateTime<Utc>,
    patience: Duration,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    let started = Instant::now();
    loop {
        let as_of = search.index.as_of().await?;
        if as_of.is_some_and(|as_of| as_of >= time) || started.elapsed() >= patience {
            return Ok(as_of);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn documents_are_compared_up_to_as_of_and_entries_up_to_now() {
        let began = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let of = |as_of| Moment {
            since: DateTime::UNIX_EPOCH,
            began,
            as_of,
        };
        let hour_ago = began - TimeDelta::hours(1);
        let late = of(Some(hour_ago));
        assert_eq!(late.settledness().search.until, hour_ago);
        assert_eq!(late.settledness().ledger.until, began);
        assert_eq!(late.behind(), Some(Duration::from_secs(3_600)));
        assert_eq!(of(Some(began)).behind(), None);
        assert_eq!(of(None).behind(), None);
    }
}
