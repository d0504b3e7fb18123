//! Our narrow view of wasmtime: the only place that configures it. The figures are from the measurements in the project's
//! notes on hosting filters; the reasons stand beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// What a memory may grow to at the most, whatever a filter's own limit says.
pub const MAX_MEMORY: usize = 16 << 20;

/// How often running calls are looked at. A call's limit is kept to within two ticks; 200 wake-ups a second cost a core less
/// than 0.1 %, 1000 cost 0.5 %.
const TICK: Duration = Duration::from_millis(5);

/// More instances than this would need more than 16 TiB of address space at 4 GiB each, of the 128 TiB that there are.
const MOST_INSTANCES: u32 = 4096;

/// Kernel memory maps (vm.max_map_count) of one live instance: its memory and guards, and the image it was copied from.
const MAPS_PER_INSTANCE: u32 = 4;

/// Maps left for everything else in the process. At the limit malloc fails too, and the process with it.
const MAPS_KEPT: u32 = 16_384;

/// Compiles components and runs their instances. One per process; ends its ticker when it is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    budget: Arc<Budget>,
}

impl Engine {
    /// # Errors
    /// The machine cannot run wasmtime: no address space, no signal handlers.
    pub fn new() -> anyhow::Result<Self> {
        let instances = affordable_instances(max_map_count());
        // 4 GiB of address space for each memory: then no access needs a bounds check, which makes loops over bytes 1.4 to
        // 1.8 times as fast. Under RLIMIT_AS or in a small address space there is no room for that.
        let inner = wasmtime::Engine::new(&config(instances, 4 << 30))
            .or_else(|_| wasmtime::Engine::new(&config(instances, 64 << 20)))
            .map_err(|error| anyhow!("cannot prepare to run filters: {error:#}"))?;
        start_ticker(inner.weak())?;
        let budget = Arc::new(Budget {
            left: AtomicU32::new(instances),
        });
        Ok(Self { inner, budget })
    }

    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The right to one more instance, or `None`: then sessions share one.
    pub(super) fn admit(&self) -> Option<Permit> {
        let take = |left: u32| left.checked_sub(1);
        self.budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(Permit(Arc::clone(&self.budget)))
    }
}

/// How many ticks make up at least `time`.
pub(super) fn ticks(time: Duration) -> u64 {
    let ticks = time.as_micros().div_ceil(TICK.as_micros());
    // One more: the tick that is under way may be over at once.
    u64::try_from(ticks).unwrap_or(u64::MAX - 1) + 1
}

struct Budget {
    left: AtomicU32,
}

/// Given back when its instance is gone.
pub(super) struct Permit(Arc<Budget>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Relaxed);
    }
}

fn affordable_instances(max_map_count: u32) -> u32 {
    (max_map_count.saturating_sub(MAPS_KEPT) / MAPS_PER_INSTANCE).clamp(64, MOST_INSTANCES)
}

fn max_map_count() -> u32 {
    let file = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    // The kernel's default, where /proc is hidden.
    file.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65_530)
}

fn config(instances: u32, reservation: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(MAX_MEMORY)
        .total_memories(instances)
        .total_component_instances(instances)
        // A component from Rust consists of three core instances, one with an adapter inside of five.
        .total_core_instances(instances.saturating_mul(5))
        .total_tables(instances.saturating_mul(3))
        .max_core_instances_per_component(16)
        .max_memories_per_component(1)
        .max_tables_per_component(8)
        // Function pointers: a table of 2000 is four times what a large filter has.
        .table_elements(2000)
        .max_component_instance_size(64 << 10)
        .max_core_instance_size(64 << 10)
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
        // A filter needs none of these, and what is off cannot have a bug.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false);
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
        assert_eq!(affordable_instances(65_530), MOST_INSTANCES);
        assert_eq!(affordable_instances(20_384), 1000);
        assert_eq!(affordable_instances(0), 64);
    }

    #[test]
    fn a_permit_comes_back_when_its_instance_is_gone() {
        let engine = Engine::new().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| engine.admit()).collect();
        assert!(engine.admit().is_none());
        drop(all);
        assert!(engine.admit().is_some());
    }
}
