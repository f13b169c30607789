//! Waits for the bytes that tell HTTP/1 from HTTP/2. hyper's timers begin once it knows the version,
//! so whoever sends nothing, or only a part of HTTP/2's preface, would keep a place for ever.

use std::io::{self, Cursor};
use tokio::io::{AsyncReadExt, Chain, Join};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// RFC 9113, section 3.4. No HTTP/1 request begins like this.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that is read from its beginning again.
pub(crate) type BegunStream = Join<Chain<Cursor<Vec<u8>>, OwnedReadHalf>, OwnedWriteHalf>;

/// Reads until a byte differs from HTTP/2's preface or all of it is there. An error if the stream
/// ends before. It takes as long as the client likes: the caller limits it.
pub(crate) async fn first_bytes(mut stream: TcpStream) -> io::Result<BegunStream> {
    let mut first = Vec::with_capacity(HTTP2_PREFACE.len());
    while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
        let missing = HTTP2_PREFACE.len() - first.len();
        let mut rest = (&mut stream).take(missing as u64);
        if rest.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let (reader, writer) = stream.into_split();
    Ok(tokio::io::join(Cursor::new(first).chain(reader), writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(30);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, served) = tokio::join!(client, listener.accept());
        (client.unwrap(), served.unwrap().0)
    }

    #[tokio::test]
    async fn the_version_is_told_by_the_first_other_byte_or_the_whole_preface() {
        for told in [
            &b"G"[..],
            b"PRX",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
            HTTP2_PREFACE,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand frames, and more than a few of them",
        ] {
            let (mut client, served) = pair().await;
            client.write_all(told).await.unwrap();
            client.shutdown().await.unwrap();
            let mut stream = first_bytes(served).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, told);
        }
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_waited_for_and_read_again() {
        let (mut client, served) = pair().await;
        client.write_all(&HTTP2_PREFACE[..3]).await.unwrap();
        let begun = first_bytes(served);
        tokio::pin!(begun);
        assert!(tokio::time::timeout(SHORT, &mut begun).await.is_err());
        client.write_all(&HTTP2_PREFACE[3..]).await.unwrap();
        let mut stream = begun.await.unwrap();
        let mut read = [0; HTTP2_PREFACE.len()];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, HTTP2_PREFACE);
        stream.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[tokio::test]
    async fn silence_tells_nothing_and_a_stream_that_ends_is_an_error() {
        let (client, served) = pair().await;
        let waited = tokio::time::timeout(SHORT, first_bytes(served)).await;
        assert!(waited.is_err());
        drop(client);
        let (mut client, served) = pair().await;
        client.write_all(b"PRI").await.unwrap();
        drop(client);
        assert!(first_bytes(served).await.is_err());
    }
}
