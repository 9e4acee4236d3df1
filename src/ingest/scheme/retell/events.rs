//! What Retell AI documents of its events.

/// JSON pointer to an event's name.
pub(crate) const EVENT_POINTER: &str = "/event";

/// JSON pointers to the id of a call or a chat. The second one is the shape of an older sample.
pub(crate) const KEY_POINTERS: [&str; 5] = [
    "/call/call_id",
    "/data/call_id",
    "/chat/chat_id",
    "/call_inbound/call_id",
    "/chat_inbound/chat_id",
];

/// The documented names of events.
pub(crate) const KINDS: [&str; 13] = [
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
    CALL_INBOUND,
    CHAT_INBOUND,
];

const CALL_INBOUND: &str = "call_inbound";
const CHAT_INBOUND: &str = "chat_inbound";

/// True if Retell takes its next step from the content of the answer. Such a request does not belong to a relay. A custom
/// function's call has no event name.
pub(crate) fn expects_content(name: Option<&str>) -> bool {
    matches!(name, None | Some(CALL_INBOUND | CHAT_INBOUND))
}
