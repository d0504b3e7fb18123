use std::panic;
use std::sync::Once;

use crate::log::{self, Field, Level};

/// A panic ends the instance, and the host learns only that it did: the message has to be logged from here. Every
/// function that the host may call first begins with this.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            let message = format!("panicked: {}", panic.payload_as_str().unwrap_or("without a message"));
            let location = panic
                .location()
                .map(|location| Field::new("location", location.to_string()));
            log::emit(Level::Error, &message, location.as_slice());
        }));
    });
}
