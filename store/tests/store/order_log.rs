//! The orders as the engine's log: begin, decide, end, claim, postpone.

use crate::support::{Own, order, with_stores};
use chrono::{TimeDelta, Utc};
use domain::{AccountId, BodyDigest, Reason};
use saga::{
    Begun, Decision, Ending, Outcome, Pass, Postponement, ShardId, SqlFault, State, TransactionLog,
    Verdict,
};
use std::time::Duration;
use store::{Lookup, OrderLog, OrderLogSettings, OrderRow, PaymentOrder};

const SHARD: ShardId = ShardId(0);

struct Logged<'a> {
    own: &'a Own,
    log: OrderLog,
    orders: Vec<PaymentOrder>,
}

/// A log and orders of its first shard, sorted by xid.
fn logged(own: &Own, count: usize, settings: OrderLogSettings) -> Logged<'_> {
    let log = own.order_log(settings);
    let account = || AccountId::from_bytes(crate::support::fresh());
    let mut orders = Vec::new();
    while orders.len() < count {
        let order = order(account(), account(), 10);
        if log.shard(&order) == SHARD {
            orders.push(order);
        }
    }
    orders.sort_by_key(|order| order.id);
    Logged { own, log, orders }
}

impl Logged<'_> {
    async fn conn(&self) -> sqlx::pool::PoolConnection<sqlx::MySql> {
        self.own.shards().get(SHARD).pool.acquire().await.unwrap()
    }

    async fn begin(&self, orders: &[PaymentOrder], pass: Pass) -> Result<Vec<Begun>, SqlFault> {
        self.log.begin(&mut *self.conn().await, orders, pass).await
    }

    async fn decide(&self, place: usize, verdict: Verdict) -> State {
        let xid = self.log.xid(&self.orders[place]);
        let decided = self
            .log
            .decide(&mut *self.conn().await, &[Decision { xid, verdict }])
            .await;
        decided.unwrap()[0]
    }

    async fn end(&self, place: usize, outcome: Outcome) -> State {
        let xid = self.log.xid(&self.orders[place]);
        let ended = self
            .log
            .end(&mut *self.conn().await, &[Ending { xid, outcome }])
            .await;
        ended.unwrap()[0]
    }

    async fn row(&self, place: usize) -> OrderRow {
        match self
            .own
            .orders
            .find(&[self.orders[place].id])
            .await
            .remove(0)
        {
            Lookup::Found(row) => *row,
            other => panic!("{other:?}"),
        }
    }
}

fn at(state: State) -> Begun {
    Begun::Logged {
        state,
        reason: None,
        overdue: None,
    }
}

fn expired() -> Option<saga::Reason> {
    Some(saga::Reason(Reason::Expired.into()))
}

#[tokio::test]
async fn a_second_begin_tells_where_the_first_one_stands() {
    with_stores(async |own| {
        let l = logged(&own, 5, OrderLogSettings::default());
        l.begin(&l.orders[1..], Pass::First).await.unwrap();
        l.decide(1, Verdict::Confirm).await;
        l.decide(2, Verdict::Cancel(saga::Reason(1))).await;
        l.decide(3, Verdict::Confirm).await;
        l.end(3, Outcome::Confirmed).await;
        let first = l.begin(&l.orders, Pass::First).await;
        assert!(matches!(first, Err(SqlFault::Duplicate(_))), "{first:?}");
        let again = l.begin(&l.orders, Pass::Again).await.unwrap();
        let cancelling = Begun::Logged {
            state: State::Cancelling,
            reason: Some(saga::Reason(1)),
            overdue: None,
        };
        let expected = [
            at(State::Trying),
            at(State::Confirming),
            cancelling,
            at(State::Confirmed),
            at(State::Trying),
        ];
        assert_eq!(again, expected);
    })
    .await;
}

#[tokio::test]
async fn another_body_under_one_id_is_a_conflict_and_the_first_one_stands() {
    with_stores(async |own| {
        let l = logged(&own, 1, OrderLogSettings::default());
        l.begin(&l.orders, Pass::First).await.unwrap();
        let mut other = l.orders.clone();
        other[0].body_digest = BodyDigest::of_parts([b"another".as_slice()]);
        other[0].amount = 99;
        let begun = l.begin(&other, Pass::Again).await.unwrap();
        assert!(matches!(begun[..], [Begun::Conflict(_)]), "{begun:?}");
        assert!(!l.log.same(&l.orders[0], &other[0]));
        assert_eq!(l.row(0).await.amount, 10);
    })
    .await;
}

#[tokio::test]
async fn an_order_first_tried_after_its_not_after_is_overdue() {
    with_stores(async |own| {
        let mut l = logged(&own, 2, OrderLogSettings::default());
        l.orders[1].not_after = Utc::now() - TimeDelta::seconds(1);
        for pass in [Pass::First, Pass::Again] {
            let begun = l.begin(&l.orders, pass).await.unwrap();
            let late = Begun::Logged {
                state: State::Trying,
                reason: None,
                overdue: expired(),
            };
            assert_eq!(begun, [at(State::Trying), late]);
        }
    })
    .await;
}

#[tokio::test]
async fn an_order_undecided_past_its_deadline_is_overdue_and_a_decided_one_is_not() {
    with_stores(async |own| {
        let settings = OrderLogSettings {
            decide_within_ms: 0,
            ..OrderLogSettings::default()
        };
        let l = logged(&own, 2, settings);
        l.begin(&l.orders, Pass::First).await.unwrap();
        l.decide(1, Verdict::Confirm).await;
        let begun = l.begin(&l.orders, Pass::Again).await.unwrap();
        let late = Begun::Logged {
            state: State::Trying,
            reason: None,
            overdue: expired(),
        };
        assert_eq!(begun, [late, at(State::Confirming)]);
    })
    .await;
}

