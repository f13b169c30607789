//! Statements: what an account's entries say of a period.
//!
//! Entries are numbered without gaps and never change, so a period is a range of numbers, found by
//! bisecting the times of booking, and whatever is shown of it adds up: the opening balance, the
//! entries, the closing balance. Numbers decide: where a server's clock was set back between two
//! entries, one statement still shows each entry of its range once, in order; which of two periods
//! such an entry falls into is not said.

use crate::accounts::{self, Balance};
use crate::bisection::Bisection;
use crate::close_unless_finished::CloseUnlessFinished;
use crate::entries::{self, DaySums, StatementEntry};
use crate::{Account, AccountStore, Scope, StoreError};
use chrono::{DateTime, NaiveDate, Utc};
use domain::AccountId;
use sqlx::mysql::MySqlConnection;

/// How many entries one statement sums up.
const SUMMED_AT_ONCE: u64 = 100_000;

/// What was booked from this instant on and before that one; none is without end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// The first instant of it.
    pub from: Option<DateTime<Utc>>,
    /// The first instant after it.
    pub to: Option<DateTime<Utc>>,
}

/// An account's statement without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose it is, as it is now.
    pub account: Account,
    /// The number of the last entry before the period; 0 is none.
    pub after: u64,
    /// The number of the last entry of the period; `after` where it has none.
    pub through: u64,
    /// The ledger balance before the period, in minor units.
    pub opening_balance: i64,
    /// The ledger balance at its end, in minor units.
    pub closing_balance: i64,
    /// Every entry that was booked before this instant has been counted.
    pub as_of: DateTime<Utc>,
}

/// A UTC day of a statement on which something was booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementDay {
    /// Which day.
    pub day: NaiveDate,
    /// The ledger balance before its first entry, in minor units.
    pub opening_balance: i64,
    /// The sum of what was added, in minor units.
    pub credits: i64,
    /// The sum of what was taken, in minor units, not negative.
    pub debits: i64,
    /// The ledger balance after its last entry, in minor units.
    pub closing_balance: i64,
    /// How many entries it has.
    pub entries: u64,
}

impl Statement {
    /// How many entries the period has.
    pub fn entries(&self) -> u64 {
        self.through - self.after
    }
}

impl AccountStore {
    /// The statement of a period, if the caller may know of the account.
    pub async fn statement(
        &self,
        scope: Scope<'_>,
        id: AccountId,
        period: Period,
    ) -> Result<Option<Statement>, StoreError> {
        let draw_up = async |conn: &mut MySqlConnection| {
            let account = accounts::find(conn, id).await?;
            match account.filter(|account| scope.sees(account)) {
                Some(account) => draw_up(conn, account, period).await.map(Some),
                None => Ok(None),
            }
        };
        self.read_on_shard_of(id, draw_up).await
    }

    /// A statement's entries after this number, in order, at most so many.
    pub async fn statement_entries(
        &self,
        statement: &Statement,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StatementEntry>, StoreError> {
        let id = statement.account.id;
        let range = (after.max(statement.after), statement.through);
        let page = async |conn: &mut MySqlConnection| entries::page(conn, id, range, limit).await;
        self.read_on_shard_of(id, page).await
    }

    /// A statement's days, in order; those without an entry are left out.
    pub async fn statement_days(
        &self,
        statement: &Statement,
    ) -> Result<Vec<StatementDay>, StoreError> {
        let id = statement.account.id;
        let mut sums: Vec<DaySums> = Vec::new();
        let mut after = statement.after;
        while after < statement.through {
            let through = statement.through.min(after + SUMMED_AT_ONCE);
            let range = (after, through);
            let days = async |conn: &mut MySqlConnection| entries::days(conn, id, range).await;
            for day in self.read_on_shard_of(id, days).await? {
                add_day(&mut sums, day);
            }
            after = through;
        }
        Ok(with_balances(sums, statement.opening_balance))
    }

    /// Reads on a connection to the account's shard. Where whoever asks gives up, it is closed: what
    /// is still on its way there must not reach the next one.
    async fn read_on_shard_of<T>(
        &self,
        id: AccountId,
        read: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let shard = self.databases.routing.account_shard(id);
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let mut work = CloseUnlessFinished::new(&mut conn);
        let found = read(work.conn()).await;
        work.finish();
        found.map_err(of)
    }
}

async fn draw_up(
    conn: &mut MySqlConnection,
    account: Account,
    period: Period,
) -> Result<Statement, sqlx::Error> {
    let (booked, as_of) = accounts::read_booked(conn, account.id).await?;
    let Balance {
        ledger_balance,
        last_entry,
    } = booked;
    let after = match period.from {
        Some(from) => last_before(conn, account.id, from, last_entry).await?,
        None => 0,
    };
    let through = match period.to {
        Some(to) => last_before(conn, account.id, to, last_entry).await?,
        None => last_entry,
    };
    let through = through.max(after);
    let opening_balance = entries::balance_after(conn, account.id, after).await?;
    let closing_balance = match through == last_entry {
        true => ledger_balance,
        false => entries::balance_after(conn, account.id, through).await?,
    };
    Ok(Statement {
        account,
        after,
        through,
        opening_balance,
        closing_balance,
        as_of,
    })
}

/// The number of the last entry that was booked before this instant; 0 is none.
async fn last_before(
    conn: &mut MySqlConnection,
    account: AccountId,
    instant: DateTime<Utc>,
    last_entry: u64,
) -> Result<u64, sqlx::Error> {
    let mut open = Bisection::of(last_entry);
    while let Some(numbers) = open.probes() {
        let booked = entries::booked_at(conn, account, &numbers).await?;
        if booked.len() != numbers.len() {
            return Err(sqlx::Error::RowNotFound);
        }
        open.narrow(&booked, instant);
    }
    Ok(open.before)
}

/// Adds a day's sums to those of the days before; a day may come in several parts.
fn add_day(days: &mut Vec<DaySums>, more: DaySums) {
    match days.iter_mut().rev().find(|day| day.day == more.day) {
        Some(day) => {
            day.entries += more.entries;
            day.credits += more.credits;
            day.debits += more.debits;
        }
        None => days.push(more),
    }
}

fn with_balances(sums: Vec<DaySums>, opening_balance: i64) -> Vec<StatementDay> {
    let mut balance = opening_balance;
    let day = |sums: DaySums| {
        let opening_balance = balance;
        balance += sums.credits - sums.debits;
        StatementDay {
            day: sums.day,
            opening_balance,
            credits: sums.credits,
            debits: sums.debits,
            closing_balance: balance,
            entries: sums.entries.unsigned_abs(),
        }
    };
    sums.into_iter().map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_in_two_parts_is_one_day_and_balances_run_through() {
        let day = |day: u32, credits, debits| DaySums {
            day: NaiveDate::from_ymd_opt(2026, 1, day).unwrap(),
            entries: 3,
            credits,
            debits,
        };
        let mut sums = Vec::new();
        for part in [day(1, 10, 3), day(2, 0, 5), day(2, 2, 4)] {
            add_day(&mut sums, part);
        }
        let days = with_balances(sums, 100);
        let balances: Vec<_> = days
            .iter()
            .map(|day| (day.opening_balance, day.closing_balance, day.entries))
            .collect();
        assert_eq!(balances, [(100, 107, 3), (107, 100, 6)]);
    }
}
