//! A filter's own configuration: any TOML, as the JSON that the filter receives.

use serde_json::{Map, Number, Value as Json};
use toml::de::{DeFloat, DeInteger, DeValue};

use super::diagnostics::{Problem, Problems, Reported, all};
use super::reader::{Read, Value};

impl Read for Json {
    /// Dates and times become strings. The parser limits how deep values may be, hence how deep this goes.
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let number = match value.get_ref() {
            DeValue::String(text) => return Ok(Self::String(text.to_string())),
            DeValue::Boolean(boolean) => return Ok(Self::Bool(*boolean)),
            DeValue::Datetime(datetime) => return Ok(Self::String(datetime.to_string())),
            DeValue::Array(_) => return Vec::read(value, problems).map(Self::Array),
            DeValue::Table(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, inner)| Ok((key.get_ref().to_string(), Self::read(inner, problems)?)));
                return all(entries).map(|entries| Self::Object(Map::from_iter(entries)));
            }
            DeValue::Integer(integer) => from_integer(integer),
            DeValue::Float(float) => from_float(float),
        };
        number.map(Self::Number).ok_or_else(|| {
            let problem = Problem::at(value.span(), "this number cannot be given to a filter");
            problems.report(problem.label("its configuration reaches it as JSON, which has no such number"))
        })
    }
}

fn from_integer(integer: &DeInteger<'_>) -> Option<Number> {
    let (digits, radix) = (integer.as_str(), integer.radix());
    let signed = i64::from_str_radix(digits, radix).map(Number::from);
    signed
        .or_else(|_| u64::from_str_radix(digits, radix).map(Number::from))
        .ok()
}

/// Neither infinite nor not a number.
fn from_float(float: &DeFloat<'_>) -> Option<Number> {
    float.as_str().parse().ok().and_then(Number::from_f64)
}
