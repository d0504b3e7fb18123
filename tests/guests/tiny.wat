;; The smallest inspector that there is: each connection has a session, which wants to see nothing. It is compiled in 4 ms, for
;; tests that load it thousands of times. Beside it is the component, made by hand, since nothing else here is in this language:
;;
;;   wasm-tools component embed wit/v0.1 --world inspector-export tests/guests/tiny.wat -o core.wasm
;;   wasm-tools component new core.wasm -o tests/guests/tiny.wasm
(module
  (import "[export]spliceway:filter/inspector@0.1.0" "[resource-new]session" (func $new (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
  (func (export "spliceway:filter/inspector@0.1.0#[constructor]session") (result i32) (call $new (i32.const 1)))
  (func (export "spliceway:filter/inspector@0.1.0#[method]session.interest") (param i32) (result i32) i32.const 0)
  (func (export "spliceway:filter/inspector@0.1.0#[method]session.on-bytes") (param i32 i32 i32 i32 i32) (result i32) unreachable)
  (func (export "spliceway:filter/inspector@0.1.0#[dtor]session") (param i32)))
