//! An observer that logs every record as it gets it, for tests of the host.

use spliceway_sdk::log::{self, Field, FieldValue, Level};
use spliceway_sdk::prelude::{Closed, Observer};
use spliceway_sdk::{Config, export_config, export_observer};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recorder {}

impl Config for Recorder {}

impl Observer for Recorder {
    fn on_closed(&self, batch: &[Closed]) {
        for closed in batch {
            let message = format!(
                "closed {} {} {:?} {:?} {:?} {} {} {}",
                closed.connection,
                closed.listener,
                closed.client,
                closed.upstream,
                closed.server,
                closed.up.total(),
                closed.down.total(),
                closed.outcome,
            );
            let attributes = closed.attributes.iter();
            let fields: Vec<_> = attributes
                .map(|attribute| Field::new(&attribute.key, &attribute.value))
                .collect();
            log::emit(Level::Info, &message, &fields);
        }
        let values = [1, 2, 3, 4, 5, 6].map(|number| (number != 5).then(|| FieldValue::from(number)));
        log::emit_batch(Level::Info, "batch", &["one", "other", "one"], &values);
    }
}

export_config!(Recorder);
export_observer!(Recorder);
