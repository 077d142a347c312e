//! Counts the frames that cost a peer nothing and the server something. The HTTP/2 library answers each PING and
//! each SETTINGS however many come, and nothing of it can be set from outside; so the bytes are looked at on their
//! way in. What it bounds by itself (resets, CONTINUATION, empty DATA) is not counted here again.

use crate::transport::fence::Fence;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;

/// So many control frames may come at once.
const CREDIT_MAX: u32 = 1_000;
/// So many more each second.
const CREDIT_PER_SECOND: u32 = 10;
/// And one more for so many bytes that were sent to the peer: clients that measure the path ping while they read.
const BYTES_PER_CREDIT: usize = 1_024;

/// A connection whose peer has a budget of control frames. Once it is spent, reading fails.
pub(super) struct Metered<I> {
    inner: I,
    meter: Meter,
    fence: Fence,
}

impl<I> Metered<I> {
    pub(super) fn new(inner: I, fence: Fence) -> Self {
        Self { inner, meter: Meter::new(), fence }
    }

    fn check_fence(&self) -> io::Result<()> {
        let refused = || io::Error::other("an answer is too old to be sent");
        if self.fence.is_closed() { Err(refused()) } else { Ok(()) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        Poll::Ready(self.meter.read(&buf.filled()[before..]))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_fence()?;
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_fence()?;
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.fence.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Finds the frames in the bytes of a connection. Checks nothing of them, which is the library's work.
struct Meter {
    /// So many bytes belong to what is no frame header: the preface, or a payload.
    skip: usize,
    header: [u8; HEADER_BYTES],
    /// So many bytes of the header are there.
    have: usize,
    credit: u32,
    refilled: Instant,
    written: usize,
}

impl Meter {
    fn new() -> Self {
        let header = [0; HEADER_BYTES];
        Self {
            skip: PREFACE_BYTES,
            header,
            have: 0,
            credit: CREDIT_MAX,
            refilled: Instant::now(),
            written: 0,
        }
    }

    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<()> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            PING | SETTINGS if flags & ACK == 0 => self.spend(),
            PRIORITY => self.spend(),
            unknown if unknown > CONTINUATION => self.spend(),
            HEADERS => self.earn(1),
            DATA if self.skip > 0 => self.earn(1),
            _ => Ok(()),
        }
    }

    fn spend(&mut self) -> io::Result<()> {
        if self.credit == 0 {
            self.refill();
        }
        match self.credit.checked_sub(1) {
            Some(left) => self.credit = left,
            None => return Err(io::Error::other("too many control frames")),
        }
        Ok(())
    }

    fn refill(&mut self) {
        let seconds = u32::try_from(self.refilled.elapsed().as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.refilled = Instant::now();
            self.credit = seconds.saturating_mul(CREDIT_PER_SECOND).min(CREDIT_MAX);
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads as the other arms of the match")]
    fn earn(&mut self, credit: u32) -> io::Result<()> {
        self.credit = self.credit.saturating_add(credit).min(CREDIT_MAX);
        Ok(())
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        let credit = u32::try_from(self.written / BYTES_PER_CREDIT).unwrap_or(CREDIT_MAX);
        self.written %= BYTES_PER_CREDIT;
        self.credit = self.credit.saturating_add(credit).min(CREDIT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend(payload);
        frame
    }

    fn begun() -> Meter {
        let mut meter = Meter::new();
        meter.read(&[b'p'; PREFACE_BYTES]).unwrap();
        meter
    }

    #[test]
    fn pings_are_bounded_however_the_bytes_are_cut() {
        let pings = frame(PING, 0, &[0; 8]).repeat(1_001);
        for cut in [1, 7, 16_384] {
            let mut meter = begun();
            let failed = pings.chunks(cut).position(|part| meter.read(part).is_err());
            assert_eq!(
                failed,
                Some((1_000 * 17 + HEADER_BYTES - 1) / cut),
                "the last of 1,001 is one too many"
            );
        }
    }

    #[test]
    fn answers_to_our_pings_and_the_frames_of_calls_cost_nothing() {
        let mut meter = begun();
        let call = [frame(HEADERS, 4, b"h"), frame(DATA, 1, b"message"), frame(PING, ACK, &[0; 8])].concat();
        assert!(meter.read(&call.repeat(5_000)).is_ok());
    }

    #[test]
    fn who_reads_much_may_ping_much() {
        let mut meter = begun();
        let ping = frame(PING, 0, &[0; 8]);
        for _ in 0..5_000 {
            meter.wrote(16 * 1_024);
            meter.read(&ping).unwrap();
        }
        let settings = frame(SETTINGS, 0, &[]);
        assert!(meter.read(&settings.repeat(1_001)).is_err());
    }
}
