//! What bodies are charged, and which of them give way if memory is short.

use std::convert::Infallible;
use std::task::Context;

use http_body_util::Full;
use prometheus::IntGauge;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::*;

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
    let body = collect(
        Full::new(Bytes::from_static(b"hello")),
        Instant::now(),
        50,
        &limits,
    )
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
        collect(chunks(3, 4), Instant::now(), 0, &small).await,
        Err(Refusal::BodyTooLarge { max_body: 10 })
    ));
    assert_eq!(gauge.get(), 0);
    let (tight, gauge) = limits(1000, 10);
    assert!(matches!(
        collect(chunks(3, 4), Instant::now(), 0, &tight).await,
        Err(Refusal::MemoryExhausted)
    ));
    assert_eq!(
        collect(chunks(5, 2), Instant::now(), 0, &tight)
            .await
            .unwrap()
            .len(),
        10
    );
    assert_eq!(gauge.get(), 0);
}

/// A body that arrives when the test sends it.
struct Fed(UnboundedReceiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

type Collecting = JoinHandle<Result<Bytes, Refusal>>;

/// A body whose head came some seconds ago, of which `length` bytes arrive now and the rest when the test sends it.
async fn stalled(
    limits: &BodyLimits,
    gauge: &IntGauge,
    seconds: u64,
    length: usize,
) -> (UnboundedSender<Bytes>, Collecting) {
    let (feed, chunks) = unbounded_channel();
    feed.send(Bytes::from(vec![b'x'; length])).unwrap();
    let started = Instant::now() - Duration::from_secs(seconds);
    let limits = limits.clone();
    let before = gauge.get();
    let body = async move { collect(Fed(chunks), started, 0, &limits).await };
    let collecting = tokio::spawn(body);
    while gauge.get() == before {
        tokio::task::yield_now().await;
    }
    (feed, collecting)
}

fn whole(length: usize) -> Full<Bytes> {
    Full::new(Bytes::from(vec![b'y'; length]))
}

#[tokio::test]
async fn the_slowest_bodies_give_way_and_no_more_of_them_than_must() {
    // Buffers of bodies without a declared length are twice as large as what has arrived.
    let (limits, gauge) = limits(1000, 100);
    let (slow, slow_body) = stalled(&limits, &gauge, 3, 15).await;
    let (slowest, slowest_body) = stalled(&limits, &gauge, 5, 15).await;
    let (fastest, fastest_body) = stalled(&limits, &gauge, 1, 15).await;
    assert_eq!(gauge.get(), 90);
    let taken = collect(whole(60), Instant::now(), 0, &limits).await;
    assert_eq!(taken.unwrap().len(), 60);
    assert_eq!(slowest_body.await.unwrap(), Err(Refusal::BodyStalled));
    assert_eq!(slow_body.await.unwrap(), Err(Refusal::BodyStalled));
    drop((slowest, slow, fastest));
    assert_eq!(fastest_body.await.unwrap().unwrap().len(), 15);
    assert_eq!(gauge.get(), 0);
}

#[tokio::test]
async fn none_gives_way_to_a_slower_one_or_if_that_would_not_be_enough() {
    let (limits, gauge) = limits(1000, 100);
    let (feed, body) = stalled(&limits, &gauge, 5, 40).await;
    let much = collect(whole(101), Instant::now(), 0, &limits).await;
    assert_eq!(much, Err(Refusal::MemoryExhausted));
    let (slower, slower_body) = stalled(&limits, &gauge, 7, 5).await;
    slower.send(Bytes::from_static(&[b'x'; 20])).unwrap();
    assert_eq!(slower_body.await.unwrap(), Err(Refusal::MemoryExhausted));
    drop(feed);
    assert_eq!(body.await.unwrap().unwrap().len(), 40);
}

#[tokio::test]
async fn a_sender_that_keeps_pace_is_faster_than_one_that_began_later() {
    let (limits, gauge) = limits(10_000_000, 1_000_000);
    let three_seconds = 3 * 64 * 1024;
    let (paced, paced_body) = stalled(&limits, &gauge, 3, three_seconds).await;
    let (stalls, stalled_body) = stalled(&limits, &gauge, 2, 1000).await;
    let taken = collect(whole(606_000), Instant::now(), 0, &limits).await;
    assert_eq!(taken.unwrap().len(), 606_000);
    assert_eq!(stalled_body.await.unwrap(), Err(Refusal::BodyStalled));
    drop((paced, stalls));
    assert_eq!(paced_body.await.unwrap().unwrap().len(), three_seconds);
}

/// A request that holds `bytes` and waits neither for its sender nor for memory.
fn in_motion(limits: &BodyLimits, bytes: usize) -> Buffer {
    let mut charge = limits.budget.charge();
    assert_eq!(charge.grow(bytes), Ok(()));
    let bytes = Vec::new();
    Buffer { bytes, charge }
}

fn claiming(limits: &BodyLimits, length: usize) -> Collecting {
    let limits = limits.clone();
    tokio::spawn(async move { collect(whole(length), Instant::now(), 0, &limits).await })
}

/// Lets all other tasks run until they wait for something.
async fn run_others() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_waits_for_memory_in_motion_and_gets_it_before_those_that_come_later() {
    let (limits, gauge) = limits(1000, 100);
    let hostile = in_motion(&limits, 70);
    let body = claiming(&limits, 60);
    run_others().await;
    assert!(!body.is_finished());
    let mut later = limits.budget.charge();
    assert_eq!(later.grow(30), Err(Exhausted), "free, but claimed");
    let long_ago = Instant::now() - Duration::from_secs(3);
    let waiting = limits.budget.wait(hostile, long_ago);
    // Served in the same moment, before its task has run.
    assert_eq!(gauge.get(), 60);
    assert_eq!(later.grow(41), Err(Exhausted));
    assert_eq!(later.grow(40), Ok(()));
    assert!(waiting.take().is_none());
    assert_eq!(body.await.unwrap().unwrap().len(), 60);
    drop(later);
    assert_eq!(gauge.get(), 0);
}

#[tokio::test]
async fn of_bodies_that_wait_for_one_another_the_last_in_line_is_refused() {
    let minute = Duration::from_mins(1);
    // Who needs most; but before that, who is a minute behind.
    for (behind_of_small, is_small_served) in [(Duration::ZERO, true), (minute, false)] {
        let (limits, gauge) = limits(1000, 100);
        let (large, small) = (in_motion(&limits, 60), in_motion(&limits, 30));
        let budget = &limits.budget;
        let mut claim_of_large = budget.claim(30, &large.charge, Duration::ZERO);
        let mut claim_of_small = budget.claim(20, &small.charge, behind_of_small);
        let (refused, refused_claim, served_claim) = if is_small_served {
            (large, &mut claim_of_large, &mut claim_of_small)
        } else {
            (small, &mut claim_of_small, &mut claim_of_large)
        };
        assert_eq!(refused_claim.served().await.unwrap_err(), Exhausted);
        assert_eq!(gauge.get(), 90);
        drop(refused);
        let more = served_claim.served().await;
        assert!(more.is_ok());
        assert_eq!(gauge.get(), if is_small_served { 50 } else { 90 });
    }
}

#[tokio::test]
async fn a_body_does_not_wait_for_memory_that_waits_for_a_sync() {
    let (limits, _gauge) = limits(1000, 100);
    let unsynced = collect(whole(60), Instant::now(), 0, &limits).await;
    let refused = collect(whole(60), Instant::now(), 0, &limits).await;
    assert_eq!(refused, Err(Refusal::MemoryExhausted));
    drop(unsynced);
    let taken = collect(whole(60), Instant::now(), 0, &limits).await;
    assert_eq!(taken.unwrap().len(), 60);
}

#[tokio::test]
async fn a_claim_ends_when_its_client_leaves_or_the_time_for_bodies_is_over() {
    let (mut limits, gauge) = limits(1000, 100);
    let hostile = in_motion(&limits, 70);
    let left = claiming(&limits, 60);
    run_others().await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    let mut later = limits.budget.charge();
    assert_eq!(later.grow(30), Ok(()));
    limits.timeout = Duration::from_millis(20);
    let late = claiming(&limits, 60).await.unwrap();
    assert_eq!(late, Err(Refusal::MemoryExhausted));
    drop((hostile, later));
    assert_eq!(gauge.get(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_body_waits_returns_the_memory() {
    let (limits, gauge) = limits(1000, 100);
    let (_feed, body) = stalled(&limits, &gauge, 1, 10).await;
    body.abort();
    assert!(body.await.unwrap_err().is_cancelled());
    assert_eq!(gauge.get(), 0);
}

#[tokio::test]
async fn a_refused_body_is_read_on_without_being_kept_and_within_a_bound() {
    let (limits, gauge) = limits(10, 10);
    let mut body = chunks(100, 4);
    discard(&mut body, 10, &limits).await;
    assert_eq!((body.left, gauge.get()), (0, 0));
    let mut endless = chunks(usize::MAX, 1024 * 1024);
    discard(&mut endless, 10, &limits).await;
    let read = (usize::MAX - endless.left) * 1024 * 1024;
    assert_eq!(read, READ_ON_BYTES + 1024 * 1024);
}
