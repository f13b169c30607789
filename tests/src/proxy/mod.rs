//! A TCP proxy that stands before a server and misbehaves as it is told, at any time.
//!
//! What it is told holds for connections that are there as for new ones. Nothing that it did to a
//! connection is mended on it later: bytes that were swallowed stay lost, so that such a connection
//! is reset once the fault is over, and its owner has to open another.

mod carry;
mod fault;

pub use fault::{Direction, Fault};

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const BIND_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A proxy that runs until it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Fault>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Stands before the server at this address (`host:port`), on a port of its own.
    pub async fn before(server: &str) -> Result<Self> {
        Self::at("127.0.0.1:0", server).await
    }

    /// Stands before a server, at an address that its clients know already.
    pub async fn at(listen: &str, server: &str) -> Result<Self> {
        let server: SocketAddr = server.parse().with_context(|| server.to_owned())?;
        let listener = TcpListener::bind(listen).await.context("a fault proxy")?;
        let address = listener.local_addr()?;
        let (faults, told) = watch::channel(Fault::Pass);
        let accepting = tokio::spawn(accept(listener, address, server, told));
        Ok(Self {
            address,
            faults,
            accepting,
        })
    }

    /// Where its clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this.
    pub fn set(&self, fault: Fault) {
        self.faults.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The connections are in the task's set and go with it.
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    server: SocketAddr,
    mut faults: watch::Receiver<Fault>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let fault = *faults.borrow_and_update();
        if fault == Fault::Cut {
            // Without a listener the system itself refuses.
            listener = None;
        } else if listener.is_none() {
            listener = Some(bind_again(address).await);
        }
        tokio::select! {
            changed = faults.changed() => if changed.is_err() { return },
            Some(client) = next(listener.as_ref()) => {
                connections.spawn(carry::connection(client, server, faults.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => None,
    }
}

async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(BIND_AGAIN_AFTER).await,
        }
    }
}
