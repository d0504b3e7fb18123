//! Our narrow view of wasmtime: the only place that configures it. The figures are from the measurements in the project's
//! notes on hosting filters; the reasons stand beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::families::Families;

/// What a memory may grow to at the most, whatever a filter's own limit says: five times what Python begins with.
pub const MAX_MEMORY: usize = 64 << 20;

/// Memories of one component. One from Rust, C or Python has one, one from JavaScript three, one whose libraries are
/// components of their own up to ten.
pub const MAX_MEMORIES: usize = 16;

/// Likewise tables.
pub const MAX_TABLES: usize = 16;

/// Function pointers of one table. A large filter from Rust has 500, Python has 5700.
pub const MAX_TABLE: usize = 16_384;

/// How often running calls are looked at. A call's limit is kept to within two ticks; 200 wake-ups a second cost a core less
/// than 0.1 %, 1000 cost 0.5 %.
const TICK: Duration = Duration::from_millis(5);

/// More memories than this would need more than 16 TiB of address space at 4 GiB each, of the 128 TiB that there are.
const MOST_MEMORIES: u32 = 4096;

/// Kernel memory maps (vm.max_map_count) of one live memory: itself and its guards, and the image it was copied from.
const MAPS_PER_MEMORY: u32 = 4;

/// Maps left for everything else in the process. At the limit malloc fails too, and the process with it.
const MAPS_KEPT: u32 = 16_384;

/// Compiles components and runs their instances. One per process; ends its ticker when it is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    budget: Arc<Budget>,
    families: Arc<Families>,
}

impl Engine {
    /// # Errors
    /// The machine cannot run wasmtime: no address space, no signal handlers.
    pub fn new() -> anyhow::Result<Self> {
        let memories = affordable_memories(max_map_count());
        // 4 GiB of address space for each memory: then no access needs a bounds check, which makes loops over bytes 1.4 to
        // 1.8 times as fast. Under RLIMIT_AS or in a small address space there is no room for that.
        let inner = wasmtime::Engine::new(&config(memories, 4 << 30))
            .or_else(|_| wasmtime::Engine::new(&config(memories, MAX_MEMORY as u64)))
            .map_err(|error| anyhow!("cannot prepare to run filters: {error:#}"))?;
        start_ticker(inner.weak())?;
        let budget = Arc::new(Budget {
            left: AtomicU32::new(memories),
        });
        Ok(Self {
            inner,
            budget,
            families: Arc::default(),
        })
    }

    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// What the metrics of all filters are called.
    pub(super) fn families(&self) -> &Families {
        &self.families
    }

    /// The right to one more instance with so many memories, or `None`: then sessions share one.
    pub(super) fn admit(&self, memories: u32) -> Option<Permit> {
        let take = |left: u32| left.checked_sub(memories);
        self.budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(Permit {
            budget: Arc::clone(&self.budget),
            memories,
        })
    }
}

/// How many ticks make up at least `time`.
pub(super) fn ticks(time: Duration) -> u64 {
    const TICK_MICROS: u64 = TICK.as_micros() as u64;
    // For every call: u128, which microseconds come in, takes as long to divide as all else that is done for it.
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    // One more: the tick that is under way may be over at once.
    micros.div_ceil(TICK_MICROS) + 1
}

/// Counted in memories: it is they that use up the kernel's maps.
struct Budget {
    left: AtomicU32,
}

/// Given back when its instance is gone.
pub(super) struct Permit {
    budget: Arc<Budget>,
    memories: u32,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.memories, Ordering::Relaxed);
    }
}

fn affordable_memories(max_map_count: u32) -> u32 {
    (max_map_count.saturating_sub(MAPS_KEPT) / MAPS_PER_MEMORY).clamp(64, MOST_MEMORIES)
}

fn max_map_count() -> u32 {
    let file = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    // The kernel's default, where /proc is hidden.
    file.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65_530)
}

fn config(memories: u32, reservation: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(MAX_MEMORY)
        .total_memories(memories)
        // An instance has a memory, or nearly nothing.
        .total_component_instances(memories)
        // Of one memory: three core instances from Rust, five with an adapter inside, seven with an interpreter.
        .total_core_instances(memories.saturating_mul(8))
        .total_tables(memories.saturating_mul(3))
        .max_core_instances_per_component(64)
        .max_memories_per_component(MAX_MEMORIES as u32)
        .max_tables_per_component(MAX_TABLES as u32)
        .table_elements(MAX_TABLE)
        // A few words for each function that is exported or pointed to, and an interpreter has ten thousand. Not kept ready.
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(512 << 10)
        // Calls that wait do not exist here, so there are no stacks to keep.
        .total_stacks(0)
        .max_unused_warm_slots(64)
        // Slots are reset by asking the kernel which pages were touched (Linux 6.7), not by giving them back.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .cranelift_opt_level(OptLevel::Speed)
        .memory_reservation(reservation)
        .memory_guard_size(32 << 20)
        .memory_may_move(false)
        .epoch_interruption(true)
        // On, it makes every call 2.2 to 3.5 times as dear; filters' calls neither wait nor overlap.
        .concurrency_support(false)
        // The code between the components of which a filter is made, as one from JavaScript is, has the memories of both.
        .wasm_multi_memory(true)
        // The interpreter of JavaScript goes from one instruction to the next by it.
        .wasm_tail_call(true)
        // Where a component has line numbers, a failure says them. What has none pays nothing.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        // A filter needs none of these, and what is off cannot have a bug.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}

/// Advances the epoch for as long as the engine lives.
fn start_ticker(engine: EngineWeak) -> anyhow::Result<()> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new()
        .name("filter-ticker".to_owned())
        .spawn(tick)
        .context("cannot start the thread that ends calls which take too long")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_leaves_room_in_the_kernels_memory_maps() {
        assert_eq!(affordable_memories(65_530), MOST_MEMORIES);
        assert_eq!(affordable_memories(20_384), 1000);
        assert_eq!(affordable_memories(0), 64);
    }

    #[test]
    fn a_permit_comes_back_when_its_instance_is_gone() {
        let engine = Engine::new().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| engine.admit(1)).collect();
        assert!(engine.admit(1).is_none());
        drop(all);
        assert!(engine.admit(1).is_some());
    }

    #[test]
    fn an_instance_with_ten_memories_takes_the_place_of_ten() {
        let engine = Engine::new().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| engine.admit(1)).collect();
        let mut ones = all.into_iter();
        drop(ones.by_ref().take(19).collect::<Vec<_>>());

        let ten = engine.admit(10).unwrap();
        assert!(engine.admit(10).is_none(), "nine are left");
        drop(ten);
        let both = [engine.admit(10).unwrap(), engine.admit(9).unwrap()];
        assert!(engine.admit(1).is_none());
        drop((both, ones));
    }
}
