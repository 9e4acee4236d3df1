//! Other threads' turns inside a step: before each call that a step makes of the disk, another thread may go on.
//!
//! A step of the upkeep or of the publisher makes several calls, between which other threads really run. Here they do so by
//! chance of the seed, in the same thread, at the calls: the disk lets them in. Inside the upkeep's step these are the
//! writer, requests and the publisher, and the writer inside the publisher's step there; inside the publisher's the writer.

use std::cell::RefCell;

type Beside = Box<dyn FnMut()>;

thread_local! {
    static BESIDE: RefCell<Option<Beside>> = const { RefCell::new(None) };
}

/// Takes a step during which `beside` is called before each call of the disk.
pub fn with<T>(beside: impl FnMut() + 'static, step: impl FnOnce() -> T) -> T {
    BESIDE.set(Some(Box::new(beside)));
    let outcome = step();
    BESIDE.set(None);
    outcome
}

/// A history that has panicked leaves nobody beside the next one.
pub fn alone() {
    BESIDE.set(None);
}

/// The disk is about to be called.
pub fn point() {
    // What runs beside makes calls too, and lets nobody in.
    if let Some(mut beside) = BESIDE.take() {
        beside();
        BESIDE.set(Some(beside));
    }
}
