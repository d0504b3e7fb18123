//! Tables that have a name: `[filters.NAME]`, `[upstreams.NAME]`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::diagnostics::{Problems, Reported, all};
use super::name::Name;
use super::reader::{Given, Read, Value, wrong_type};

/// Tables by name, in the order of the file.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<Entry<T>>);

/// One of them.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// As typed, so that a reference to a table with an impossible name is not a second problem.
    pub(super) key: String,
    pub(super) name: Result<Name, Reported>,
    pub(super) table: Given<T>,
}

impl<T: Read> Read for Named<T> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Table(entries) = value.get_ref() else {
            return Err(wrong_type(value, "tables with names, as in `[filters.NAME]`", problems));
        };
        // TOML's tree sorts by name; what is done in the order of this list should follow the file.
        let mut in_order: Vec<_> = entries.iter().collect();
        in_order.sort_by_key(|(key, _)| key.span().start);
        let entries = in_order.into_iter().map(|(key, table)| {
            let text = key.get_ref();
            Ok(Entry {
                key: text.to_string(),
                name: Name::check(text, key.span(), problems),
                table: Given::read(table, problems)?,
            })
        });
        all(entries).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": Name::PATTERN },
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}
