//! What a router may ask for with the upstream that it chooses.

use std::borrow::Cow;
use std::time::Duration;

use crate::config::TimeoutChanges;
use crate::filter::{Attribute, Value};
use crate::treatment::Prescription;
use crate::upstream::Wish;
use crate::upstream::balance::hash_key;

/// What a choice has otherwise than its listener and its upstream.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub timeouts: TimeoutChanges,
    pub wish: Wish,
    pub prescription: Prescription,
}

/// What a proxy would have against these: for those who try a filter without one.
///
/// # Errors
/// An option's value is not what it should be.
pub fn check(options: &[Attribute]) -> Result<(), String> {
    asked(options).map(|_| ())
}

/// Timeouts in whole milliseconds, 0 for none; a server by its address; a key for those that hash; a treatment in the words of a
/// file, and a key for those who share one. Options of which we know
/// nothing are for others, or for later versions (the contract says so).
///
/// # Errors
/// An option's value is not what it should be.
pub(super) fn asked(options: &[Attribute]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    for Attribute { key, value } in options {
        let timeouts = &mut asked.timeouts;
        let timeout = match key.as_str() {
            "connect-timeout-ms" => &mut timeouts.connect,
            "first-byte-timeout-ms" => &mut timeouts.first_byte,
            "idle-timeout-ms" => &mut timeouts.idle,
            "half-closed-timeout-ms" => &mut timeouts.half_closed,
            "stall-timeout-ms" => &mut timeouts.stall,
            "lifetime-ms" => &mut timeouts.lifetime,
            "hash-key" => {
                asked.wish.key = Some(hash_key(&bytes(value)));
                continue;
            }
            "treatment" => {
                let Value::Text(typed) = value else {
                    return Err("its option \"treatment\" is no text".to_owned());
                };
                let regimen = Prescription::regimen(typed);
                let regimen = regimen.map_err(|why| format!("its option \"treatment\" cannot be done: {why}"))?;
                asked.prescription.regimen = Some(regimen);
                continue;
            }
            "mirror" => {
                let Value::Text(upstream) = value else {
                    return Err("its option \"mirror\" is no upstream's name".to_owned());
                };
                asked.prescription.mirror = Some(upstream.as_str().into());
                continue;
            }
            "treatment-key" => {
                asked.prescription.key = Some(hash_key(&bytes(value)));
                continue;
            }
            "server" => {
                asked.wish.server = Some(hash_key(&bytes(value)));
                continue;
            }
            _ => continue,
        };
        *timeout = Some(match value {
            Value::Integer(0) => None,
            Value::Integer(milliseconds @ 1..) => Some(Duration::from_millis(milliseconds.unsigned_abs())),
            _ => return Err(format!("its option \"{key}\" is no number of milliseconds")),
        });
    }
    Ok(asked)
}

/// As a server's address is written, where it is one.
fn bytes(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::Text(text) => Cow::Borrowed(text.as_bytes()),
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
        Value::Integer(number) => Cow::Owned(number.to_le_bytes().to_vec()),
        Value::Boolean(truth) => Cow::Owned(vec![u8::from(*truth)]),
        Value::Address(address) => Cow::Owned(address.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn option(key: &str, value: Value) -> Attribute {
        Attribute {
            key: key.to_owned(),
            value,
        }
    }

    #[test]
    fn a_choice_changes_the_timeouts_that_it_names() {
        let asked = asked(&[
            option("idle-timeout-ms", Value::Integer(1500)),
            option("stall-timeout-ms", Value::Integer(0)),
            option("of-a-later-version", Value::Boolean(true)),
        ]);
        let expected = TimeoutChanges {
            idle: Some(Some(Duration::from_millis(1500))),
            stall: Some(None),
            ..TimeoutChanges::default()
        };
        assert_eq!(asked.unwrap().timeouts, expected);
    }

    #[test]
    fn values_that_are_no_timeouts_are_the_filter_s_fault() {
        for value in [Value::Integer(-1), Value::Text("5s".to_owned()), Value::Boolean(true)] {
            assert!(asked(&[option("lifetime-ms", value)]).is_err());
        }
    }

    #[test]
    fn a_treatment_is_asked_for_as_a_file_has_it_and_the_same_is_shared() {
        let of = |text: &str| asked(&[option("treatment", Value::Text(text.to_owned()))]);
        let limit = "{ bandwidth = { down = \"1MiB/s\", per = \"all\" } }";
        let [one, other] = [of(limit), of(limit)].map(|asked| asked.unwrap().prescription.regimen.unwrap());
        assert!(std::sync::Arc::ptr_eq(&one, &other));
        let why = of("{ bandwidth = { down = \"1MB/s\" } }").unwrap_err();
        assert!(why.contains("10MiB/s"), "{why}");
        assert!(
            of("{ bandwith = 1 }")
                .unwrap_err()
                .contains("did you mean `bandwidth`?")
        );
        assert!(asked(&[option("treatment", Value::Integer(1))]).is_err());
        let keyed = asked(&[option("treatment-key", Value::Text("tenant".to_owned()))]).unwrap();
        assert_eq!(keyed.prescription.key, Some(hash_key(b"tenant")));
    }

    #[test]
    fn a_server_is_named_by_its_address_and_a_key_is_any_value() {
        let address: SocketAddr = "10.0.0.1:5432".parse().unwrap();
        let by = |value| asked(&[option("server", value)]).unwrap().wish.server;
        assert_eq!(by(Value::Address(address)), by(Value::Text("10.0.0.1:5432".to_owned())));
        let key = |value| asked(&[option("hash-key", value)]).unwrap().wish.key;
        assert_eq!(key(Value::Text("a".to_owned())), key(Value::Bytes(b"a".to_vec())));
        assert_ne!(key(Value::Text("a".to_owned())), key(Value::Text("b".to_owned())));
    }
}
