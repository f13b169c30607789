//! Statements: whatever is shown of an account's entries adds up.

use crate::support::{BACK_OFFICE, with_stores};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::AccountId;
use saga::FinishOutcome;
use store::{Period, Scope, Statement, StatementDay};

/// An instant of the tests' own January.
fn at(day: u32, hour: u32) -> DateTime<Utc> {
    let date = NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
    date.and_hms_opt(hour, 0, 0).unwrap().and_utc()
}

fn from(from: DateTime<Utc>, to: DateTime<Utc>) -> Period {
    Period {
        from: Some(from),
        to: Some(to),
    }
}

impl crate::support::Own {
    /// Entries of 1, 2, 3 and so on, booked at these instants.
    async fn account_booked_at(&self, instants: &[DateTime<Utc>]) -> AccountId {
        let account = self.account(0).await;
        for (number, instant) in (1_i64..).zip(instants) {
            self.fund(account, number).await;
            sqlx::query("UPDATE entries SET booked_at = ? WHERE account = ? AND number = ?")
                .bind(instant)
                .bind(&account.as_bytes()[..])
                .bind(number)
                .execute(self.pool_of(account))
                .await
                .unwrap();
        }
        account
    }

    async fn statement(&self, account: AccountId, period: Period) -> Statement {
        let statement = self.accounts.statement(BACK_OFFICE, account, period);
        statement.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_period_is_what_was_booked_from_its_first_instant_on_and_before_its_last() {
    with_stores(async |own| {
        let instants: Vec<_> = (1..=20).map(|day| at(day, 12)).collect();
        let account = own.account_booked_at(&instants).await;
        for (period, range, balances) in [
            (Period::default(), (0, 20), (0, 210)),
            (from(at(3, 12), at(5, 12)), (2, 4), (3, 10)),
            (from(at(3, 13), at(5, 13)), (3, 5), (6, 15)),
            (from(at(5, 0), at(5, 0)), (4, 4), (10, 10)),
            (from(at(1, 0), at(2, 0)), (0, 1), (0, 1)),
            (from(at(25, 0), at(26, 0)), (20, 20), (210, 210)),
        ] {
            let statement = own.statement(account, period).await;
            assert_eq!((statement.after, statement.through), range, "{period:?}");
            let found = (statement.opening_balance, statement.closing_balance);
            assert_eq!(found, balances, "{period:?}");
            let entries = own.accounts.statement_entries(&statement, 0, 100);
            let entries = entries.await.unwrap();
            let sum: i64 = entries.iter().map(|entry| entry.delta).sum();
            assert_eq!(sum, balances.1 - balances.0);
            assert_eq!(entries.len() as u64, range.1 - range.0);
            assert_eq!(statement.entries(), range.1 - range.0);
        }
    })
    .await;
}

#[tokio::test]
async fn days_add_up_and_those_without_an_entry_are_left_out() {
    with_stores(async |own| {
        let instants = [at(1, 0), at(1, 23), at(4, 1), at(4, 2), at(9, 0)];
        let account = own.account_booked_at(&instants).await;
        let statement = own.statement(account, from(at(1, 12), at(9, 0))).await;
        let days = own.accounts.statement_days(&statement).await.unwrap();
        let found: Vec<_> = days
            .iter()
            .map(|day| {
                let balances = (day.opening_balance, day.closing_balance);
                (day.day.to_string(), balances, day.credits, day.entries)
            })
            .collect();
        let expected = [
            ("2026-01-01".to_owned(), (1, 3), 2, 1),
            ("2026-01-04".to_owned(), (3, 10), 7, 2),
        ];
        assert_eq!(found, expected);
    })
    .await;
}

#[tokio::test]
async fn the_days_of_all_time_begin_with_the_first_entry() {
    with_stores(async |own| {
        let account = own.account_booked_at(&[at(1, 0), at(2, 0)]).await;
        let statement = own.statement(account, Period::default()).await;
        let days = own.accounts.statement_days(&statement);
        let days = tokio::time::timeout(std::time::Duration::from_secs(10), days).await;
        let days = days.unwrap().unwrap();
        let balance = |day: &StatementDay| (day.opening_balance, day.closing_balance);
        let balances: Vec<_> = days.iter().map(balance).collect();
        assert_eq!(balances, [(0, 1), (1, 3)]);
    })
    .await;
}

#[tokio::test]
async fn a_payment_and_a_funding_are_told_apart() {
    with_stores(async |own| {
        for (payer_shard, payee_shard) in [(0, 0), (0, 1)] {
            let payer = own.account_on(payer_shard, 50).await;
            let payee = own.account_on(payee_shard, 5).await;
            let debit = own.debit(payer, 20);
            let mut credit = own.credit(payee, 20);
            credit.xid = debit.xid;
            own.try_all(std::slice::from_ref(&debit)).await;
            for branch in [debit, credit] {
                let confirmed = own.confirm_all(&[branch]).await;
                assert_eq!(confirmed, [FinishOutcome::Done]);
            }
            for (account, deltas) in [(payer, [50, -20]), (payee, [5, 20])] {
                let statement = own.statement(account, Period::default()).await;
                let entries = own.accounts.statement_entries(&statement, 0, 9);
                let entries = entries.await.unwrap();
                let found: Vec<_> = entries.iter().map(|e| (e.delta, e.is_funding)).collect();
                assert_eq!(found, [(deltas[0], true), (deltas[1], false)]);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_entries_of_a_set_stand_in_the_order_its_orders_arrived() {
    with_stores(async |own| {
        let payee = own.account(0).await;
        let mut set = [1, 2, 3].map(|amount| own.credit(payee, amount));
        set.sort_by_key(|branch| branch.xid);
        for (arrival, branch) in [2, 0, 1].into_iter().zip(&mut set) {
            branch.payload.arrival = arrival;
        }
        own.confirm_all(&set).await;
        let statement = own.statement(payee, Period::default()).await;
        let entries = own.accounts.statement_entries(&statement, 0, 9);
        let entries = entries.await.unwrap();
        let found: Vec<_> = entries.iter().map(|entry| entry.delta).collect();
        assert_eq!(
            found,
            [1, 2, 0].map(|place: usize| set[place].payload.amount)
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_being_booked_is_waited_for() {
    with_stores(async |own| {
        let account = own.account(7).await;
        let mut booking = own.pool_of(account).begin().await.unwrap();
        sqlx::query("SELECT id FROM accounts WHERE id = ? FOR UPDATE")
            .bind(&account.as_bytes()[..])
            .execute(&mut *booking)
            .await
            .unwrap();
        let drawn_up = own.statement(account, Period::default());
        let waited = tokio::time::timeout(std::time::Duration::from_millis(500), drawn_up).await;
        assert!(waited.is_err(), "{waited:?}");
        booking.rollback().await.unwrap();
        let statement = own.statement(account, Period::default()).await;
        assert_eq!(statement.closing_balance, 7);
        assert!(Utc::now() - statement.as_of < TimeDelta::minutes(1));
    })
    .await;
}

#[tokio::test]
async fn a_statement_is_shown_to_its_owner_only() {
    with_stores(async |own| {
        let account = own.account(7).await;
        for (tenant, merchant) in [("other", None), ("demo", Some("rival"))] {
            let scope = Scope { tenant, merchant };
            let statement = own.accounts.statement(scope, account, Period::default());
            assert_eq!(statement.await.unwrap(), None);
        }
    })
    .await;
}
