//! Whose turn it is: tests with databases of their own share the servers, and a test that breaks a
//! server has all of them to itself.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static SERVERS: RwLock<()> = RwLock::const_new(());

/// The servers, shared with others who leave them whole.
pub async fn shared() -> RwLockReadGuard<'static, ()> {
    SERVERS.read().await
}

/// The servers, with nobody else on them.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    SERVERS.write().await
}
