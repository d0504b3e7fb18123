//! The contract in `wit/v0.1`, as wasmtime's generator sees it. Everything outside this directory speaks of the types in
//! `filter`, not of these.

/// What a filter imports.
pub mod base {
    wasmtime::component::bindgen!({ path: "../wit/v0.1", world: "base" });
}

/// What a filter exports: a world for each, since a filter exports any subset. They share the types of `base`.
macro_rules! export {
    ($module:ident, $world:literal) => {
        pub mod $module {
            wasmtime::component::bindgen!({
                path: "../wit/v0.1",
                world: $world,
                with: {
                    "spliceway:filter/types": super::base::spliceway::filter::types,
                    "spliceway:filter/connection": super::base::spliceway::filter::connection,
                    "spliceway:filter/environment": super::base::spliceway::filter::environment,
                    "spliceway:filter/log": super::base::spliceway::filter::log,
                    "spliceway:filter/metrics": super::base::spliceway::filter::metrics,
                    "spliceway:filter/store": super::base::spliceway::filter::store,
                    "spliceway:filter/upstreams": super::base::spliceway::filter::upstreams,
                },
            });
        }
    };
}

export!(lifecycle, "lifecycle-export");
export!(router, "router-export");
export!(inspector, "inspector-export");
export!(transformer, "transformer-export");
export!(observer, "observer-export");

pub use base::spliceway::filter::types;
