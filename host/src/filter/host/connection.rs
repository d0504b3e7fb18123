//! `connection`: the one that the current call is about.

use crate::filter::abi::base::spliceway::filter::connection::Host;
use crate::filter::abi::types::{Endpoint, Value};
use crate::filter::instance::State;

impl Host for State {
    fn id(&mut self) -> u64 {
        self.facts.as_ref().map_or(0, |facts| facts.id)
    }

    fn client(&mut self) -> Option<Endpoint> {
        self.facts.as_ref()?.client.map(Endpoint::from)
    }

    fn local(&mut self) -> Option<Endpoint> {
        self.facts.as_ref()?.local.map(Endpoint::from)
    }

    fn listener(&mut self) -> String {
        self.facts
            .as_ref()
            .map_or_else(String::new, |facts| facts.listener.to_string())
    }

    fn attribute(&mut self, key: String) -> Option<Value> {
        self.facts.as_ref()?.attribute(&key).map(Value::from)
    }

    fn start_tls(&mut self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.ask_for_tls())
    }

    fn annotate(&mut self, key: String, value: Value) {
        let Some(facts) = self.facts.clone() else {
            return;
        };
        if let Err(reason) = facts.annotate(key, value.into())
            && tracing::enabled!(tracing::Level::DEBUG)
            && self.may_log(1) == 1
        {
            tracing::debug!(
                filter = %self.generation.name(),
                generation = self.generation.number(),
                connection = facts.id,
                reason,
                "annotation dropped"
            );
        }
    }
}
