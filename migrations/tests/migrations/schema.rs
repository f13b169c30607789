//! What every table of ours keeps to.

use crate::support::{Own, STORES};
use domain::StoreKind;

/// `TABLE.COLUMN TYPE` of every column of ours that a condition picks.
async fn columns(own: &Own, condition: &'static str) -> Vec<String> {
    let question = format!(
        "SELECT CAST(CONCAT(TABLE_NAME, '.', COLUMN_NAME, ' ', COLUMN_TYPE) AS CHAR)
         FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE '\\_sqlx%' AND ({condition})
         ORDER BY TABLE_NAME, ORDINAL_POSITION"
    );
    asked(own, question).await
}

async fn asked(own: &Own, question: String) -> Vec<String> {
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(question)).fetch_all(&own.pool);
    rows.await.unwrap()
}

#[tokio::test]
async fn every_money_column_is_a_signed_bigint() {
    let money = [
        "accounts.ledger_balance",
        "accounts.held",
        "accounts.credit_limit",
        "entries.delta",
        "entries.balance_after",
        "holds.amount",
        "holds.captured",
        "orders.amount",
        "orders.captured",
        "orders.refunded",
    ];
    let mut found = Vec::new();
    for store in STORES {
        let own = Own::migrated(store).await;
        let named = "COLUMN_NAME IN ('ledger_balance', 'held', 'credit_limit', 'delta',
            'balance_after', 'amount', 'captured', 'refunded')";
        for column in columns(&own, named).await {
            let (name, kind) = column.split_once(' ').unwrap();
            assert!(kind == "bigint" || kind == "bigint(20)", "{column}");
            found.push(name.to_owned());
        }
        let inexact = "DATA_TYPE IN ('float', 'double', 'decimal')";
        assert_eq!(columns(&own, inexact).await, [""; 0]);
        own.drop().await;
    }
    found.sort_unstable();
    let mut money = money.to_vec();
    money.sort_unstable();
    assert_eq!(found, money);
}

#[tokio::test]
async fn every_table_has_a_primary_key_and_none_a_foreign_one() {
    for store in STORES {
        let own = Own::migrated(store).await;
        let lacking = "SELECT CAST(t.TABLE_NAME AS CHAR) FROM information_schema.TABLES t
             WHERE t.TABLE_SCHEMA = DATABASE() AND NOT EXISTS (
                 SELECT 1 FROM information_schema.STATISTICS s
                 WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA AND s.TABLE_NAME = t.TABLE_NAME
                     AND s.INDEX_NAME = 'PRIMARY')";
        assert_eq!(asked(&own, lacking.into()).await, [""; 0]);
        let foreign =
            "SELECT CAST(CONSTRAINT_NAME AS CHAR) FROM information_schema.TABLE_CONSTRAINTS
             WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'FOREIGN KEY'";
        assert_eq!(asked(&own, foreign.into()).await, [""; 0]);
        own.drop().await;
    }
}

#[tokio::test]
async fn ids_are_16_bytes_and_texts_compare_as_bytes() {
    for store in STORES {
        let own = Own::migrated(store).await;
        let ids = "COLUMN_NAME IN ('id', 'xid', 'account')";
        for column in columns(&own, ids).await {
            assert!(column.ends_with(" binary(16)"), "{column}");
        }
        let folding = "COLLATION_NAME IS NOT NULL AND COLLATION_NAME <> 'utf8mb4_bin'";
        assert_eq!(columns(&own, folding).await, [""; 0]);
        own.drop().await;
    }
}

#[tokio::test]
async fn times_have_microseconds_and_codes_have_no_closed_list() {
    for store in STORES {
        let own = Own::migrated(store).await;
        let coarse = "DATA_TYPE IN ('datetime', 'timestamp') AND DATETIME_PRECISION <> 6
            OR DATA_TYPE = 'timestamp'";
        assert_eq!(columns(&own, coarse).await, [""; 0]);
        let codes = "COLUMN_NAME IN ('state', 'status', 'kind', 'reason', 'leg')";
        for column in columns(&own, codes).await {
            assert!(
                column.contains(" tinyint") && column.ends_with("unsigned"),
                "{column}"
            );
        }
        let checks =
            "SELECT CAST(CONSTRAINT_NAME AS CHAR) FROM information_schema.TABLE_CONSTRAINTS
             WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'CHECK'";
        assert_eq!(asked(&own, checks.into()).await, [""; 0]);
        own.drop().await;
    }
}

/// An index more is a cost of every order: this list says which there are.
#[tokio::test]
async fn the_indexes_are_these_and_no_others() {
    let indexes = "SELECT CAST(CONCAT(TABLE_NAME, '.', INDEX_NAME, '(',
             GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX), ')',
             IF(MAX(NON_UNIQUE) = 0, ' unique', '')) AS CHAR)
         FROM information_schema.STATISTICS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE '\\_sqlx%'
         GROUP BY TABLE_NAME, INDEX_NAME ORDER BY TABLE_NAME, INDEX_NAME";
    for (store, expected) in [
        (
            StoreKind::Orders,
            &[
                "orders.PRIMARY(seq) unique",
                "orders.orders_id(id) unique",
                "orders.orders_next_attempt(next_attempt_at)",
                "shard_identity.PRIMARY(singleton) unique",
            ][..],
        ),
        (
            StoreKind::Accounts,
            &[
                "accounts.PRIMARY(id) unique",
                "audit.PRIMARY(seq) unique",
                "audit_head.PRIMARY(singleton) unique",
                "entries.PRIMARY(account,number) unique",
                "entries.entries_branch(xid,leg) unique",
                "holds.PRIMARY(seq) unique",
                "holds.holds_branch(xid,leg) unique",
                "shard_identity.PRIMARY(singleton) unique",
            ],
        ),
    ] {
        let own = Own::migrated(store).await;
        let mut found = asked(&own, indexes.into()).await;
        found.sort_unstable();
        assert_eq!(found, expected);
        own.drop().await;
    }
}

#[tokio::test]
async fn every_table_is_transactional() {
    for store in STORES {
        let own = Own::migrated(store).await;
        let others = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = DATABASE() AND ENGINE <> 'InnoDB'";
        assert_eq!(asked(&own, others.into()).await, [""; 0]);
        own.drop().await;
    }
}
