//! Goes to the proxy's log, under the filter's name. A message holds up to 4 KiB, a record up to 32 fields. Of fields with
//! the same key, the first counts.
//!
//! ```
//! use spliceway_sdk::log;
//!
//! let (command, seen) = ("FLUSHALL", 3);
//! log::warn!("refused {command}");
//! log::info!(redis.command = command, seen = seen, "refused");
//! ```

use crate::sys::host;

pub use crate::field::{Field, FieldValue};

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// False where the proxy would drop the record. The macros ask before they format.
pub fn enabled(level: Level) -> bool {
    host::log_enabled(level)
}

/// What the macros do. For a record whose fields are not known beforehand.
pub fn emit(level: Level, message: &str, fields: &[Field<'_>]) {
    host::log_emit(level, message, fields);
}

/// Many records of the same fields at once, for a fraction of the cost: what an [`Observer`](crate::Observer) has to say of
/// its batch. `values` has one for each key, record by record; `None` leaves the field out of that record. More than 64
/// keys are an error of the filter, and so is a record that is not whole.
pub fn emit_batch(level: Level, message: &str, keys: &[&str], values: &[Option<FieldValue<'_>>]) {
    host::log_emit_batch(level, message, keys, values);
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:literal $($arguments:tt)*) => {
        $crate::__log!(@ $level, [], $message $($arguments)*)
    };
    ($level:ident, $($key:ident $(. $more:ident)* = $value:expr,)+ $message:literal $($arguments:tt)*) => {
        $crate::__log!(@ $level, [
            $($crate::log::Field::new(concat!(stringify!($key) $(, ".", stringify!($more))*), $value)),+
        ], $message $($arguments)*)
    };
    (@ $level:ident, $fields:expr, $message:literal $($arguments:tt)*) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::emit($crate::log::Level::$level, &::std::format!($message $($arguments)*), &$fields);
        }
    };
}

/// Logs at level trace, as [`info!`](crate::log::info) does at its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace { ($($record:tt)+) => { $crate::__log!(Trace, $($record)+) } }

/// Logs at level debug, as [`info!`](crate::log::info) does at its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($record:tt)+) => { $crate::__log!(Debug, $($record)+) } }

/// Logs at level info: fields, if any, as `key = value,` and then what [`format!`] takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($record:tt)+) => { $crate::__log!(Info, $($record)+) } }

/// Logs at level warn, as [`info!`](crate::log::info) does at its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($record:tt)+) => { $crate::__log!(Warn, $($record)+) } }

/// Logs at level error, as [`info!`](crate::log::info) does at its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($record:tt)+) => { $crate::__log!(Error, $($record)+) } }
