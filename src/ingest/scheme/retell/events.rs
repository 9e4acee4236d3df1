//! What Retell AI documents of its events.

/// JSON pointer to an event's name.
pub(crate) const EVENT_POINTER: &str = "/event";

/// JSON pointers to the id of a call or a chat. The second one is the shape of an older sample.
pub(crate) const KEY_POINTERS: [&str; 3] = ["/call/call_id", "/data/call_id", "/chat/chat_id"];

/// The documented names of events.
pub(crate) const KINDS: [&str; 11] = [
    "call_started",
    "call_ended",
    "call_analyzed",
    "transcript_updated",
    "transfer_started",
    "transfer_bridged",
    "transfer_cancelled",
    "transfer_ended",
    "chat_started",
    "chat_ended",
    "chat_analyzed",
];
