//! Collects a request's body: bounded in size, in time and by the memory that all bodies share.
//!
//! hyper hands out slices of larger read buffers, which stay alive as long as a slice of them. So the bytes are copied
//! once, into a buffer that grows with them, and the journal gets that buffer. Its charge is returned when the journal
//! drops it, after the sync.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::memory::{Budget, Charge};
use super::refusal::Refusal;

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

/// Reads `body` to its end. The `head_bytes` of the request's head are charged as well until then, because a head stays
/// in memory while its body arrives.
pub(super) async fn collect<B>(
    body: B,
    head_bytes: usize,
    limits: &BodyLimits,
) -> Result<Bytes, Refusal>
where
    B: Body + Unpin,
{
    let mut charge = limits.budget.charge();
    charge
        .grow(head_bytes)
        .map_err(|_| Refusal::MemoryExhausted)?;
    let collected = tokio::time::timeout(limits.timeout, read(body, charge, limits.max_body));
    let mut collected = collected.await.map_err(|_| Refusal::BodyTimeout)??;
    collected.charge.shrink(head_bytes);
    Ok(Bytes::from_owner(collected))
}

/// A body and its charge, dropped together.
struct Collected {
    bytes: Vec<u8>,
    charge: Charge,
}

impl AsRef<[u8]> for Collected {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn read<B>(mut body: B, charge: Charge, max_body: usize) -> Result<Collected, Refusal>
where
    B: Body + Unpin,
{
    let hint = body.size_hint();
    let expected = hint.exact().and_then(|exact| usize::try_from(exact).ok());
    let ceiling = expected.unwrap_or(max_body).min(max_body);
    let mut collected = Collected {
        bytes: Vec::new(),
        charge,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        // Trailers carry nothing that ringback reads.
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let needed = collected.bytes.len() + data.remaining();
        if needed > max_body {
            return Err(Refusal::BodyTooLarge { max_body });
        }
        collected.make_room(needed, ceiling)?;
        while data.has_remaining() {
            let chunk = data.chunk();
            collected.bytes.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(collected)
}

impl Collected {
    /// Grows the buffer to `needed` bytes, or to twice that if budget and `ceiling` allow. A declared length alone
    /// never makes it grow, and exactly what is allocated is charged.
    fn make_room(&mut self, needed: usize, ceiling: usize) -> Result<(), Refusal> {
        let present = self.bytes.capacity();
        if needed <= present {
            return Ok(());
        }
        let generous = needed.max(needed.saturating_mul(2).min(ceiling));
        let target = if self.charge.grow(generous - present).is_ok() {
            generous
        } else {
            self.charge
                .grow(needed - present)
                .map_err(|_| Refusal::MemoryExhausted)?;
            needed
        };
        self.bytes.reserve_exact(target - self.bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::Full;
    use prometheus::IntGauge;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    fn limits(max_body: usize, budget: usize) -> (BodyLimits, IntGauge) {
        let gauge = IntGauge::new("held", "held").unwrap();
        let limits = BodyLimits {
            max_body,
            timeout: Duration::from_secs(10),
            budget: Budget::new(budget, gauge.clone()),
        };
        (limits, gauge)
    }

    /// A body of unknown length: `left` frames of `size` bytes.
    struct Chunks {
        left: usize,
        size: usize,
    }

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.left.checked_sub(1).map(|left| {
                self.left = left;
                Ok(Frame::data(Bytes::from(vec![b'x'; self.size])))
            }))
        }
    }

    fn chunks(left: usize, size: usize) -> Chunks {
        Chunks { left, size }
    }

    #[tokio::test]
    async fn a_body_is_charged_until_its_last_handle_is_dropped() {
        let (limits, gauge) = limits(100, 100);
        let body = collect(Full::new(Bytes::from_static(b"hello")), 50, &limits)
            .await
            .unwrap();
        assert_eq!(body, "hello");
        assert_eq!(gauge.get(), 5);
        let slice = body.slice(1..2);
        drop(body);
        assert_eq!(gauge.get(), 5);
        drop(slice);
        assert_eq!(gauge.get(), 0);
    }

    #[tokio::test]
    async fn a_streamed_body_over_the_limit_or_the_budget_is_refused_and_released() {
        let (small, gauge) = limits(10, 1000);
        assert!(matches!(
            collect(chunks(3, 4), 0, &small).await,
            Err(Refusal::BodyTooLarge { max_body: 10 })
        ));
        assert_eq!(gauge.get(), 0);
        let (tight, gauge) = limits(1000, 10);
        assert!(matches!(
            collect(chunks(3, 4), 0, &tight).await,
            Err(Refusal::MemoryExhausted)
        ));
        assert_eq!(collect(chunks(5, 2), 0, &tight).await.unwrap().len(), 10);
        assert_eq!(gauge.get(), 0);
    }
}
