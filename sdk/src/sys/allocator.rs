/// Starts in the memory that an instance is born with, from `__heap_base` to its end. The standard library's allocator
/// asks for more on its first allocation, which costs the host 6 µs in each connection that has its own instance.
///
/// It hands out that memory only if it holds 64 KiB: hence `--initial-memory` in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
