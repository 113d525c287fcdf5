//! The end of a process that has lost another.

use std::{backtrace::Backtrace, panic};

/// How timely's threads begin what they say when a connection is gone.
const OF_TIMELY: &str = "timely communication error:";

/// From now on, when timely panics because a connection to a peer is gone, `exit` is called with what it says, instead of
/// a process that is left half-dead. Other panics are told as ever.
pub fn exit_when_a_peer_is_lost(exit: impl Fn(&str) + Send + Sync + 'static) {
    let told_as_ever = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // A panic with values in its text has a `String`.
        let text = panic.payload().downcast_ref::<String>();
        match text.and_then(|text| text.strip_prefix(OF_TIMELY)) {
            Some(reason) => exit(reason.trim()),
            None => told_as_ever(panic),
        }
    }));
    // Resolving symbols for the first time takes long; nobody is to wait for that when it matters.
    drop(Backtrace::capture());
}
