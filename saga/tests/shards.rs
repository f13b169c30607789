//! Shards that are dead, hang, are locked or come back: only what touches them is held up.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::Effect;
use saga::{Answer, CoordinatorSettings, LoggedRecord};
use sqlx::Executor;
use std::time::{Duration, Instant};
use support::harness::{TestHarness, coordinator_on};
use support::journal::Purchase;
use support::meters::Meters;
use support::outcomes::{CONFIRMED, assert_settled, is_parked, is_waiting, sweep_all};
use support::{BRANCH_SHARDS, Databases, LOG_SHARDS};

#[tokio::test]
async fn a_dead_branch_shard_holds_up_only_what_touches_it() {
    let harness = TestHarness::new(Databases::create().await);
    let dead = BRANCH_SHARDS[1];
    let coordinator = coordinator_on(
        harness.databases.with_dead(dead),
        CoordinatorSettings::default(),
    );
    let alive: Vec<_> = (0..10)
        .map(|_| Purchase::from_one(BRANCH_SHARDS[0], 2))
        .collect();
    let touching: Vec<_> = (0..10).map(|_| Purchase::of([2, 3])).collect();
    let batch = alive.iter().chain(&touching).cloned().collect();
    let answers = coordinator.run(batch).await;
    assert_eq!(answers[..10], vec![CONFIRMED; 10]);
    assert!(answers[10..].iter().all(is_waiting), "{answers:?}");

    sweep_all(&harness, harness.coordinator()).await;
    assert_settled(&harness, &alive).await;
    assert_settled(&harness, &touching).await;
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_dead_log_shard_parks_only_its_records() {
    let harness = TestHarness::new(Databases::create().await);
    let coordinator = coordinator_on(
        harness.databases.with_dead(LOG_SHARDS[0]),
        CoordinatorSettings::default(),
    );
    let on_dead: Vec<_> = (0..5)
        .map(|_| Purchase::of([1, 1]).logged_on(LOG_SHARDS[0]))
        .collect();
    let on_living: Vec<_> = (0..5)
        .map(|_| Purchase::of([1, 1]).logged_on(LOG_SHARDS[1]))
        .collect();
    let mut batch: Vec<_> = on_dead.iter().chain(&on_living).cloned().collect();
    batch.push(Purchase {
        note: "something else".to_owned(),
        ..on_dead[0].clone()
    });
    let answers = coordinator.run(batch.clone()).await;
    assert!(answers[..5].iter().all(is_parked));
    assert_eq!(answers[5..10], vec![CONFIRMED; 5]);
    assert!(
        matches!(answers[10], Answer::Parked { .. }),
        "whose record stands is the log's to say"
    );
    for purchase in &on_dead {
        assert_eq!(harness.effects_of(purchase).await, vec![Effect::NONE; 2]);
    }

    let answers = harness.coordinator().run(batch).await;
    assert_eq!(answers[..10], vec![CONFIRMED; 10]);
    assert!(matches!(answers[10], Answer::Dead { .. }));
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_shard_that_hangs_costs_one_time_out_and_not_one_per_batch() {
    let harness = TestHarness::new(Databases::create().await);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shards = harness
        .databases
        .shards_with_port(&[BRANCH_SHARDS[1]], silent.local_addr().unwrap().port());
    let settings = CoordinatorSettings {
        set_timeout_ms: 2_000,
        shard_rest_ms: 60_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(shards, settings);
    let first = coordinator.run(vec![Purchase::of([1, 1])]).await;
    assert!(is_waiting(&first[0]), "{first:?}");
    let since = Instant::now();
    let batch = vec![
        Purchase::of([1, 1]),
        Purchase::from_one(BRANCH_SHARDS[0], 1),
    ];
    let answers = coordinator.run(batch).await;
    assert!(is_waiting(&answers[0]));
    assert_eq!(answers[1], CONFIRMED);
    assert!(
        since.elapsed() < Duration::from_millis(1_900),
        "took {:?}",
        since.elapsed()
    );
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_shard_at_rest_is_not_asked() {
    let harness = TestHarness::new(Databases::create().await);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let asked = || std::iter::from_fn(|| silent.accept().ok()).count();
    let port = silent.local_addr().unwrap().port();
    let shards = harness
        .databases
        .shards_with_port(&[BRANCH_SHARDS[1]], port);
    let settings = CoordinatorSettings {
        set_timeout_ms: 500,
        shard_rest_ms: 60_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(shards, settings);
    let touching = || vec![Purchase::from_one(BRANCH_SHARDS[1], 1)];
    assert!(is_waiting(&coordinator.run(touching()).await[0]));
    assert!(asked() > 0);
    for _ in 0..3 {
        assert!(is_waiting(&coordinator.run(touching()).await[0]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(asked(), 0);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_time_out_and_not_one_per_shard() {
    let harness = TestHarness::new(Databases::create().await);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let shards = harness.databases.shards_with_port(&BRANCH_SHARDS, port);
    let settings = CoordinatorSettings {
        set_timeout_ms: 2_000,
        shard_rest_ms: 60_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(shards, settings);
    let first = vec![Purchase::from_one(BRANCH_SHARDS[0], 1)];
    let answers = coordinator.run(first).await;
    assert!(is_waiting(&answers[0]), "{answers:?}");
    let since = Instant::now();
    let other = vec![Purchase::from_one(BRANCH_SHARDS[1], 1)];
    let answers = coordinator.run(other).await;
    assert!(is_waiting(&answers[0]), "{answers:?}");
    let took = since.elapsed();
    assert!(took < Duration::from_millis(1_500), "took {took:?}");
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_shard_that_comes_back_is_noticed_without_a_restart() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let settings = CoordinatorSettings {
        shard_rest_ms: 50,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), settings);
    let shard = BRANCH_SHARDS[0];
    harness
        .databases
        .pool(shard)
        .execute("RENAME TABLE fences TO away")
        .await
        .unwrap();
    assert!(is_waiting(
        &coordinator.run(vec![Purchase::from_one(shard, 1)]).await[0]
    ));
    assert_eq!(meters.gauge("saga_shard_answers", "branch-0"), Some(0.0));
    harness
        .databases
        .pool(shard)
        .execute("RENAME TABLE away TO fences")
        .await
        .unwrap();
    let served = async {
        while coordinator.run(vec![Purchase::from_one(shard, 1)]).await != [CONFIRMED] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served)
        .await
        .unwrap();
    assert_eq!(meters.gauge("saga_shard_answers", "branch-0"), Some(1.0));
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn tables_that_are_locked_cost_one_wait_and_not_one_per_batch() {
    let harness = TestHarness::new(Databases::create().await);
    let settings = CoordinatorSettings {
        shard_rest_ms: 50,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), settings);
    let mut locking = harness
        .databases
        .pool(BRANCH_SHARDS[1])
        .acquire()
        .await
        .unwrap();
    locking
        .execute("LOCK TABLES fences WRITE, journal WRITE")
        .await
        .unwrap();
    let touching: Vec<_> = (0..20).map(|_| Purchase::of([1, 1])).collect();
    let since = Instant::now();
    let answers = coordinator.run(touching.clone()).await;
    assert!(answers.iter().all(is_waiting), "{answers:?}");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "one wait and one look took {:?}",
        since.elapsed()
    );

    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        let since = Instant::now();
        let batch = vec![
            Purchase::of([1, 1]),
            Purchase::from_one(BRANCH_SHARDS[0], 1),
        ];
        let answers = coordinator.run(batch).await;
        assert!(is_waiting(&answers[0]), "{answers:?}");
        assert_eq!(answers[1], CONFIRMED);
        assert!(
            since.elapsed() < Duration::from_millis(900),
            "an order elsewhere took {:?}",
            since.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    locking.execute("UNLOCK TABLES").await.unwrap();
    let served = async {
        while coordinator.run(touching.clone()).await != vec![CONFIRMED; 20] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served)
        .await
        .unwrap();
    sweep_all(&harness, harness.coordinator()).await;
    assert_settled(&harness, &touching).await;
    harness.databases.drop_all().await;
}

/// As by a limit of the server, or a trigger that somebody left there.
#[tokio::test]
async fn a_refusal_that_no_value_explains_kills_no_record() {
    let harness = TestHarness::new(Databases::create().await);
    let log = harness.databases.pool(LOG_SHARDS[0]);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON global_tx FOR EACH ROW \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'";
    log.execute(refuse).await.unwrap();
    let refused: Vec<_> = (0..5)
        .map(|_| Purchase::of([1, 1]).logged_on(LOG_SHARDS[0]))
        .collect();
    let others: Vec<_> = (0..5)
        .map(|_| Purchase::of([1, 1]).logged_on(LOG_SHARDS[1]))
        .collect();
    let batch: Vec<_> = refused.iter().chain(&others).cloned().collect();
    let answers = harness.coordinator().run(batch.clone()).await;
    assert!(answers[..5].iter().all(is_parked), "{answers:?}");
    assert_eq!(answers[5..], vec![CONFIRMED; 5]);

    log.execute("DROP TRIGGER refuse").await.unwrap();
    assert_eq!(harness.coordinator().run(batch).await, vec![CONFIRMED; 10]);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_refusal_that_no_value_explains_holds_up_nobody_else() {
    let harness = TestHarness::new(Databases::create().await);
    let shard = BRANCH_SHARDS[0];
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW \
         BEGIN IF NEW.quantity = 13 THEN \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF; END";
    harness.databases.pool(shard).execute(refuse).await.unwrap();
    let of = |place| Purchase::from_one(shard, if place == 7 { 13 } else { 1 });
    let mut answers = harness.coordinator().run((0..20).map(of).collect()).await;
    let refused = answers.remove(7);
    assert!(is_waiting(&refused), "{refused:?}");
    assert_eq!(answers, vec![CONFIRMED; 19]);
    harness.databases.drop_all().await;
}

/// The row is free again by the time that the later record would have its turn.
#[tokio::test]
async fn a_later_record_stays_behind_an_earlier_one_that_is_parked() {
    let harness = TestHarness::new(Databases::create().await);
    let earlier = Purchase::of([1, 1]).logged_on(LOG_SHARDS[0]);
    let later = Purchase {
        note: "something else".to_owned(),
        ..earlier.clone()
    };
    let mut other = harness.databases.pool(LOG_SHARDS[0]).begin().await.unwrap();
    sqlx::query(
        "INSERT INTO global_tx (xid, state, record, decide_by) VALUES (?, 1, '', UTC_TIMESTAMP(6))",
    )
    .bind(earlier.xid().0.as_slice())
    .execute(&mut *other)
    .await
    .unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(3_700)).await;
        other.rollback().await.unwrap();
    };
    let coordinator = harness.coordinator();
    let batch = vec![earlier, later];
    let (answers, ()) = tokio::join!(coordinator.run(batch.clone()), release);
    assert!(answers.iter().all(is_parked), "{answers:?}");
    let answers = harness.coordinator().run(batch).await;
    assert_eq!(answers[0], CONFIRMED);
    assert!(matches!(answers[1], Answer::Dead { .. }), "{answers:?}");
    harness.databases.drop_all().await;
}
