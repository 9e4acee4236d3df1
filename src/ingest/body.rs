//! Collects a request's body: bounded in size, in time and by the memory that all bodies share.
//!
//! hyper hands out slices of larger read buffers, which stay alive as long as a slice of them. So the bytes are copied
//! once, into a buffer that grows with them, and the journal gets that buffer. Its charge is returned when the journal
//! drops it, after the sync.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::memory::{Budget, Buffer, Charge, Exhausted};
use super::refusal::{READ_ON_BYTES, Refusal};

/// The time that a sender which keeps pace needs for one byte: 64 KiB a second, which a line of half a megabit carries.
/// While memory is short, slower ones are cut, first the one that has been behind for longest. What a sender is ahead
/// does not count, or one that stalls would be trusted for its first bytes.
const PACE: Duration = Duration::from_nanos(1_000_000_000 / (64 * 1024));
/// What a body may take.
#[derive(Debug, Clone)]
pub(super) struct BodyLimits {
    /// Bytes of one body.
    pub(super) max_body: usize,
    /// For the whole body, from the end of the head.
    pub(super) timeout: Duration,
    /// Bytes of all bodies together.
    pub(super) budget: Budget,
}

/// Reads `body` to its end; `started` is the end of the head. The `head_bytes` of the request's head are charged as well
/// until then, because a head stays in memory while its body arrives.
pub(super) async fn collect<B>(
    body: B,
    started: Instant,
    head_bytes: usize,
    limits: &BodyLimits,
) -> Result<Bytes, Refusal>
where
    B: Body + Unpin,
{
    let max_body = limits.max_body;
    let timer = pin!(None);
    let mut arrival = Arrival::new(body, started, limits, timer);
    let ceiling = arrival.expected.unwrap_or(max_body).min(max_body);
    let mut buffer = arrival.empty_buffer();
    let charge = &mut buffer.charge;
    arrival.charge(charge, head_bytes, false).await?;
    loop {
        let (returned, frame) = arrival.next(buffer).await?;
        buffer = returned;
        let Some(frame) = frame else { break };
        // Trailers carry nothing that ringback reads.
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let needed = buffer.bytes.len() + data.remaining();
        if needed > max_body {
            return Err(Refusal::BodyTooLarge { max_body });
        }
        arrival.make_room(&mut buffer, needed, ceiling).await?;
        while data.has_remaining() {
            let chunk = data.chunk();
            buffer.bytes.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    buffer.charge.shrink(head_bytes);
    let arrived = buffer.charge.arrived();
    arrived.map_err(|Exhausted| Refusal::MemoryExhausted)?;
    Ok(Bytes::from_owner(buffer))
}

/// Reads and drops what the client of a refused request still sends, as long as a body may take and at most
/// [`READ_ON_BYTES`]. It waits like any other body, so it gives way if memory is short.
pub(super) async fn discard<B>(body: B, head_bytes: usize, limits: &BodyLimits)
where
    B: Body + Unpin,
{
    let timer = pin!(None);
    let mut arrival = Arrival::new(body, Instant::now(), limits, timer);
    let mut buffer = arrival.empty_buffer();
    if buffer.charge.grow(head_bytes).is_err() {
        return;
    }
    let mut left = READ_ON_BYTES;
    while let Ok((returned, Some(frame))) = arrival.next(buffer).await {
        buffer = returned;
        let length = frame.data_ref().map_or(0, Buf::remaining);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// A body on its way.
struct Arrival<'a, B> {
    body: B,
    /// Its declared length, in bytes.
    expected: Option<usize>,
    limits: &'a BodyLimits,
    /// Set only once the sender has to be waited for. Most bodies are here by then and need no timer.
    timer: Pin<&'a mut Option<Sleep>>,
    started: Instant,
    /// Up to when the sender has kept [`PACE`], without what has arrived since.
    kept_pace: Instant,
    /// Bytes that have arrived since `kept_pace` was determined.
    arrived: usize,
}

type BodyFrame<B> = Frame<<B as Body>::Data>;
type Polled<B> = Option<Result<BodyFrame<B>, <B as Body>::Error>>;

impl<'a, B: Body + Unpin> Arrival<'a, B> {
    fn new(
        body: B,
        started: Instant,
        limits: &'a BodyLimits,
        timer: Pin<&'a mut Option<Sleep>>,
    ) -> Self {
        let expected = body.size_hint().exact();
        Self {
            body,
            expected: expected.and_then(|exact| usize::try_from(exact).ok()),
            limits,
            timer,
            started,
            kept_pace: started,
            arrived: 0,
        }
    }

    fn empty_buffer(&self) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            charge: self.limits.budget.charge(),
        }
    }

    /// The next frame, or `None` at the end of the body. Gives `buffer` back, unless it was cut in the meantime.
    async fn next(&mut self, buffer: Buffer) -> Result<(Buffer, Option<BodyFrame<B>>), Refusal> {
        let (buffer, polled) = match self.poll_arrived().await {
            Some(polled) => (buffer, polled),
            None => self.wait(buffer).await?,
        };
        let frame = polled.transpose().map_err(|_| Refusal::BodyBroken)?;
        let data = frame.as_ref().and_then(Frame::data_ref);
        self.arrived += data.map_or(0, Buf::remaining);
        Ok((buffer, frame))
    }

    /// The next frame if it is here already; `None` if the sender has to send it first.
    async fn poll_arrived(&mut self) -> Option<Polled<B>> {
        let mut is_asked_for = false;
        poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(polled) => Poll::Ready(Some(polled)),
            Poll::Pending if is_asked_for => Poll::Ready(None),
            // hyper reads a body once it has been asked for, as soon as this task has yielded.
            Poll::Pending => {
                is_asked_for = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    /// Waits for the sender. Meanwhile other requests may take the body's memory.
    async fn wait(&mut self, buffer: Buffer) -> Result<(Buffer, Polled<B>), Refusal> {
        self.start_timer();
        let kept_pace = self.kept_pace();
        let waiting = self.limits.budget.wait(buffer, kept_pace);
        let polled = poll_fn(|cx| {
            if let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) {
                return Poll::Ready(Ok(polled));
            }
            let timer = self.timer.as_mut().as_pin_mut();
            if timer.is_some_and(|timer| timer.poll(cx).is_ready()) {
                return Poll::Ready(Err(Refusal::BodyTimeout));
            }
            waiting.poll_cut(cx).map(|()| Err(Refusal::BodyStalled))
        });
        let polled = polled.await?;
        let buffer = waiting.take().ok_or(Refusal::BodyStalled)?;
        Ok((buffer, polled))
    }

    fn start_timer(&mut self) {
        if self.timer.is_none() {
            let deadline = self.started + self.limits.timeout;
            self.timer.set(Some(sleep_until(deadline)));
        }
    }

    fn kept_pace(&mut self) -> Instant {
        let bytes = u32::try_from(std::mem::take(&mut self.arrived)).unwrap_or(u32::MAX);
        self.kept_pace = (self.kept_pace + PACE * bytes).min(Instant::now());
        self.kept_pace
    }

    /// Grows `buffer` to `needed` bytes, or to twice that if budget and `ceiling` allow. A declared length alone never
    /// makes it grow, and exactly what is allocated is charged.
    async fn make_room(
        &mut self,
        buffer: &mut Buffer,
        needed: usize,
        ceiling: usize,
    ) -> Result<(), Refusal> {
        let present = buffer.bytes.capacity();
        if needed <= present {
            return Ok(());
        }
        let generous = needed.max(needed.saturating_mul(2).min(ceiling));
        let target = if buffer.charge.grow(generous - present).is_ok() {
            generous
        } else {
            let is_complete = self.expected == Some(needed);
            self.charge(&mut buffer.charge, needed - present, is_complete)
                .await?;
            needed
        };
        buffer.bytes.reserve_exact(target - buffer.bytes.len());
        Ok(())
    }

    /// Charges `bytes`; if memory is short, slower bodies give way. A sender is not behind if its body `is_complete`,
    /// however late it is read.
    async fn charge(
        &mut self,
        charge: &mut Charge,
        bytes: usize,
        is_complete: bool,
    ) -> Result<(), Refusal> {
        if charge.grow(bytes).is_ok() {
            return Ok(());
        }
        let (kept_pace, begun) = (self.kept_pace(), Instant::now());
        let behind = if is_complete {
            Duration::ZERO
        } else {
            begun.saturating_duration_since(kept_pace)
        };
        self.start_timer();
        let mut claim = self.limits.budget.claim(bytes, charge, behind);
        let mut served = pin!(claim.served());
        let more = poll_fn(|cx| {
            if let Poll::Ready(served) = served.as_mut().poll(cx) {
                return Poll::Ready(served.map_err(|Exhausted| Refusal::MemoryExhausted));
            }
            // It was not the sender that took too long.
            let timer = self.timer.as_mut().as_pin_mut();
            let timer = timer.map_or(Poll::Pending, |timer| timer.poll(cx));
            timer.map(|()| Err(Refusal::MemoryExhausted))
        });
        charge.absorb(more.await?);
        self.kept_pace += begun.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
