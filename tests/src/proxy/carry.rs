//! One connection through a proxy: two directions, each under the fault of the moment.

use super::fault::{Direction, Fault};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

const CHUNK_BYTES: usize = 16 * 1024;

/// Why a direction ended otherwise than by its sender's end.
struct Reset;

/// Carries a client's connection to its end.
pub(super) async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    mut faults: watch::Receiver<Fault>,
) {
    faults.mark_changed();
    let Some(mut upstream) = open(&mut client, server, &mut faults).await else {
        reset(&client);
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = upstream.split();
        tokio::try_join!(
            Carrier::new(from_client, to_server, Direction::Up, faults.clone()).run(),
            Carrier::new(from_server, to_client, Direction::Down, faults).run(),
        )
    };
    if ended.is_err() {
        reset(&client);
        reset(&upstream);
    }
}

/// A server behind a black hole is not even asked.
async fn open(
    client: &mut TcpStream,
    server: SocketAddr,
    faults: &mut watch::Receiver<Fault>,
) -> Option<TcpStream> {
    if *faults.borrow_and_update() != Fault::BlackHole {
        faults.mark_changed();
        return TcpStream::connect(server).await.ok();
    }
    let mut lost = [0; 1024];
    loop {
        tokio::select! {
            _ = faults.changed() => return None,
            read = client.read(&mut lost) => if matches!(read, Ok(0) | Err(_)) { return None },
        }
    }
}

/// Closing a socket that lingers for no time sends a reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

struct Carrier<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    direction: Direction,
    faults: watch::Receiver<Fault>,
    /// Bytes that still pass before a reset.
    allowance: u64,
    lost_bytes: bool,
    closed: bool,
}

impl<'a> Carrier<'a> {
    fn new(
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        direction: Direction,
        faults: watch::Receiver<Fault>,
    ) -> Self {
        Self {
            from,
            to,
            direction,
            faults,
            allowance: u64::MAX,
            lost_bytes: false,
            closed: false,
        }
    }

    async fn run(mut self) -> Result<(), Reset> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            tokio::select! {
                biased;
                changed = self.faults.changed() => {
                    changed.map_err(|_| Reset)?;
                    self.begin().await?;
                }
                read = self.from.read(&mut chunk) => match read {
                    Ok(0) => return self.end().await,
                    Ok(count) => self.pass_on(&chunk[..count]).await?,
                    Err(_) => return Err(Reset),
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Reset> {
        let fault = *self.faults.borrow_and_update();
        let lost = self.lost_bytes && fault != Fault::BlackHole;
        if lost || (self.closed && fault != Fault::HalfClose) {
            return Err(Reset);
        }
        self.allowance = u64::MAX;
        match fault {
            Fault::Cut => return Err(Reset),
            Fault::HalfClose if self.direction == Direction::Down && !self.closed => {
                self.closed = true;
                self.to.shutdown().await.map_err(|_| Reset)?;
            }
            Fault::ResetAfter { direction, bytes } if direction == self.direction => {
                self.allowance = bytes;
            }
            Fault::Pass
            | Fault::Delay(_)
            | Fault::BlackHole
            | Fault::HalfClose
            | Fault::ResetAfter { .. }
            | Fault::Bandwidth { .. } => {}
        }
        Ok(())
    }

    async fn pass_on(&mut self, bytes: &[u8]) -> Result<(), Reset> {
        // The bytes that came at the time of a fault are under it.
        let fault = *self.faults.borrow();
        match fault {
            Fault::BlackHole => {
                self.lost_bytes = true;
                return Ok(());
            }
            Fault::Delay(time) => self.wait(time).await,
            Fault::Bandwidth { bytes_per_s } => self.wait(at_rate(bytes, bytes_per_s)).await,
            Fault::Pass | Fault::Cut | Fault::HalfClose | Fault::ResetAfter { .. } => {}
        }
        if self.closed {
            return Ok(());
        }
        let passing = usize::try_from(self.allowance).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.allowance -= passing as u64;
        self.to
            .write_all(&bytes[..passing])
            .await
            .map_err(|_| Reset)?;
        if passing < bytes.len() || self.allowance == 0 {
            return Err(Reset);
        }
        Ok(())
    }

    /// Another fault ends the wait.
    async fn wait(&mut self, time: Duration) {
        tokio::select! {
            _ = self.faults.changed() => self.faults.mark_changed(),
            () = sleep(time) => {}
        }
    }

    async fn end(mut self) -> Result<(), Reset> {
        if !self.closed {
            self.to.shutdown().await.map_err(|_| Reset)?;
        }
        Ok(())
    }
}

fn at_rate(bytes: &[u8], bytes_per_s: u32) -> Duration {
    Duration::from_secs_f64(bytes.len() as f64 / f64::from(bytes_per_s.max(1)))
}
