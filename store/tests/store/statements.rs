//! What a batch costs does not depend on its size: 200 orders take as many statements as 2.

use crate::support::{Own, order, with_stores};
use saga::{
    Branch, Decision, Ending, Outcome, Participant, Pass, ShardId, TransactionLog, Verdict,
};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use store::{AccountLeg, AccountParticipant, OrderLogSettings, PaymentOrder};

/// Statements of this session so far; asking is one of them.
async fn executed(conn: &mut MySqlConnection) -> i64 {
    let (_, count): (String, String) =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Com_stmt_execute'")
            .fetch_one(conn)
            .await
            .unwrap();
    count.parse().unwrap()
}

/// Statements of the log's three rounds over one shard's orders.
async fn log_rounds(own: &Own, orders: &[PaymentOrder]) -> i64 {
    let log = own.order_log(OrderLogSettings::default());
    let mut conn = own.shards().get(ShardId(0)).pool.acquire().await.unwrap();
    let before = executed(&mut conn).await;
    log.begin(&mut conn, orders, Pass::First).await.unwrap();
    log.begin(&mut conn, orders, Pass::Again).await.unwrap();
    let decide = |order| Decision {
        xid: log.xid(order),
        verdict: Verdict::Confirm,
    };
    let end = |order| Ending {
        xid: log.xid(order),
        outcome: Outcome::Confirmed,
    };
    let decisions: Vec<_> = orders.iter().map(decide).collect();
    let endings: Vec<_> = orders.iter().map(end).collect();
    log.decide(&mut conn, &decisions).await.unwrap();
    log.end(&mut conn, &endings).await.unwrap();
    executed(&mut conn).await - before - 1
}

/// Statements of try and one way to finish, first and again, over one shard's branches.
async fn account_rounds(own: &Own, branches: &[Branch<AccountLeg>], confirm: bool) -> i64 {
    let pool = own.shards().get(branches[0].shard).pool.clone();
    let mut conn = pool.acquire().await.unwrap();
    let before = executed(&mut conn).await;
    for pass in [Pass::First, Pass::Again] {
        let mut tx = conn.begin().await.unwrap();
        AccountParticipant
            .try_reserve(&mut tx, branches, pass)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    for pass in [Pass::First, Pass::Again] {
        let mut tx = conn.begin().await.unwrap();
        match confirm {
            true => AccountParticipant
                .confirm(&mut tx, branches, pass)
                .await
                .unwrap(),
            false => AccountParticipant
                .cancel(&mut tx, branches, pass)
                .await
                .unwrap(),
        };
        tx.commit().await.unwrap();
    }
    executed(&mut conn).await - before - 1
}

#[tokio::test]
async fn two_hundred_orders_take_as_many_statements_as_two() {
    with_stores(async |own| {
        let (payer, payee) = (own.account(100_000).await, own.account(0).await);
        let log = own.order_log(OrderLogSettings::default());
        let mut costs = Vec::new();
        for size in [2, 200] {
            let mut orders = Vec::new();
            while orders.len() < size {
                let order = order(payer, payee, 1);
                if log.shard(&order) == ShardId(0) {
                    orders.push(order);
                }
            }
            orders.sort_by_key(|order| order.id);
            let mut cost = vec![log_rounds(&own, &orders).await];
            for confirm in [true, false] {
                let mut branches = Vec::new();
                for _ in 0..size {
                    log.branches(&order(payer, payee, 1), &mut branches);
                }
                branches.sort_by_key(|branch| (branch.xid, branch.number));
                cost.push(account_rounds(&own, &branches, confirm).await);
            }
            costs.push(cost);
        }
        assert_eq!(costs[0], costs[1]);
        // Begin 2 and again 2 (nothing is new: no insert), decide 1, end 1. Try 4 and again 2;
        // confirm 4 and again 3; cancel 4 and again 2.
        assert_eq!(costs[0], [6, 13, 12]);
    })
    .await;
}
