//! What a filter can find out about the connection that it is asked about, and what it can add.

use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the proxy itself knows of a connection, by key. Answers at once.
pub trait Attributes: std::fmt::Debug + Send + Sync {
    fn attribute(&self, key: &str) -> Option<Value>;

    /// A filter that failed, and how the connection went on: `pass`, `previous`. No attribute, so filters do not see it.
    fn failed(&self) -> Option<(&Arc<str>, &'static str)> {
        None
    }
}

/// One per connection with filters; shared between the connection and the call that is about it.
#[derive(Debug)]
pub struct Facts {
    pub id: u64,
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub listener: Arc<str>,
    /// What is known later stands behind.
    known: Mutex<Vec<Arc<dyn Attributes>>>,
    annotations: Mutex<Vec<Attribute>>,
    tls: AtomicU8,
}

/// Whether a filter may ask for TLS, and whether one has: states of `Facts::tls`.
const TLS_UNAVAILABLE: u8 = 0;
const TLS_OFFERED: u8 = 1;
const TLS_ASKED_FOR: u8 = 2;

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub key: String,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Bytes(Vec<u8>),
    Address(SocketAddr),
}

/// What a connection holds of its filters' annotations: see `annotate` in the contract.
const MOST_ANNOTATIONS: usize = 32;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 1 << 10;

impl Facts {
    pub fn new(id: u64, client: Option<SocketAddr>, local: Option<SocketAddr>, listener: Arc<str>) -> Self {
        Self {
            id,
            client,
            local,
            listener,
            known: Mutex::default(),
            annotations: Mutex::default(),
            tls: AtomicU8::new(TLS_UNAVAILABLE),
        }
    }

    /// Of the same connection, once it is known whose it is.
    pub fn of_client(&self, client: Option<SocketAddr>, local: Option<SocketAddr>, known: Arc<dyn Attributes>) -> Self {
        Self {
            known: Mutex::new(vec![known]),
            ..Self::new(self.id, client, local, Arc::clone(&self.listener))
        }
    }

    /// The proxy has found out more. Of two that know the same key, the later one counts: what is decrypted says more of a
    /// connection than what it is wrapped in.
    pub fn learn(&self, known: Arc<dyn Attributes>) {
        self.known().push(known);
    }

    /// What the proxy knows under this key.
    pub fn known_as(&self, key: &str) -> Option<Value> {
        self.known().iter().rev().find_map(|known| known.attribute(key))
    }

    /// What the proxy knows under this key, or else what a filter has said.
    pub fn attribute(&self, key: &str) -> Option<Value> {
        self.known_as(key).or_else(|| {
            let annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
            let found = annotations.iter().find(|known| known.key == key);
            found.map(|known| known.value.clone())
        })
    }

    /// Filters that have failed, and how the connection went on.
    pub fn failed(&self) -> Vec<(Arc<str>, &'static str)> {
        let known = self.known();
        let failed = known.iter().filter_map(|known| known.failed());
        failed.map(|(filter, action)| (Arc::clone(filter), action)).collect()
    }

    /// Whether a filter that asks for TLS from now on can have it.
    pub fn offer_tls(&self, can_have_it: bool) {
        let state = if can_have_it { TLS_OFFERED } else { TLS_UNAVAILABLE };
        self.tls.store(state, Ordering::Relaxed);
    }

    /// A filter asks for TLS: tells whether it gets it.
    pub fn ask_for_tls(&self) -> bool {
        let gets_it = self.tls.load(Ordering::Relaxed) != TLS_UNAVAILABLE;
        if gets_it {
            self.tls.store(TLS_ASKED_FOR, Ordering::Relaxed);
        }
        gets_it
    }

    /// Whether a filter has asked for TLS since this was asked last.
    pub fn take_request_for_tls(&self) -> bool {
        let asked = TLS_ASKED_FOR;
        let taken = self
            .tls
            .compare_exchange(asked, TLS_OFFERED, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<dyn Attributes>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the annotation, in place of an earlier one with the same key.
    ///
    /// # Errors
    /// It is too long or there are too many; nothing is kept then.
    pub fn annotate(&self, key: String, value: Value) -> Result<(), &'static str> {
        if key.len() > LONGEST_KEY {
            return Err("the key of an annotation is longer than 128 bytes");
        }
        if value.len() > LONGEST_VALUE {
            return Err("the value of an annotation is longer than 1 KiB");
        }
        let mut annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = annotations.iter_mut().find(|known| known.key == key) {
            known.value = value;
        } else if annotations.len() < MOST_ANNOTATIONS {
            annotations.push(Attribute { key, value });
        } else {
            return Err("a connection holds 32 annotations and no more");
        }
        Ok(())
    }

    /// All annotations, in the order in which their keys came.
    pub fn annotations(&self) -> Vec<Attribute> {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All annotations, for the last one who asks.
    pub fn take_annotations(&self) -> Vec<Attribute> {
        mem::take(&mut *self.annotations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Attribute {
    /// In bytes, of what can be long.
    pub fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

impl From<Value> for serde_json::Value {
    /// Bytes as text, with what is no UTF-8 replaced.
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => text.into(),
            Value::Integer(number) => number.into(),
            Value::Boolean(truth) => truth.into(),
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
            Value::Address(address) => address.to_string().into(),
        }
    }
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Integer(_) | Self::Boolean(_) | Self::Address(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts::new(1, None, None, "test".into())
    }

    #[test]
    fn the_last_annotation_of_a_key_counts() {
        let facts = facts();
        facts.annotate("tenant".into(), Value::Text("blue".into())).unwrap();
        facts.annotate("tenant".into(), Value::Integer(7)).unwrap();
        assert_eq!(facts.attribute("tenant"), Some(Value::Integer(7)));
        assert_eq!(facts.annotations().len(), 1);
    }

    #[test]
    fn what_the_proxy_knows_no_filter_can_say_otherwise() {
        #[derive(Debug)]
        struct Known;
        impl Attributes for Known {
            fn attribute(&self, key: &str) -> Option<Value> {
                (key == "known").then_some(Value::Boolean(true))
            }
        }
        let client = Some(([10, 0, 0, 1], 1).into());
        let facts = facts().of_client(client, None, Arc::new(Known));
        assert_eq!((facts.client, facts.local), (client, None));
        for key in ["known", "other"] {
            facts.annotate(key.into(), Value::Boolean(false)).unwrap();
        }
        assert_eq!(facts.attribute("known"), Some(Value::Boolean(true)));
        assert_eq!(facts.attribute("other"), Some(Value::Boolean(false)));
    }

    #[test]
    fn annotations_are_bounded_in_number_and_size() {
        let facts = facts();
        for n in 0..MOST_ANNOTATIONS {
            facts.annotate(n.to_string(), Value::Boolean(true)).unwrap();
        }
        assert!(facts.annotate("one more".into(), Value::Boolean(true)).is_err());
        assert!(
            facts
                .annotate("0".into(), Value::Text("x".repeat(LONGEST_VALUE + 1)))
                .is_err()
        );
        assert!(
            facts
                .annotate("x".repeat(LONGEST_KEY + 1), Value::Boolean(true))
                .is_err()
        );
        assert_eq!(facts.attribute("0"), Some(Value::Boolean(true)));
    }
}
