//! A database that is another one is refused; one that is down does not prevent the start.

use crate::support::{fresh, order, with_stores};
use domain::AccountId;
use store::{Lookup, StoreError, Stores, StoresSettings};

#[tokio::test]
async fn the_right_databases_are_accepted() {
    with_stores(async |own| {
        assert_eq!(own.check_identities().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn swapped_shards_are_refused_and_both_names_are_told() {
    with_stores(async |own| {
        let mut settings = own.settings.clone();
        settings.order_shards.swap(0, 1);
        settings.connect_timeout_ms = 1_000;
        let swapped = Stores::connect(&settings).unwrap();
        let error = swapped.check_identities().await.unwrap_err();
        assert!(
            matches!(error, StoreError::WrongDatabase { .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("orders-0") && text.contains("orders-1"),
            "{text}"
        );
        // Nor is it used by whoever does not ask.
        let order = order(
            AccountId::from_bytes(fresh()),
            AccountId::from_bytes(fresh()),
            1,
        );
        let found = swapped.orders.find(&[order.id]).await;
        assert!(matches!(found[..], [Lookup::Unreachable(_)]), "{found:?}");
    })
    .await;
}

#[tokio::test]
async fn another_epoch_is_refused() {
    with_stores(async |own| {
        let settings = StoresSettings {
            slot_map_epoch: 2,
            ..own.settings.clone()
        };
        let error = Stores::connect(&settings).unwrap().check_identities().await;
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("epoch 1") && text.contains("epoch 2"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_down_is_named_and_the_others_work() {
    with_stores(async |own| {
        let mut settings = own.settings.clone();
        settings.connect_timeout_ms = 1_000;
        settings.order_shards[1] = "mysql://root@127.0.0.1:1/orders_1".to_owned();
        let stores = Stores::connect(&settings).unwrap();
        let unreachable = stores.check_identities().await.unwrap();
        let names: Vec<String> = unreachable
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(names, ["orders-1"]);

        let orders = (0..40).map(|_| {
            order(
                AccountId::from_bytes(fresh()),
                AccountId::from_bytes(fresh()),
                1,
            )
        });
        let ids: Vec<_> = orders.map(|order| order.id).collect();
        let lookups = stores.orders.find(&ids).await;
        for (id, lookup) in ids.iter().zip(lookups) {
            match (stores.routing().order_shard(*id).index, lookup) {
                (0, Lookup::Missing) | (1, Lookup::Unreachable(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        stores.close().await;
    })
    .await;
}

#[tokio::test]
async fn no_server_default_decides_about_a_session() {
    with_stores(async |own| {
        for name in own.names() {
            let asked = "SELECT CAST(CONCAT_WS(' ', @@time_zone, @@innodb_lock_wait_timeout,
                @@lock_wait_timeout, @@wait_timeout, @@character_set_client) AS CHAR)";
            let told: String = sqlx::query_scalar(asked)
                .fetch_one(own.pool(name))
                .await
                .unwrap();
            assert_eq!(told, "+00:00 5 5 20 utf8mb4");
            let modes: String = sqlx::query_scalar("SELECT @@sql_mode")
                .fetch_one(own.pool(name))
                .await
                .unwrap();
            assert!(modes.contains("STRICT_ALL_TABLES"), "{modes}");
            let isolation = match sqlx::query_scalar("SELECT @@transaction_isolation")
                .fetch_one(own.pool(name))
                .await
            {
                Ok(level) => level,
                Err(_) => sqlx::query_scalar("SELECT @@tx_isolation")
                    .fetch_one(own.pool(name))
                    .await
                    .unwrap(),
            };
            let isolation: String = isolation;
            assert_eq!(isolation, "READ-COMMITTED");
        }
    })
    .await;
}
