use std::panic;
use std::sync::Once;

use crate::log;

/// A panic ends the instance, and the host learns only that it did: the message has to be logged from here. Every
/// function that the host may call first begins with this.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| panic::set_hook(Box::new(|panic| log::emit(log::Level::Error, &panic.to_string(), Vec::new()))));
}
