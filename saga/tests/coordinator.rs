//! The coordinator where the conformance kit does not reach: poison, locked rows, lost connections.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use futures_util::future::join_all;
use saga::conformance::Effect;
use saga::{
    Answer, Branch, Coordinator, CoordinatorSettings, Fenced, FinishOutcome, LogTable,
    LoggedRecord, Outcome, Participant, Pass, Shard, ShardId, Shards, SqlFault, TryOutcome,
};
use sqlx::mysql::{MySqlConnection, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::harness::{TestCoordinator, TestHarness, coordinator_on, log_table};
use support::journal::{Journal, POISON, Purchase, Quantity};
use support::meters::Meters;
use support::outcomes::{CONFIRMED, assert_settled, is_waiting, sweep_all};
use support::{BRANCH_SHARDS, Databases, LOG_SHARDS};

#[tokio::test]
async fn poison_in_a_try_waits_alone_and_is_cancelled_when_its_time_is_up() {
    let harness = TestHarness::new(Databases::create().await);
    let good: Vec<_> = (0..30).map(|_| Purchase::of([2, 2])).collect();
    let poison = Purchase::of([POISON, 2]);
    let mut batch = good.clone();
    batch.insert(17, poison.clone());
    let mut answers = harness.coordinator().run(batch).await;
    assert!(is_waiting(&answers.remove(17)));
    assert_eq!(answers, vec![CONFIRMED; 30]);
    assert_settled(&harness, &good).await;

    let late = "UPDATE global_tx SET decide_by = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND";
    harness
        .databases
        .pool(poison.shard())
        .execute(late)
        .await
        .unwrap();
    sweep_all(&harness, harness.coordinator()).await;
    assert_eq!(harness.effects_of(&poison).await, vec![Effect::NONE; 2]);
    let answers = harness.coordinator().run(vec![poison]).await;
    assert!(matches!(
        answers[0],
        Answer::Done {
            outcome: Outcome::Cancelled,
            reason: Some(_)
        }
    ));
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn poison_in_the_log_is_dead_and_the_rest_go_on() {
    let harness = TestHarness::new(Databases::create().await);
    for shard in LOG_SHARDS {
        let narrow = "ALTER TABLE global_tx MODIFY record VARCHAR(500) NOT NULL";
        harness.databases.pool(shard).execute(narrow).await.unwrap();
    }
    let good: Vec<_> = (0..30).map(|_| Purchase::of([2, 2])).collect();
    let mut batch = good.clone();
    batch.insert(
        9,
        Purchase {
            note: "long ".repeat(200),
            ..Purchase::of([1, 1])
        },
    );
    let mut answers = harness.coordinator().run(batch).await;
    assert!(matches!(answers.remove(9), Answer::Dead { .. }));
    assert_eq!(answers, vec![CONFIRMED; 30]);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_missing_table_is_nobodys_fault() {
    let harness = TestHarness::new(Databases::create().await);
    let shard = BRANCH_SHARDS[0];
    harness
        .databases
        .pool(shard)
        .execute("RENAME TABLE fences TO away")
        .await
        .unwrap();
    let batch: Vec<_> = (0..4).map(|_| Purchase::from_one(shard, 1)).collect();
    let answers = harness.coordinator().run(batch.clone()).await;
    assert!(answers.iter().all(is_waiting), "{answers:?}");
    harness
        .databases
        .pool(shard)
        .execute("RENAME TABLE away TO fences")
        .await
        .unwrap();
    sweep_all(&harness, harness.coordinator()).await;
    assert_settled(&harness, &batch).await;
    harness.databases.drop_all().await;
}

/// Locks the row that the fence of the purchase's only branch would be.
async fn lock_fence(conn: &mut MySqlConnection, purchase: &Purchase) {
    sqlx::query("INSERT INTO fences (xid, branch, state, digest) VALUES (?, 0, 1, ?)")
        .bind(purchase.xid().0.as_slice())
        .bind([0_u8; 32].as_slice())
        .execute(conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_row_that_is_locked_for_a_moment_is_waited_for() {
    let harness = TestHarness::new(Databases::create().await);
    let purchase = Purchase::from_one(BRANCH_SHARDS[0], 1);
    let pool = harness.databases.pool(BRANCH_SHARDS[0]);
    let mut other = pool.begin().await.unwrap();
    lock_fence(&mut other, &purchase).await;
    let release = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        other.rollback().await.unwrap();
    };
    let coordinator = harness.coordinator();
    let (answers, ()) = tokio::join!(coordinator.run(vec![purchase.clone()]), release);
    assert_eq!(answers, vec![CONFIRMED]);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn what_is_known_already_ends_without_a_single_quick_retry() {
    let harness = TestHarness::new(Databases::create().await);
    let never_again = CoordinatorSettings {
        quick_retries_max: 0,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), never_again);
    let purchases = vec![Purchase::of([2, 3])];
    assert_eq!(coordinator.run(purchases.clone()).await, [CONFIRMED]);
    assert_eq!(coordinator.run(purchases.clone()).await, [CONFIRMED]);
    assert_settled(&harness, &purchases).await;
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_row_that_is_locked_for_long_holds_up_nobody_else() {
    let harness = TestHarness::new(Databases::create().await);
    let batch: Vec<_> = (0..40)
        .map(|_| Purchase::from_one(BRANCH_SHARDS[0], 1))
        .collect();
    let pool = harness.databases.pool(BRANCH_SHARDS[0]);
    let mut other = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO fences (xid, branch, state, digest) VALUES (?, 0, 1, ?)")
        .bind(batch[23].xid().0.as_slice())
        .bind([0_u8; 32].as_slice())
        .execute(&mut *other)
        .await
        .unwrap();
    let mut answers = harness.coordinator().run(batch.clone()).await;
    assert!(is_waiting(&answers.remove(23)));
    assert_eq!(answers, vec![CONFIRMED; 39]);
    other.rollback().await.unwrap();
    sweep_all(&harness, harness.coordinator()).await;
    assert_settled(&harness, &batch).await;
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn rows_that_are_locked_cost_no_more_time_than_a_set_may_take() {
    let harness = TestHarness::new(Databases::create().await);
    let shard = BRANCH_SHARDS[0];
    let batch: Vec<_> = (0..20).map(|_| Purchase::from_one(shard, 1)).collect();
    let mut other = harness.databases.pool(shard).begin().await.unwrap();
    for purchase in &batch {
        lock_fence(&mut other, purchase).await;
    }
    let settings = CoordinatorSettings {
        set_timeout_ms: 3_000,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), settings);
    let since = Instant::now();
    let answers = coordinator.run(batch).await;
    let took = since.elapsed();
    assert!(answers.iter().all(is_waiting), "{answers:?}");
    // The usual wait, the time of a set, and the wait in which it ended.
    assert!(took < Duration::from_secs(12), "took {took:?}");
    other.rollback().await.unwrap();
    harness.databases.drop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_under_load_lose_and_double_nothing() {
    let harness = TestHarness::new(Databases::create().await);
    let batches: Vec<Vec<Purchase>> = (0..10)
        .map(|_| (0..10).map(|_| Purchase::of([1, 2])).collect())
        .collect();
    let coordinator = harness.coordinator();
    let cut = async {
        loop {
            cut_connections(&harness.databases).await;
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
    };
    let work = async {
        for batch in &batches {
            let mut parked = batch.clone();
            while !parked.is_empty() {
                let answers = coordinator.run(parked.clone()).await;
                let is_parked = |answer: &Answer| matches!(answer, Answer::Parked { .. });
                assert!(
                    !answers
                        .iter()
                        .any(|answer| matches!(answer, Answer::Dead { .. })),
                    "{answers:?}"
                );
                let again = parked
                    .iter()
                    .zip(&answers)
                    .filter(|(_, answer)| is_parked(answer));
                parked = again.map(|(purchase, _)| purchase.clone()).collect();
            }
        }
    };
    tokio::select! {
        () = cut => {}
        () = work => {}
    }
    sweep_all(&harness, harness.coordinator()).await;
    assert_settled(&harness, &batches.concat()).await;
    harness.databases.drop_all().await;
}

/// As a server leaves them that was restarted.
#[tokio::test]
async fn connections_that_ended_while_idle_cost_no_retry() {
    let harness = TestHarness::new(Databases::create().await);
    let shard = BRANCH_SHARDS[0];
    let pool = &harness.databases.shards.get(shard).pool;
    let size = pool.options().get_max_connections();
    drop(join_all((0..size).map(|_| pool.acquire())).await);
    while pool.num_idle() < size as usize {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while cut(&harness.databases, shard, usize::MAX).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let never_again = CoordinatorSettings {
        quick_retries_max: 0,
        ..CoordinatorSettings::default()
    };
    let coordinator = coordinator_on(harness.databases.shards.clone(), never_again);
    let answers = coordinator.run(vec![Purchase::from_one(shard, 1)]).await;
    assert_eq!(answers, [CONFIRMED]);
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_server_that_ends_each_connection_is_given_up_before_the_time_is_up() {
    let harness = TestHarness::new(Databases::create().await);
    let shard = BRANCH_SHARDS[0];
    let of_all = harness.databases.shards.iter();
    let mut shards: Vec<Shard> = of_all.map(|(_, shard)| shard.clone()).collect();
    let ending = &mut shards[usize::from(shard.0)].pool;
    *ending = MySqlPoolOptions::new()
        .max_connections(2)
        .test_before_acquire(false)
        .after_connect(|conn, _| {
            Box::pin(async move {
                let _ended = conn.execute("KILL CONNECTION_ID()").await;
                Ok(())
            })
        })
        .connect_lazy_with(ending.connect_options().as_ref().clone());
    let coordinator = coordinator_on(Shards::new(shards), CoordinatorSettings::default());
    let since = Instant::now();
    let answers = coordinator.run(vec![Purchase::from_one(shard, 1)]).await;
    assert!(is_waiting(&answers[0]), "{answers:?}");
    let took = since.elapsed();
    assert!(took < Duration::from_secs(5), "took {took:?}");
    harness.databases.drop_all().await;
}

async fn cut_connections(databases: &Databases) {
    for shard in LOG_SHARDS.iter().chain(&BRANCH_SHARDS) {
        cut(databases, *shard, 1).await;
    }
}

/// Ends connections to the shard, at most so many; how many there were to end.
async fn cut(databases: &Databases, shard: ShardId, most: usize) -> usize {
    let admin = databases.admin_of(shard);
    let ids: Result<Vec<(i64,)>, sqlx::Error> = sqlx::query_as(
        "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = ?",
    )
    .bind(databases.name_of(shard))
    .fetch_all(admin)
    .await;
    // It fails while somebody's statement text is not UTF-8; then nobody is cut this time.
    let ids = ids.unwrap_or_default();
    for (id,) in ids.iter().take(most) {
        // Gone already is as good.
        let _gone = admin.execute(AssertSqlSafe(format!("KILL {id}"))).await;
    }
    ids.len()
}

/// What is wrong with a participant's try.
enum Trouble {
    /// It answers for one branch fewer than it is asked.
    OneShort,
    /// The first one is the victim of a deadlock.
    Deadlock(AtomicBool),
}

struct Troubled(Fenced<Journal>, Trouble);

impl Participant for Troubled {
    type Payload = Quantity;

    async fn try_reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        let mut outcomes = self.0.try_reserve(conn, branches, pass).await?;
        match &self.1 {
            Trouble::OneShort => drop(outcomes.pop()),
            Trouble::Deadlock(was) if was.swap(true, Ordering::Relaxed) => {}
            Trouble::Deadlock(_) => {
                let deadlock = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213";
                conn.execute(deadlock).await?;
            }
        }
        Ok(outcomes)
    }

    async fn confirm(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        self.0.confirm(conn, branches, pass).await
    }

    async fn cancel(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        self.0.cancel(conn, branches, pass).await
    }
}

fn troubled(harness: &TestHarness, trouble: Trouble) -> Coordinator<LogTable<Purchase>, Troubled> {
    Coordinator::new(
        log_table(),
        Troubled(Fenced::new(Journal), trouble),
        harness.databases.shards.clone(),
        CoordinatorSettings::default(),
    )
}

#[tokio::test]
async fn a_set_that_met_a_deadlock_is_run_again_at_once() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let coordinator = troubled(&harness, Trouble::Deadlock(AtomicBool::new(false)));
    let purchases = vec![Purchase::of([2, 3])];
    assert_eq!(coordinator.run(purchases.clone()).await, [CONFIRMED]);
    let retries = ["branch-0", "branch-1"].map(|shard| {
        let labels = [
            ("shard", shard),
            ("operation", "try"),
            ("cause", "transient"),
        ];
        meters.count("saga_set_retries_total", &labels)
    });
    assert_eq!(retries.iter().sum::<u64>(), 1);
    assert_settled(&harness, &purchases).await;
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_set_with_an_answer_too_few_is_not_committed() {
    let harness = TestHarness::new(Databases::create().await);
    let coordinator = troubled(&harness, Trouble::OneShort);
    let purchases = [Purchase::of([1, 1]), Purchase::of([1, 1])];
    let answers = coordinator.run(purchases.to_vec()).await;
    assert!(answers.iter().all(is_waiting), "{answers:?}");
    for purchase in &purchases {
        assert_eq!(harness.effects_of(purchase).await, [Effect::NONE; 2]);
    }
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn a_batch_and_its_answers_are_counted_and_each_of_its_rounds_is_timed() {
    let meters = Meters::default();
    let _metered = metrics::set_default_local_recorder(&meters);
    let harness = TestHarness::new(Databases::create().await);
    let purchases = LOG_SHARDS.map(|home| Purchase::of([1, 1]).logged_on(home));
    let answers = harness.coordinator().run(purchases.to_vec()).await;
    assert_eq!(answers, [CONFIRMED; 2]);
    for round in ["log", "try", "decide", "finish", "end"] {
        let timed = meters.count("saga_round_seconds", &[("round", round)]);
        assert_eq!(timed, 1, "{round}");
    }
    let batches = meters.count("saga_batch_transactions", &[("source", "records")]);
    let confirmed = meters.count("saga_answers_total", &[("answer", "confirmed")]);
    assert_eq!((batches, confirmed), (1, 2));
    harness.databases.drop_all().await;
}

#[test]
fn a_run_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    fn check(coordinator: &'static TestCoordinator, _shard: ShardId) {
        is_send(&coordinator.run(Vec::new()));
    }
    let _compiles = check;
}
