//! From a file to code that can be instantiated, or to the reason why not.

use std::fmt::Display;

use anyhow::{anyhow, bail, ensure};
use wasmtime::component::{Component, InstancePre, Linker};

use super::abi::{inspector, lifecycle, observer, router, transformer};
use super::engine::{Engine, MAX_MEMORIES, MAX_MEMORY, MAX_TABLE, MAX_TABLES};
use super::instance::State;
use super::tally::Role;
use super::{host, wasi};
use crate::config::Grant;

/// A page of linear memory (WebAssembly core specification, 4.2.8).
const PAGE: u64 = 64 << 10;

/// The package whose interfaces a filter imports and exports, and the version that this host speaks.
const PACKAGE: &str = "spliceway:filter/";
pub const VERSION: &str = "0.1.0";

/// Which roles a component has, found by its exports.
#[derive(Clone)]
pub(super) struct Roles {
    pub lifecycle: Option<lifecycle::LifecycleExportIndices>,
    pub router: Option<router::RouterExportIndices>,
    pub inspector: Option<inspector::InspectorExportIndices>,
    pub transformer: Option<transformer::TransformerExportIndices>,
    pub observer: Option<observer::ObserverExportIndices>,
}

/// Compiled and linked: an instance is one step away.
#[derive(Clone)]
pub(super) struct Linked {
    pub pre: InstancePre<State>,
    pub roles: Roles,
    /// The component imports WASI, so its instances need a context for it.
    pub wasi: bool,
    /// What an instance takes of the engine's budget.
    pub memories: u32,
    /// The names of all interfaces that it imports, as they are in its file.
    pub imports: Vec<String>,
    /// Bytes of its file.
    pub size: usize,
}

impl Roles {
    pub fn has(&self, role: Role) -> bool {
        match role {
            Role::Router => self.router.is_some(),
            Role::Inspector => self.inspector.is_some(),
            Role::Transformer => self.transformer.is_some(),
            Role::Observer => self.observer.is_some(),
        }
    }

    /// As the contract calls them.
    pub fn names(&self) -> Vec<&'static str> {
        let roles = Role::ALL.into_iter().filter(|role| self.has(*role));
        roles.map(Role::name).collect()
    }
}

/// Compiles a component and checks everything that can be known before it runs. Takes tens of milliseconds: not for a worker.
pub(super) fn link(engine: &Engine, bytes: &[u8], grants: &[Grant]) -> anyhow::Result<Linked> {
    let component = compile(engine, bytes)?;
    let exports = exports(engine, &component)?;
    let imports = imports(engine, &component)?;
    check_grants(&imports, grants)?;
    let memories = check_size(&component)?;

    let linked = instantiable(engine, &component, &exports, imports);
    let linked = linked.map_err(|error| anyhow!("it cannot be linked: {error:#}"))?;
    Ok(Linked {
        memories,
        size: bytes.len(),
        ..linked
    })
}

