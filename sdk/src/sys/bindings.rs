//! What wit-bindgen makes of the contract. One world per export: of a bigger world, a filter could not export a part.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    unused_imports,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

pub mod base {
    wit_bindgen::generate!({ path: "wit/v0.1", world: "base", generate_all });
}

/// The log once more, with strings that are borrowed: its records are many, and live for one call.
pub mod log {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        world: "base",
        ownership: Borrowing { duplicate_if_necessary: true },
        type_section_suffix: "log",
        with: {
            "spliceway:filter/types@0.1.0/endpoint": crate::sys::bindings::base::spliceway::filter::types::Endpoint,
            "spliceway:filter/types@0.1.0/ip-address": crate::sys::bindings::base::spliceway::filter::types::IpAddress,
        },
        generate_all,
    });
}

macro_rules! export_world {
    ($role:ident, $world:literal, $macro:literal) => {
        pub mod $role {
            wit_bindgen::generate!({
                path: "wit/v0.1",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                with: {
                    "spliceway:filter/types@0.1.0": super::base::spliceway::filter::types,
                    "spliceway:filter/connection@0.1.0": super::base::spliceway::filter::connection,
                    "spliceway:filter/environment@0.1.0": super::base::spliceway::filter::environment,
                    "spliceway:filter/log@0.1.0": super::base::spliceway::filter::log,
                    "spliceway:filter/metrics@0.1.0": super::base::spliceway::filter::metrics,
                    "spliceway:filter/store@0.1.0": super::base::spliceway::filter::store,
                    "spliceway:filter/upstreams@0.1.0": super::base::spliceway::filter::upstreams,
                },
            });
        }
    };
}

export_world!(lifecycle, "lifecycle-export", "lifecycle_world");
export_world!(router, "router-export", "router_world");
export_world!(inspector, "inspector-export", "inspector_world");
export_world!(transformer, "transformer-export", "transformer_world");
export_world!(observer, "observer-export", "observer_world");
