//! From a file to code that can be instantiated, or to the reason why not.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};

use super::abi::{inspector, lifecycle, observer, router};
use super::engine::{Engine, MAX_MEMORY};
use super::instance::State;
use super::{host, wasi};

/// A file larger than this is not compiled: it would take minutes. A filter from Rust has 30 to 200 KiB.
const LARGEST_FILE: u64 = 8 << 20;

/// A page of linear memory (WebAssembly core specification, 4.2.8).
const PAGE: u64 = 64 << 10;

/// The package whose interfaces a filter imports and exports, and the version that this host speaks.
const PACKAGE: &str = "spliceway:filter/";
const VERSION: &str = "0.1.0";

/// The SHA-256 of a component's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads a component's file.
///
/// # Errors
/// It cannot be read, or is larger than any filter should be.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(failed)?.len();
    ensure!(
        size <= LARGEST_FILE,
        "{} has {size} bytes: a filter may have {LARGEST_FILE}",
        path.display()
    );
    std::fs::read(path).with_context(failed)
}

/// Which roles a component has, found by its exports.
#[derive(Clone)]
pub(super) struct Roles {
    pub lifecycle: Option<lifecycle::LifecycleExportIndices>,
    pub router: Option<router::RouterExportIndices>,
    pub inspector: Option<inspector::InspectorExportIndices>,
    pub observer: Option<observer::ObserverExportIndices>,
}

/// Compiled and linked: an instance is one step away.
#[derive(Clone)]
pub(super) struct Linked {
    pub pre: InstancePre<State>,
    pub roles: Roles,
    /// The component imports WASI, so its instances need a context for it.
    pub wasi: bool,
}

/// Compiles a component and checks everything that can be known before it runs. Takes tens of milliseconds: not for a worker.
pub(super) fn link(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Linked> {
    ensure!(
        wasmtime::Engine::detect_precompiled(bytes).is_none(),
        "this is precompiled code, which cannot be checked: a filter comes as a WebAssembly component"
    );
    let component = match Component::from_binary(engine.wasmtime(), bytes) {
        Ok(component) => component,
        Err(_) if bytes.starts_with(b"\0asm\x01\0\0\0") => bail!(
            "this is a WebAssembly module and not a component: build it with the linker `wasm-component-ld`, as the SDK does"
        ),
        Err(error) => bail!("this is no valid WebAssembly component: {error:#}"),
    };
    let exports = exports(engine, &component)?;
    let wasi = check_imports(engine, &component)?;
    check_size(&component)?;

    instantiable(engine, &component, &exports, wasi).map_err(|error| anyhow!("it cannot be linked: {error:#}"))
}

fn instantiable(engine: &Engine, component: &Component, exports: &[String], wasi: bool) -> wasmtime::Result<Linked> {
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
        observer: has("observer")
            .then(|| observer::ObserverExportIndices::new(&pre))
            .transpose()?,
    };
    Ok(Linked { pre, roles, wasi })
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
    ensure!(
        !known.iter().any(|role| role == "transformer"),
        "it is a transformer, and this version of Spliceway runs routers, inspectors and observers only"
    );
    let is_role = |name: &String| matches!(name.as_str(), "router" | "inspector" | "observer");
    ensure!(
        known.iter().any(is_role),
        "it has no role: a filter exports at least one of `{PACKAGE}router`, `{PACKAGE}inspector` and `{PACKAGE}observer` at \
         version {VERSION}; in Rust, `spliceway_sdk::export_router!` and its sisters do that"
    );
    Ok(known)
}

/// Whether it imports WASI, if it imports nothing that no host offers.
fn check_imports(engine: &Engine, component: &Component) -> anyhow::Result<bool> {
    const OFFERED: [&str; 7] = [
        "types",
        "connection",
        "environment",
        "log",
        "metrics",
        "store",
        "upstreams",
    ];
    let mut wasi = false;
    let mut unknown = Vec::new();
    for (name, _) in component.component_type().imports(engine.wasmtime()) {
        let ours = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'));
        match ours {
            Some((interface, VERSION)) if OFFERED.contains(&interface) => {}
            None if name.starts_with("wasi:") => wasi = true,
            _ => unknown.push(format!("`{name}`")),
        }
    }
    ensure!(
        unknown.is_empty(),
        "it imports {}, which this host does not offer: a filter may import `{PACKAGE}*@{VERSION}` and nothing else",
        unknown.join(", ")
    );
    Ok(wasi)
}

/// What the pool has no slot for is said here and not when the first connection comes.
fn check_size(component: &Component) -> anyhow::Result<()> {
    let Some(needed) = component.resources_required() else {
        bail!("it contains components or modules whose size cannot be known before they run");
    };
    ensure!(
        needed.num_memories <= 1,
        "it has {} memories: a filter may have one",
        needed.num_memories
    );
    let memory = needed.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    ensure!(
        memory <= MAX_MEMORY as u64,
        "it starts with {memory} bytes of memory: a filter may have {MAX_MEMORY}"
    );
    Ok(())
}
