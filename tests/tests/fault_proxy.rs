//! The fault proxy, before a real socket server that answers every byte with itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use anyhow::Result;
use holdfast_tests::{Direction, Fault, FaultProxy};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(150);

async fn proxy_before_an_echo() -> Result<FaultProxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    FaultProxy::before(&address).await
}

async fn connect(proxy: &FaultProxy) -> Result<TcpStream> {
    Ok(timeout(SOON, TcpStream::connect(proxy.addr())).await??)
}

async fn says_and_hears(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    let mut heard = vec![0; bytes.len()];
    timeout(SOON, stream.read_exact(&mut heard)).await??;
    assert_eq!(heard, bytes);
    Ok(())
}

async fn hears_nothing(stream: &mut TcpStream) {
    let heard = timeout(A_WHILE, stream.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

async fn is_reset(stream: &mut TcpStream) {
    let mut heard = [0; 64];
    let error = loop {
        match timeout(SOON, stream.read(&mut heard)).await.unwrap() {
            Ok(0) => panic!("ended, and not reset"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn it_carries_everything_both_ways_and_ends() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut stream = connect(&proxy).await?;
    says_and_hears(&mut stream, &vec![7; 100_000][..60_000]).await?;
    stream.shutdown().await?;
    assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await??, 0);
    Ok(())
}

#[tokio::test]
async fn a_delay_makes_answers_late_and_can_be_ended() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut stream = connect(&proxy).await?;
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let begun = Instant::now();
    says_and_hears(&mut stream, b"slow").await?;
    assert!(begun.elapsed() >= Duration::from_millis(200), "both ways");
    proxy.set(Fault::Pass);
    let begun = Instant::now();
    says_and_hears(&mut stream, b"fast").await?;
    assert!(begun.elapsed() < Duration::from_millis(100));
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_what_is_there_and_refuses_what_comes() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut stream = connect(&proxy).await?;
    says_and_hears(&mut stream, b"there").await?;
    proxy.set(Fault::Cut);
    is_reset(&mut stream).await;
    sleep(A_WHILE).await;
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::Pass);
    sleep(A_WHILE).await;
    says_and_hears(&mut connect(&proxy).await?, b"back").await?;
    Ok(())
}

#[tokio::test]
async fn a_black_hole_takes_everything_and_answers_nothing() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut old = connect(&proxy).await?;
    says_and_hears(&mut old, b"there").await?;
    let mut idle = connect(&proxy).await?;
    says_and_hears(&mut idle, b"there").await?;
    proxy.set(Fault::BlackHole);
    let mut new = connect(&proxy).await?;
    for stream in [&mut old, &mut new] {
        stream.write_all(b"lost").await?;
        hears_nothing(stream).await;
    }
    proxy.set(Fault::Pass);
    is_reset(&mut old).await;
    is_reset(&mut new).await;
    says_and_hears(&mut idle, b"lost nothing").await?;
    Ok(())
}

#[tokio::test]
async fn a_half_closed_connection_ends_for_its_reader_only() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut stream = connect(&proxy).await?;
    says_and_hears(&mut stream, b"there").await?;
    proxy.set(Fault::HalfClose);
    assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await??, 0);
    stream.write_all(b"still taken").await?;
    sleep(A_WHILE).await;
    stream.write_all(b"and again").await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes_of_one_direction() -> Result<()> {
    for (direction, heard_at_most) in [(Direction::Up, 10), (Direction::Down, 10)] {
        let proxy = proxy_before_an_echo().await?;
        let mut stream = connect(&proxy).await?;
        proxy.set(Fault::ResetAfter {
            direction,
            bytes: 10,
        });
        sleep(A_WHILE).await;
        says_and_hears(&mut stream, b"12345").await?;
        stream.write_all(b"123456789").await?;
        let mut heard = 5;
        loop {
            match timeout(SOON, stream.read(&mut [0; 64])).await? {
                Ok(0) => panic!("ended, and not reset"),
                Ok(count) => heard += count,
                Err(_) => break,
            }
        }
        assert!(heard <= heard_at_most, "{heard}");
    }
    Ok(())
}

#[tokio::test]
async fn a_narrow_way_takes_its_time() -> Result<()> {
    let proxy = proxy_before_an_echo().await?;
    let mut stream = connect(&proxy).await?;
    proxy.set(Fault::Bandwidth {
        bytes_per_s: 10_000,
    });
    let begun = Instant::now();
    says_and_hears(&mut stream, &[1; 2_000]).await?;
    assert!(begun.elapsed() >= Duration::from_millis(350));
    Ok(())
}