#[tokio::test]
async fn the_first_decision_stands() {
    with_stores(async |own| {
        let l = logged(&own, 1, OrderLogSettings::default());
        l.begin(&l.orders, Pass::First).await.unwrap();
        let cancel = Verdict::Cancel(saga::Reason(4));
        assert_eq!(l.decide(0, cancel).await, State::Cancelling);
        assert_eq!(l.decide(0, Verdict::Confirm).await, State::Cancelling);
        assert_eq!(l.end(0, Outcome::Confirmed).await, State::Cancelling);
        let row = l.row(0).await;
        assert_eq!(
            (row.version, row.reason),
            (1, Some(Reason::CurrencyMismatch))
        );
        assert_eq!(l.end(0, Outcome::Cancelled).await, State::Cancelled);
        assert_eq!(l.end(0, Outcome::Cancelled).await, State::Cancelled);
        let row = l.row(0).await;
        assert_eq!((row.version, row.captured), (2, 0));
        assert_eq!(row.next_attempt_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_paid_order_carries_what_moved_and_a_new_version() {
    with_stores(async |own| {
        let l = logged(&own, 1, OrderLogSettings::default());
        l.begin(&l.orders, Pass::First).await.unwrap();
        assert_eq!(l.end(0, Outcome::Confirmed).await, State::Trying);
        l.decide(0, Verdict::Confirm).await;
        assert_eq!(l.end(0, Outcome::Confirmed).await, State::Confirmed);
        let row = l.row(0).await;
        assert_eq!(
            (row.version, row.captured, row.next_attempt_at),
            (2, 10, None)
        );
        assert!(row.updated_at > row.created_at);
    })
    .await;
}

#[tokio::test]
async fn the_sweeper_takes_what_is_due_and_leases_it() {
    with_stores(async |own| {
        let settings = OrderLogSettings {
            lease_ms: 0,
            ..OrderLogSettings::default()
        };
        let l = logged(&own, 5, settings);
        l.begin(&l.orders, Pass::First).await.unwrap();
        l.decide(0, Verdict::Confirm).await;
        l.end(0, Outcome::Confirmed).await;
        l.decide(1, Verdict::Confirm).await;
        let lease = Duration::from_secs(60);
        let mut claimed = Vec::new();
        for limit in [3, 9, 9] {
            let mut tx = own.shards().get(SHARD).pool.begin().await.unwrap();
            claimed.push(l.log.claim_due(&mut tx, SHARD, limit, lease).await.unwrap());
            tx.commit().await.unwrap();
        }
        let counts: Vec<usize> = claimed.iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 1, 0]);
        for one in claimed.concat() {
            let place = l
                .orders
                .iter()
                .position(|order| order.id == one.record.id)
                .unwrap();
            assert!(l.log.same(&one.record, &l.orders[place]));
            assert_eq!(one.record.legs, l.orders[place].legs);
            assert_eq!(one.attempts, 0);
            let state = if place == 1 {
                State::Confirming
            } else {
                State::Trying
            };
            assert_eq!(one.begun, at(state));
            let row = l.row(place).await;
            assert_eq!((row.attempts, row.version), (1, 1));
        }
    })
    .await;
}

/// As one may be that a newer version wrote, or a hand.
#[tokio::test]
async fn an_unreadable_row_keeps_no_other_from_being_swept() {
    with_stores(async |own| {
        let settings = OrderLogSettings {
            lease_ms: 0,
            ..OrderLogSettings::default()
        };
        let l = logged(&own, 3, settings);
        l.begin(&l.orders, Pass::First).await.unwrap();
        let mut tx = own.shards().get(SHARD).pool.begin().await.unwrap();
        sqlx::query("UPDATE orders SET state = 9 WHERE id = ?")
            .bind(l.orders[1].id.as_bytes().as_slice())
            .execute(&mut *tx)
            .await
            .unwrap();
        let lease = Duration::from_secs(60);
        let claimed = l.log.claim_due(&mut tx, SHARD, 9, lease).await.unwrap();
        let ids: Vec<_> = claimed.iter().map(|one| one.record.id).collect();
        assert_eq!(ids, [l.orders[0].id, l.orders[2].id]);
        let again = l.log.claim_due(&mut tx, SHARD, 9, lease).await.unwrap();
        assert!(again.is_empty(), "it was not leased");
    })
    .await;
}

#[tokio::test]
async fn a_postponed_order_keeps_its_cause_and_an_ended_one_stays_as_it_is() {
    with_stores(async |own| {
        let l = logged(&own, 2, OrderLogSettings::default());
        l.begin(&l.orders, Pass::First).await.unwrap();
        l.decide(1, Verdict::Confirm).await;
        l.end(1, Outcome::Confirmed).await;
        let cause = "ä".repeat(600);
        let later = |order: &PaymentOrder| Postponement {
            xid: l.log.xid(order),
            delay: Duration::from_secs(3600),
            cause: cause.clone(),
        };
        let all: Vec<_> = l.orders.iter().map(later).collect();
        l.log.postpone(&mut *l.conn().await, &all).await.unwrap();
        let (open, ended) = (l.row(0).await, l.row(1).await);
        assert_eq!(open.last_cause, Some("ä".repeat(500)));
        assert!(open.next_attempt_at.unwrap() - open.created_at > TimeDelta::minutes(59));
        assert_eq!(open.version, 1);
        assert_eq!((ended.next_attempt_at, ended.last_cause), (None, None));
    })
    .await;
}