fn compile(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Component> {
    ensure!(
        wasmtime::Engine::detect_precompiled(bytes).is_none(),
        "this is precompiled code, which cannot be checked: a filter comes as a WebAssembly component"
    );
    match Component::from_binary(engine.wasmtime(), bytes) {
        Ok(component) => Ok(component),
        Err(_) if bytes.starts_with(b"\0asm\x01\0\0\0") => bail!(
            "this is a WebAssembly module and not a component: build it with the linker `wasm-component-ld`, as the SDK does"
        ),
        Err(_) if !bytes.starts_with(b"\0asm") => {
            bail!("this is no valid WebAssembly component: it does not even begin as WebAssembly does")
        }
        Err(error) => bail!("this is no valid WebAssembly component: {error:#}"),
    }
}

/// What can be found out of a file that need not load.
#[derive(Default)]
pub struct Examined {
    /// As they are in the file.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub roles: Vec<&'static str>,
    /// The versions of the contract that it exports roles of.
    pub contracts: Vec<String>,
    /// Each reason for which it does not load.
    pub problems: Vec<String>,
}

/// Everything that [`link`] would say, not just the first of it; and what it would give, grants aside.
pub(super) fn examine(engine: &Engine, bytes: &[u8], grants: &[Grant]) -> (Examined, Option<Linked>) {
    let mut examined = Examined::default();
    let component = match compile(engine, bytes) {
        Ok(component) => component,
        Err(error) => {
            examined.problems.push(format!("{error:#}"));
            return (examined, None);
        }
    };
    examined.read(engine, &component);
    let (exports, imports) = (exports(engine, &component), imports(engine, &component));
    let (granted, memories) = (check_grants(&examined.imports, grants), check_size(&component));
    let wrong = [
        exports.as_ref().err(),
        imports.as_ref().err(),
        granted.as_ref().err(),
        memories.as_ref().err(),
    ];
    let wrong = wrong.into_iter().flatten().map(|error| format!("{error:#}"));
    examined.problems.extend(wrong);
    let (Ok(exports), Ok(imports), Ok(memories)) = (exports, imports, memories) else {
        return (examined, None);
    };
    match instantiable(engine, &component, &exports, imports) {
        Ok(linked) => {
            let size = bytes.len();
            (
                examined,
                Some(Linked {
                    memories,
                    size,
                    ..linked
                }),
            )
        }
        Err(error) => {
            examined.problems.push(format!("it cannot be linked: {error:#}"));
            (examined, None)
        }
    }
}

impl Examined {
    /// What the component says of itself.
    fn read(&mut self, engine: &Engine, component: &Component) {
        let kind = component.component_type();
        self.exports = kind
            .exports(engine.wasmtime())
            .map(|(name, _)| name.to_owned())
            .collect();
        self.imports = kind
            .imports(engine.wasmtime())
            .map(|(name, _)| name.to_owned())
            .collect();
        let ours: Vec<_> = self.exports.iter().filter_map(|name| contract(name)).collect();
        let is_exported = |role: &Role| ours.iter().any(|(name, _)| *name == role.name());
        self.roles = Role::ALL.into_iter().filter(is_exported).map(Role::name).collect();
        let imported = self.imports.iter().filter_map(|name| contract(name));
        self.contracts = ours
            .iter()
            .copied()
            .chain(imported)
            .map(|(_, version)| version.to_owned())
            .collect();
        self.contracts.sort();
        self.contracts.dedup();
    }
}

/// The interface and the version, of one of the contract's.
fn contract(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').unwrap_or((name, "")))
}

fn instantiable(
    engine: &Engine,
    component: &Component,
    exports: &[String],
    imports: Vec<String>,
) -> wasmtime::Result<Linked> {
    let wasi = imports.iter().any(|import| is_wasi(import));
    let mut linker = Linker::new(engine.wasmtime());
    host::link(&mut linker)?;
    if wasi {
        wasi::link(&mut linker, component)?;
    }
    let pre = linker.instantiate_pre(component)?;
    let has = |role: &str| exports.iter().any(|export| export == role);
    let roles = Roles {
        lifecycle: has("lifecycle")
            .then(|| lifecycle::LifecycleExportIndices::new(&pre))
            .transpose()?,
        router: has("router")
            .then(|| router::RouterExportIndices::new(&pre))
            .transpose()?,
        inspector: has("inspector")
            .then(|| inspector::InspectorExportIndices::new(&pre))
            .transpose()?,
        transformer: has("transformer")
            .then(|| transformer::TransformerExportIndices::new(&pre))
            .transpose()?,
        observer: has("observer")
            .then(|| observer::ObserverExportIndices::new(&pre))
            .transpose()?,
    };
    Ok(Linked {
        pre,
        roles,
        wasi,
        memories: 1,
        imports,
        size: 0,
    })
}

/// The names of the contract's interfaces that the component exports: at least one role.
fn exports(engine: &Engine, component: &Component) -> anyhow::Result<Vec<String>> {
    let mut known = Vec::new();
    for (name, _) in component.component_type().exports(engine.wasmtime()) {
        let Some(interface) = name.strip_prefix(PACKAGE) else {
            continue;
        };
        let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
        ensure!(
            version == VERSION,
            "it exports `{name}`, and this host speaks version {VERSION} of the contract: rebuild it with a matching SDK"
        );
        known.push(interface.to_owned());
    }
    let is_role = |name: &String| Role::ALL.iter().any(|role| role.name() == name);
    ensure!(
        known.iter().any(is_role),
        "it has no role: a filter exports at least one of `{PACKAGE}router`, `{PACKAGE}inspector`, `{PACKAGE}transformer` and \
         `{PACKAGE}observer` at version {VERSION}; in Rust, `spliceway_sdk::export_router!` and its sisters do that"
    );
    Ok(known)
}

/// The names of what it imports, if it imports nothing that no host offers.
fn imports(engine: &Engine, component: &Component) -> anyhow::Result<Vec<String>> {
    let component = component.component_type();
    let imports: Vec<String> = component
        .imports(engine.wasmtime())
        .map(|(name, _)| name.to_owned())
        .collect();
    let is_offered =
        |import: &str| is_wasi(import) || ours(import).is_some_and(|ours| ours == TYPES || grant(ours).is_some());
    let unknown: Vec<_> = imports.iter().filter(|import| !is_offered(import)).collect();
    ensure!(
        unknown.is_empty(),
        "it imports {}, which this host does not offer: a filter may import `{PACKAGE}*@{VERSION}` and nothing else",
        list(unknown, '`')
    );
    Ok(imports)
}

/// The interface that has no functions: everybody may import it.
pub(super) const TYPES: &str = "types";

fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// The name of one of the contract's interfaces.
pub(super) fn ours(import: &str) -> Option<&str> {
    let (interface, version) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    (version == VERSION).then_some(interface)
}

/// What has to be granted for it.
fn grant(interface: &str) -> Option<Grant> {
    let ours = |grant: &Grant| !matches!(grant, Grant::WasiClocks | Grant::WasiRandom);
    let mut grants = Grant::ALL.into_iter().filter(ours);
    grants.find(|grant| grant.name() == interface)
}

/// WASI needs no grant: without one it is there, and empty.
fn check_grants(imports: &[String], grants: &[Grant]) -> anyhow::Result<()> {
    let granted = |interface: &str| grant(interface).is_none_or(|grant| grants.contains(&grant));
    let missing: Vec<&str> = imports
        .iter()
        .filter_map(|import| ours(import))
        .filter(|interface| !granted(interface))
        .collect();
    ensure!(
        missing.is_empty(),
        "it imports {}, which it is not granted: add {} to its `grants`, or build it without",
        list(missing.iter().map(|interface| format!("{PACKAGE}{interface}")), '`'),
        list(&missing, '"')
    );
    Ok(())
}

fn list(names: impl IntoIterator<Item = impl Display>, quote: char) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("{quote}{name}{quote}")).collect();
    names.join(", ")
}

