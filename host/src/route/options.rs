//! What a router may ask for with the upstream that it chooses.

use std::time::Duration;

use crate::config::TimeoutChanges;
use crate::filter::{Attribute, Value};

/// The timeouts that a choice changes for its connection: whole milliseconds, 0 for none. Options of which we know nothing
/// are for others, or for later versions (the contract says so).
///
/// # Errors
/// An option's value is not what it should be.
pub(super) fn timeouts(options: &[Attribute]) -> Result<TimeoutChanges, String> {
    let mut changes = TimeoutChanges::default();
    for Attribute { key, value } in options {
        let timeout = match key.as_str() {
            "connect-timeout-ms" => &mut changes.connect,
            "first-byte-timeout-ms" => &mut changes.first_byte,
            "idle-timeout-ms" => &mut changes.idle,
            "half-closed-timeout-ms" => &mut changes.half_closed,
            "stall-timeout-ms" => &mut changes.stall,
            "lifetime-ms" => &mut changes.lifetime,
            _ => continue,
        };
        *timeout = Some(match value {
            Value::Integer(0) => None,
            Value::Integer(milliseconds @ 1..) => Some(Duration::from_millis(milliseconds.unsigned_abs())),
            _ => return Err(format!("its option \"{key}\" is no number of milliseconds")),
        });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(key: &str, value: Value) -> Attribute {
        Attribute {
            key: key.to_owned(),
            value,
        }
    }

    #[test]
    fn a_choice_changes_the_timeouts_that_it_names() {
        let changes = timeouts(&[
            option("idle-timeout-ms", Value::Integer(1500)),
            option("stall-timeout-ms", Value::Integer(0)),
            option("of-a-later-version", Value::Boolean(true)),
        ]);
        let expected = TimeoutChanges {
            idle: Some(Some(Duration::from_millis(1500))),
            stall: Some(None),
            ..TimeoutChanges::default()
        };
        assert_eq!(changes, Ok(expected));
    }

    #[test]
    fn values_that_are_no_timeouts_are_the_filter_s_fault() {
        for value in [Value::Integer(-1), Value::Text("5s".to_owned()), Value::Boolean(true)] {
            assert!(timeouts(&[option("lifetime-ms", value)]).is_err());
        }
    }
}
