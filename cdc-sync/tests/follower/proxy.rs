//! A TCP proxy on loopback that can be shut, so that a server seems to be away.

use service::search::SearchSettings;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everything passes.
    Open,
    /// Connections are closed, new ones at once.
    Shut,
    /// Connections stay, nothing passes.
    Silent,
}

pub struct Proxy {
    pub address: String,
    door: Arc<watch::Sender<Door>>,
}

impl Proxy {
    /// A proxy before `target` (host and port).
    pub async fn before(target: &str, door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let door = Arc::new(watch::Sender::new(door));
        let (target, doors) = (target.to_owned(), door.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, door) = (target.clone(), doors.subscribe());
                tokio::spawn(async move { pass(client, &target, door).await });
            }
        });
        Self { address, door }
    }

    /// A proxy before Elasticsearch, to be used instead of it.
    pub async fn before_search(search: &mut SearchSettings, door: Door) -> Self {
        let target = search.url.trim_start_matches("http://");
        let proxy = Self::before(target.trim_end_matches('/'), door).await;
        search.url = format!("http://{}", proxy.address);
        proxy
    }

    pub fn set(&self, door: Door) {
        self.door.send_replace(door);
    }
}

async fn pass(client: TcpStream, target: &str, mut door: watch::Receiver<Door>) {
    if *door.borrow() == Door::Shut {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = server.into_split();
    let (mut up, mut down) = (door.clone(), door.clone());
    tokio::select! {
        _ = copy(&mut client_in, &mut server_out, &mut up) => {}
        _ = copy(&mut server_in, &mut client_out, &mut down) => {}
        _ = door.wait_for(|door| *door == Door::Shut) => {}
    }
}

async fn copy(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    door: &mut watch::Receiver<Door>,
) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let _ = door.wait_for(|door| *door != Door::Silent).await;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