/// What the pool has no slot for is said here and not when the first connection comes. Returns how many memories an instance
/// takes of the engine's budget: without any it is still something.
fn check_size(component: &Component) -> anyhow::Result<u32> {
    let Some(needed) = component.resources_required() else {
        bail!("it contains components or modules whose size cannot be known before they run");
    };
    let bounded = |has: u32, may: usize, what: &str| {
        ensure!(has as usize <= may, "it has {has} {what}: a filter may have {may}");
        Ok(())
    };
    bounded(needed.num_memories, MAX_MEMORIES, "memories")?;
    bounded(needed.num_tables, MAX_TABLES, "tables")?;
    let memory = needed.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    ensure!(
        memory <= MAX_MEMORY as u64,
        "it starts with {memory} bytes of memory: a filter may have {MAX_MEMORY}"
    );
    let table = needed.max_initial_table_size.unwrap_or(0);
    ensure!(
        table <= MAX_TABLE as u64,
        "it starts with {table} elements in a table: a filter may have {MAX_TABLE}"
    );
    Ok(needed.num_memories.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    fn imports(interfaces: &[&str]) -> Vec<String> {
        interfaces
            .iter()
            .map(|name| format!("{PACKAGE}{name}@{VERSION}"))
            .collect()
    }

    #[test]
    fn every_interface_of_ours_is_granted_by_default_and_can_be_withheld() {
        let all = imports(&[
            "types",
            "connection",
            "environment",
            "log",
            "metrics",
            "store",
            "upstreams",
        ]);
        check_grants(&all, defaults::GRANTS).unwrap();
        check_grants(&imports(&["types"]), &[]).unwrap();
        check_grants(&["wasi:clocks/wall-clock@0.2.6".to_owned()], &[]).unwrap();
    }

    #[test]
    fn everything_that_is_not_granted_is_named_at_once() {
        let wanted = imports(&["types", "log", "store", "metrics"]);
        let error = check_grants(&wanted, &[Grant::Log]).unwrap_err().to_string();
        assert_eq!(
            error,
            "it imports `spliceway:filter/store`, `spliceway:filter/metrics`, which it is not granted: add \"store\", \"metrics\" \
             to its `grants`, or build it without"
        );
    }
}
