//! What depends on where the filter runs: inside the proxy, or natively in a test.
//!
//! `host` has the same functions in both: the proxy's, or the stand-ins of `testing`.

#[cfg(all(target_arch = "wasm32", target_os = "unknown", feature = "allocator"))]
mod allocator;
#[cfg(target_arch = "wasm32")]
mod bindings;
#[cfg(target_arch = "wasm32")]
pub mod exports;
#[cfg(target_arch = "wasm32")]
pub(crate) mod host;
#[cfg(target_arch = "wasm32")]
mod panic;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host;
