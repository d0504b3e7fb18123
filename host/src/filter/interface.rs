//! What a component imports and exports, for those who publish it.

use super::component::link;
use super::engine::Engine;
use crate::config::Grant;

/// The names of interfaces, as they are in the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub exports: Vec<String>,
    pub imports: Vec<String>,
}

impl Interface {
    /// Of a filter that this host can load. Takes tens of milliseconds, for it is compiled.
    ///
    /// # Errors
    /// It is no filter, or one for another version of the contract.
    pub fn of(bytes: &[u8]) -> anyhow::Result<Self> {
        let engine = Engine::new()?;
        let linked = link(&engine, bytes, &Grant::ALL)?;
        let component = linked.pre.component().component_type();
        let exports = component.exports(engine.wasmtime()).map(|(name, _)| name.to_owned());
        Ok(Self {
            exports: exports.collect(),
            imports: linked.imports,
        })
    }
}
