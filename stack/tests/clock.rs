//! A clock of one's own, seen by a real process that does nothing but tell the time.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use stack::{Database, Server, StackError};

mod support;
use support::OwnStack;

const TELLS_THE_TIME: &str = "#!/bin/sh\nwhile :; do date +%s; sleep 0.2; done\n";

async fn clock_watcher(own: &OwnStack) -> Server {
    let program = own.stack.layout().bin().join("consumer");
    std::fs::write(&program, TELLS_THE_TIME).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    own.stack.server("consumer").unwrap()
}

/// How far its clock is from ours, once that is what is expected; else at last.
async fn comes_to_be_ahead_by(watcher: &Server, seconds: i64) -> i64 {
    let mut ahead = i64::MAX;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let told: Option<i64> = watcher.log_tail(1).trim().parse().ok();
        ahead = told.map_or(i64::MAX, |told| told - now());
        if (ahead - seconds).abs() <= 2 {
            break;
        }
    }
    ahead
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

#[tokio::test]
async fn a_service_sees_its_clock_jump_while_it_runs_and_ours_stays() {
    let own = OwnStack::with(Database::Mysql).await;
    let watcher = clock_watcher(&own).await;
    watcher.shift_clock(0).unwrap();
    watcher.launch().await.unwrap();
    for seconds in [0, 600, -600, 0] {
        watcher.shift_clock(seconds).unwrap();
        let ahead = comes_to_be_ahead_by(&watcher, seconds).await;
        assert!((ahead - seconds).abs() <= 2, "{ahead}, not {seconds}");
    }
}

#[tokio::test]
async fn without_a_clock_of_its_own_it_sees_ours_again() {
    let own = OwnStack::with(Database::Mysql).await;
    let watcher = clock_watcher(&own).await;
    watcher.shift_clock(600).unwrap();
    assert!(watcher.has_own_clock());
    watcher.forget_clock();
    assert!(!watcher.has_own_clock());
    watcher.launch().await.unwrap();
    assert!(comes_to_be_ahead_by(&watcher, 0).await.abs() <= 2);
}

#[tokio::test]
async fn a_server_that_is_not_ours_keeps_the_systems_clock() {
    let own = OwnStack::with(Database::Mysql).await;
    let refused = own.stack.server("redis").unwrap().shift_clock(5);
    assert!(matches!(refused, Err(StackError::NoClockOfItsOwn(_))));
}
