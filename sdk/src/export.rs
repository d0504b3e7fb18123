// Each macro has a second half for `cargo test` and `cargo check` on the author's machine. Symbols like
// "spliceway:filter/router@0.1.0#route" do not link natively; a type that does not fit should be an error there too.

/// Makes a [`Config`](crate::Config) the configuration of this filter. Once in a filter.
///
/// The component makes the JSON Schema of the configuration itself, which takes 100 KB of code. A published filter
/// keeps it in a file instead, named as for [`include_str!`], and has a test that
/// [asserts](crate::testing::assert_schema) that it is up to date:
///
/// ```text
/// export_config!(Tenants, schema = "../schema.json");
/// ```
#[macro_export]
macro_rules! export_config {
    ($config:ty) => {
        $crate::export_config!(@ $config, $crate::__exports::Derived);
    };
    ($config:ty, schema = $path:literal) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            pub struct Stored;
            impl $crate::__exports::Schema for Stored {
                fn schema<C: $crate::Config>() -> String {
                    include_str!($path).to_owned()
                }
            }
            $crate::export_config!(@ $config, Stored);
        };
        $crate::export_config!(@ $config);
    };
    (@ $config:ty, $schema:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__exports::Lifecycle<$config, $schema>;
            $crate::__exports::lifecycle_world!(Exported with_types_in $crate::__exports::lifecycle);
        };
        $crate::export_config!(@ $config);
    };
    (@ $config:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_config<T: $crate::Config>() {}
            is_config::<$config>();
        };
    };
}

/// Makes a [`Router`](crate::Router) a role of this filter.
#[macro_export]
macro_rules! export_router {
    ($router:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__exports::Router<$router>;
    $crate::__exports::router_world!(Exported with_types_in $crate::__exports::router);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_router<T: $crate::Router>() {}
            is_router::<$router>();
        };
    };
}

/// Makes an [`Inspector`](crate::Inspector) a role of this filter.
#[macro_export]
macro_rules! export_inspector {
    ($inspector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__exports::Inspector<$inspector>;
    $crate::__exports::inspector_world!(Exported with_types_in $crate::__exports::inspector);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_inspector<T: $crate::Inspector>() {}
            is_inspector::<$inspector>();
        };
    };
}

/// Makes a [`Transformer`](crate::Transformer) a role of this filter.
#[macro_export]
macro_rules! export_transformer {
    ($transformer:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__exports::Transformer<$transformer>;
    $crate::__exports::transformer_world!(Exported with_types_in $crate::__exports::transformer);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_transformer<T: $crate::Transformer>() {}
            is_transformer::<$transformer>();
        };
    };
}

/// Makes an [`Observer`](crate::Observer) a role of this filter.
#[macro_export]
macro_rules! export_observer {
    ($observer:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__exports::Observer<$observer>;
    $crate::__exports::observer_world!(Exported with_types_in $crate::__exports::observer);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_observer<T: $crate::Observer>() {}
            is_observer::<$observer>();
        };
    };
}
