//! Running twice, at once, or on the wrong database.

use crate::support::{Own, STORES, identity};
use domain::StoreKind;
use migrations::{MigrationError, run};

#[tokio::test]
async fn running_twice_changes_nothing() {
    for store in STORES {
        let own = Own::create().await;
        for _ in 0..2 {
            run(&own.pool, identity(store, 0)).await.unwrap();
        }
        own.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_runners_at_once_agree() {
    let own = Own::create().await;
    let runs = (0..4).map(|_| {
        let pool = own.pool.clone();
        tokio::spawn(async move { run(&pool, identity(StoreKind::Orders, 1)).await })
    });
    for handle in runs.collect::<Vec<_>>() {
        handle.await.unwrap().unwrap();
    }
    own.drop().await;
}

#[tokio::test]
async fn a_database_of_another_name_or_epoch_is_refused() {
    let own = Own::migrated(StoreKind::Orders).await;
    let mut newer = identity(StoreKind::Orders, 0);
    newer.slot_map_epoch = 2;
    for other in [identity(StoreKind::Orders, 1), newer] {
        let error = run(&own.pool, other).await.unwrap_err();
        assert!(
            matches!(error, MigrationError::WrongIdentity { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("orders-0"), "{error}");
    }
    run(&own.pool, identity(StoreKind::Orders, 0))
        .await
        .unwrap();
    own.drop().await;
}

#[tokio::test]
async fn the_other_stores_schema_is_not_put_into_a_database() {
    let own = Own::migrated(StoreKind::Orders).await;
    assert!(
        run(&own.pool, identity(StoreKind::Accounts, 0))
            .await
            .is_err()
    );
    let accounts: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'accounts'",
    )
    .fetch_one(&own.pool)
    .await
    .unwrap();
    assert_eq!(accounts, 0);
    own.drop().await;
}
