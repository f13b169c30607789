//! The engine's own tables under the conformance kit, on the real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use saga::conformance::{engine, log, participant};
use support::Databases;
use support::harness::TestHarness;

#[tokio::test]
async fn the_fence_table_passes_as_a_participant() {
    let harness = TestHarness::new(Databases::create().await);
    participant::run_all(&harness).await.unwrap();
    harness.databases.drop_all().await;
}

#[tokio::test]
async fn the_log_table_passes_as_a_log() {
    let harness = TestHarness::new(Databases::create().await);
    log::run_all(&harness).await.unwrap();
    harness.databases.drop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_passes_with_both() {
    let harness = TestHarness::new(Databases::create().await);
    engine::run_all(&harness).await.unwrap();
    harness.databases.drop_all().await;
}
