//! The end of a connection whose client is still sending: it is read on for a while, and thrown away.
//!
//! A socket that is closed with unread bytes in it resets the connection, and a client that is writing then
//! never sees the answer that was on its way. Bounded in time and size.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

use super::pace::Pace;
use super::stream::Paced;
use crate::telemetry::Limit;

/// Reads until the client closes its side. Nothing is written any more: our side is closed.
pub(super) async fn linger<I: AsyncRead + Unpin>(mut stream: Paced<I>, pace: &Pace) {
    if stream.has_ended() {
        return;
    }
    let reading = timeout(TIME, Box::pin(throw_away(&mut stream)));
    if !reading.await.unwrap_or(false) {
        pace.reached(Limit::Linger);
    }
}

/// `false`: there was too much, or nothing for too long.
async fn throw_away<I: AsyncRead + Unpin>(stream: &mut Paced<I>) -> bool {
    let mut left = SIZE;
    let mut buffer = vec![0; PIECE];
    loop {
        let reading = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => Poll::Ready(read.map(|()| buffer.filled().len())),
                Poll::Pending => Poll::Pending,
            }
        });
        match timeout(SILENCE, reading).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(read)) if read < left => left -= read,
            Ok(Ok(_)) | Err(_) => return false,
        }
    }
}

/// In all.
const TIME: Duration = Duration::from_secs(10);
/// Without a byte.
const SILENCE: Duration = Duration::from_secs(2);
/// More than the largest body that a client of the API sends at once.
const SIZE: usize = 16 << 20;
const PIECE: usize = 16 << 10;
