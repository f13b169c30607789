//! The life of one server, played with Redis because it starts in no time.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::time::Duration;

use redis::AsyncCommands;
use stack::{Database, Server, ServerState, Stack, StackError, StopOutcome};

mod support;
use support::OwnStack;

async fn redis_in_own_stack() -> (OwnStack, Server) {
    let own = OwnStack::with(Database::Mysql).await;
    let redis = own.stack.server("redis").unwrap();
    redis.start().await.unwrap();
    (own, redis)
}

async fn client(stack: &Stack) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(stack.env().redis_url.as_str())?;
    client.get_multiplexed_async_connection().await
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_data() {
    let (own, redis) = redis_in_own_stack().await;
    let () = client(&own.stack)
        .await
        .unwrap()
        .set("kept", 42)
        .await
        .unwrap();
    let first = redis.pid().unwrap();

    redis.kill().await.unwrap();
    assert_eq!(redis.pid(), None);
    assert!(client(&own.stack).await.is_err());

    redis.start().await.unwrap();
    assert_ne!(redis.pid(), Some(first));
    let kept: i64 = client(&own.stack).await.unwrap().get("kept").await.unwrap();
    assert_eq!(kept, 42);
}

#[tokio::test]
async fn a_paused_server_answers_nobody_until_resumed() {
    let (own, redis) = redis_in_own_stack().await;
    let mut connection = client(&own.stack).await.unwrap();

    redis.pause().unwrap();
    assert_eq!(redis.status().state, ServerState::Paused);
    let ping = tokio::time::timeout(Duration::from_millis(300), connection.ping::<String>()).await;
    assert!(
        !matches!(ping, Ok(Ok(_))),
        "a paused server answered: {ping:?}"
    );

    redis.resume().unwrap();
    redis.ready().await.unwrap();
    assert_eq!(redis.status().state, ServerState::Running);
}

#[tokio::test]
async fn stopping_is_orderly_also_from_a_pause_and_can_be_repeated() {
    let (_own, redis) = redis_in_own_stack().await;
    redis.pause().unwrap();
    assert_eq!(redis.stop().await.unwrap(), StopOutcome::Orderly);
    assert_eq!(redis.stop().await.unwrap(), StopOutcome::WasStopped);
    assert!(matches!(redis.pause(), Err(StackError::NotRunning(_))));
}

#[tokio::test]
async fn starting_at_once_from_two_sides_makes_one_process() {
    let own = OwnStack::with(Database::Mysql).await;
    let here = own.stack.server("redis").unwrap();
    let there = Stack::open(own.root()).unwrap().server("redis").unwrap();
    let (one, other) = tokio::join!(here.start(), there.start());
    one.unwrap();
    other.unwrap();
    let pid = here.pid().unwrap();
    here.start().await.unwrap();
    assert_eq!((here.pid(), there.pid()), (Some(pid), Some(pid)));
}

#[tokio::test]
async fn a_server_that_cannot_start_is_explained_by_its_log() {
    let own = OwnStack::with(Database::Mysql).await;
    let port = own.stack.env().port("redis".parse().unwrap()).unwrap();
    let _somebody_else = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let problem = own
        .stack
        .server("redis")
        .unwrap()
        .start()
        .await
        .unwrap_err();
    assert!(problem.to_string().contains("already in use"), "{problem}");
}

#[tokio::test]
async fn a_pid_written_by_nobody_of_ours_is_never_signalled() {
    let (own, redis) = redis_in_own_stack().await;
    redis.stop().await.unwrap();
    let mut stranger = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    std::fs::write(own.root().join("run/redis.pid"), stranger.id().to_string()).unwrap();
    redis.kill().await.unwrap();
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was killed"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn wiping_takes_the_data_and_leaves_the_addresses() {
    let (own, redis) = redis_in_own_stack().await;
    let () = client(&own.stack)
        .await
        .unwrap()
        .set("gone", 1)
        .await
        .unwrap();
    own.stack.wipe_data().await.unwrap();
    redis.start().await.unwrap();
    let gone: Option<i64> = client(&own.stack).await.unwrap().get("gone").await.unwrap();
    assert_eq!(gone, None);
}

#[tokio::test]
async fn a_folder_without_a_stack_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Stack::open(folder.path()),
        Err(StackError::NoStack(_))
    ));
}

#[tokio::test]
async fn the_database_of_a_stack_does_not_change_under_it() {
    let own = OwnStack::with(Database::MariaDb).await;
    let options = stack::StackOptions {
        database: Some(Database::Mysql),
        bin_dir: None,
    };
    let other = Stack::create(own.root(), options).await;
    assert!(matches!(other, Err(StackError::OtherDatabase { .. })));
}
