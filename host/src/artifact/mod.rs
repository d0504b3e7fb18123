//! Where the code of filters comes from: files, and registries that speak the OCI distribution protocol; and whether it may be
//! loaded.
//!
//! A [`Library`] answers for all of it. What it gives is checked against the digests that led to it and against `[[trust]]`,
//! whether it comes from a file, from a registry or from the cache. It waits for networks: nothing for a worker.

mod cache;
mod layout;
mod library;
mod patience;
mod publish;
mod registry;
mod trouble;
mod trust;

pub use library::{Library, Material, Origin};
pub use patience::Patience;
pub use publish::{Labels, Listed, Release, attach, list, publish};
pub use registry::Session;
pub use trouble::Trouble;

/// A component larger than this is neither pulled nor compiled: that would take minutes. A filter from Rust has 30 to 200 KiB,
/// one from Python 18 MiB, which are an interpreter.
pub const LARGEST_COMPONENT: u64 = 32 << 20;

/// The text of a signature has a few hundred bytes.
const LARGEST_SIGNATURE: u64 = 16 << 10;

/// Where the signature of a file lies: as minisign has it.
pub fn signature_file(component: &std::path::Path) -> std::path::PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}
