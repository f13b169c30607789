//! Asks every server about one order, all at once.

use super::evidence::{Answer, Evidence};
use super::records::{Window, find_records};
use crate::cause;
use crate::search_index::{Document, SearchError, SearchIndex};
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use domain::{AccountId, OrderId, ShardName};
use std::collections::HashMap;
use std::time::Duration;
use store::{
    Account, BranchRecords, EntryRecord, HoldRecord, Lookup, OrderRow, Scope, StoreError, Stores,
};

const REDIS_TIME: Duration = Duration::from_secs(3);

/// The databases that do not answer, and why: there is no sense in waiting for them again.
pub type Down = HashMap<ShardName, String>;

/// Everything that can be found out about the order.
///
/// A row that is not there yet is looked up once more after the log: a record goes from the log to
/// the retry topic and from either to its row, so one that the consumers had passed has it by then.
pub async fn gather(
    settings: &Settings,
    stores: &Stores,
    down: &Down,
    id: OrderId,
    since: Duration,
) -> Evidence {
    let row = find_row(stores, down, id).await;
    let evidence = gather_around(settings, stores, down, id, since, row).await;
    if evidence.row != Answer::Nothing {
        return evidence;
    }
    match find_row(stores, down, id).await {
        Answer::Nothing => evidence,
        row => gather_around(settings, stores, down, id, since, row).await,
    }
}

/// What the other servers know of an order with this row.
async fn gather_around(
    settings: &Settings,
    stores: &Stores,
    down: &Down,
    id: OrderId,
    since: Duration,
    row: Answer<OrderRow>,
) -> Evidence {
    let window = Window::of(row.known(), since);
    let (accounts, movements, kafka, marker, search) = tokio::join!(
        find_accounts(stores, down, row.known()),
        find_movements(stores, down, id),
        find_records(settings, id, stores.routing().order_shard(id).index, window),
        find_marker(settings, id),
        find_document(settings, id),
    );
    let (log, dead_letters) = kafka;
    let (document, search_as_of) = search;
    Evidence {
        row,
        accounts,
        movements,
        log,
        dead_letters,
        marker,
        document,
        search_as_of,
    }
}

async fn find_row(stores: &Stores, down: &Down, id: OrderId) -> Answer<OrderRow> {
    if let Some(cause) = down.get(&stores.routing().order_shard(id)) {
        return Answer::Silent(cause.clone());
    }
    match stores.orders.find(&[id]).await.pop() {
        Some(Lookup::Found(row)) => Answer::Known(*row),
        Some(Lookup::Missing) | None => Answer::Nothing,
        Some(Lookup::Unreachable(cause) | Lookup::Unreadable(cause)) => Answer::Silent(cause),
    }
}

async fn find_accounts(
    stores: &Stores,
    down: &Down,
    row: Option<&OrderRow>,
) -> Vec<(AccountId, Answer<Account>)> {
    let mut found = Vec::new();
    for (row, leg) in row
        .into_iter()
        .flat_map(|row| row.legs.iter().map(move |leg| (row, leg)))
    {
        let scope = Scope {
            tenant: &row.tenant,
            merchant: None,
        };
        let answer = match down.get(&stores.routing().account_shard(leg.account)) {
            Some(cause) => Answer::Silent(cause.clone()),
            None => stores.accounts.find(scope, leg.account).await.into(),
        };
        found.push((leg.account, answer));
    }
    found
}

async fn find_movements(
    stores: &Stores,
    down: &Down,
    id: OrderId,
) -> Vec<(String, Answer<Vec<String>>)> {
    let asked = stores.accounts.branch_records(id.into()).await;
    let shown = |(shard, records): (ShardName, Result<BranchRecords, StoreError>)| {
        let lines = records.map(|records| {
            let holds = records.holds.iter().map(of_hold);
            let entries = records.entries.iter().map(of_entry);
            Some(holds.chain(entries).collect::<Vec<_>>()).filter(|lines| !lines.is_empty())
        });
        let answer = match down.get(&shard) {
            Some(cause) => Answer::Silent(cause.clone()),
            None => Answer::from(lines),
        };
        (shard.to_string(), answer)
    };
    asked.into_iter().map(shown).collect()
}

fn of_hold(hold: &HoldRecord) -> String {
    let reason = hold.reason.map(|reason| format!(" ({})", reason.as_str()));
    format!(
        "leg {} hold of {} {}{}, captured {}, on {}",
        hold.leg,
        hold.amount,
        hold.state,
        reason.unwrap_or_default(),
        hold.captured,
        hold.account
    )
}

fn of_entry(entry: &EntryRecord) -> String {
    format!(
        "leg {} entry {:+}, balance after {}, number {} on {}",
        entry.leg, entry.delta, entry.balance_after, entry.number, entry.account
    )
}

async fn find_marker(settings: &Settings, id: OrderId) -> Answer<()> {
    let asked = tokio::time::timeout(REDIS_TIME, ask_marker(settings, id)).await;
    match asked {
        Ok(Ok(true)) => Answer::Known(()),
        Ok(Ok(false)) => Answer::Nothing,
        Ok(Err(error)) => Answer::Silent(cause::told(error.as_ref())),
        Err(_) => Answer::Silent(format!("no answer within {REDIS_TIME:?}")),
    }
}

async fn ask_marker(settings: &Settings, id: OrderId) -> anyhow::Result<bool> {
    let client = settings.redis.client()?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let key = settings.redis.marker_key(id);
    Ok(redis::cmd("EXISTS")
        .arg(key)
        .query_async(&mut connection)
        .await?)
}

async fn find_document(
    settings: &Settings,
    id: OrderId,
) -> (Answer<Document>, Option<DateTime<Utc>>) {
    if settings.search_off {
        return (Answer::NotAsked("search is switched off"), None);
    }
    let ask = async {
        let index = SearchIndex::new(settings)?;
        let document = index.get(&[id.to_string()]).await?.pop().flatten();
        let as_of = index.as_of().await?;
        Ok::<_, SearchError>((document, as_of))
    };
    match ask.await {
        Ok((document, as_of)) => (Answer::from(Ok::<_, SearchError>(document)), as_of),
        Err(error) => (Answer::Silent(cause::told(&error)), None),
    }
}
