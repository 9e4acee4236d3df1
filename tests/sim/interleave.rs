//! Turns of other threads inside a step: before each of the step's calls to the disk, another thread may run.
//!
//! A step of the upkeep or of the publisher makes several calls, and in production other threads run between them. Here the disk
//! lets them run before each call, in the same thread, as the seed chooses. Inside a step of the upkeep these are the writer,
//! requests and the publisher, and the writer also inside that step of the publisher; inside a step of the publisher, the writer.

use std::cell::RefCell;

type Beside = Box<dyn FnMut()>;

thread_local! {
    static BESIDE: RefCell<Option<Beside>> = const { RefCell::new(None) };
}

/// Runs `step`, and `beside` before each of its calls to the disk.
pub fn with<T>(beside: impl FnMut() + 'static, step: impl FnOnce() -> T) -> T {
    BESIDE.set(Some(Box::new(beside)));
    let outcome = step();
    BESIDE.set(None);
    outcome
}

/// Removes what a history that has panicked has left behind.
pub fn clear() {
    BESIDE.set(None);
}

/// Called by the disk before each operation.
pub fn point() {
    // What runs beside calls the disk too, and nothing runs inside those calls.
    if let Some(mut beside) = BESIDE.take() {
        beside();
        BESIDE.set(Some(beside));
    }
}
