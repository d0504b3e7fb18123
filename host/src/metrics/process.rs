//! How the process is. What every program has is called as every program calls it: `process_...`, as Prometheus' own libraries
//! have it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ProcessSeen;
use super::family::{Families, Labels, Observed};
use super::sums;
use crate::observe::Pulse;
use crate::sys::PipeUse;

pub fn write(process: Option<&ProcessSeen>, families: &mut Families<'_, '_>) -> fmt::Result {
    let Some(process) = process else { return Ok(()) };
    families.infos(
        "spliceway_build",
        "Which version this is.",
        [vec![("version", env!("CARGO_PKG_VERSION"))]],
    )?;
    loads(process, families)?;
    workers(process, families)?;
    pipes(process, families)?;
    captures(process, families)?;
    usage(process, families)
}

fn loads(process: &ProcessSeen, families: &mut Families<'_, '_>) -> fmt::Result {
    let loads = process.loads;
    families.counters(
        "spliceway_config_loads",
        "Configurations that came into force, the first one among them, and those that were rejected.",
        [("applied", loads.applied), ("rejected", loads.rejected)]
            .map(|(result, count)| (vec![("result", result)], count)),
    )?;
    families.gauges(
        "spliceway_config_last_load_successful",
        "Whether the newest configuration is the one in force.",
        alone(f64::from(u8::from(loads.last_was_applied))),
    )?;
    families.gauges(
        "spliceway_config_applied_timestamp_seconds",
        "When the configuration in force came into force.",
        alone(timestamp(loads.applied_at)),
    )
}

fn workers(process: &ProcessSeen, families: &mut Families<'_, '_>) -> fmt::Result {
    let per = |read: fn(&Pulse) -> Observed| {
        let workers = process.workers.iter();
        workers.map(move |(worker, pulse)| (vec![("worker", &**worker)], read(pulse)))
    };
    families.histograms(
        "spliceway_worker_loop_delay_seconds",
        "How late a timer of the worker's came, once a second.",
        per(|pulse| Observed::of(&pulse.delay)),
    )?;
    families.gauges(
        "spliceway_worker_silent_seconds",
        "How long ago the worker was seen last: about a second at the most, unless something holds it up.",
        process.workers.iter().map(|(worker, pulse)| {
            let silent = process.at.saturating_duration_since(pulse.last);
            (vec![("worker", &**worker)], silent.as_secs_f64())
        }),
    )?;
    let moved = process.workers.iter().zip(&process.moved);
    families.counters(
        "spliceway_worker_bytes",
        "Bytes of the worker's connections, those that are open among them: counted while they move.",
        sums::bytes(moved.map(|((worker, _), moved)| (vec![("worker", &**worker)], *moved))),
    )
}

fn pipes(process: &ProcessSeen, families: &mut Families<'_, '_>) -> fmt::Result {
    let sum = |read: fn(&PipeUse) -> usize| -> f64 {
        let pipes = process.workers.iter().map(|(_, pulse)| read(&pulse.pipes));
        pipes.sum::<usize>() as f64
    };
    families.gauges(
        "spliceway_pipes",
        "Pipes that are open: lent to connections, or idle. Looked at once a second.",
        [("lent", sum(|pipes| pipes.lent)), ("idle", sum(|pipes| pipes.idle))]
            .map(|(state, count)| (vec![("state", state)], count)),
    )?;
    families.gauges(
        "spliceway_pipes_limit",
        "How many may be lent at once.",
        alone(sum(|pipes| pipes.most)),
    )?;
    families.counters(
        "spliceway_pipes_refused",
        "How often there was none, so that bytes were copied.",
        alone(
            process
                .workers
                .iter()
                .map(|(_, pulse)| pulse.pipes.refusals)
                .sum::<u64>(),
        ),
    )
}

fn captures(process: &ProcessSeen, families: &mut Families<'_, '_>) -> fmt::Result {
    let recorded = process.recorded;
    families.counters(
        "spliceway_capture_records",
        "What captures were told of connections, and was written, or was dropped since it came faster than that.",
        [("written", recorded.events), ("dropped", recorded.lost)]
            .map(|(result, count)| (vec![("result", result)], count)),
    )?;
    families.counters(
        "spliceway_capture_bytes",
        "Written to the files of captures.",
        alone(recorded.bytes),
    )?;
    families.counters(
        "spliceway_capture_failures",
        "How often a file of a capture could not be written.",
        alone(recorded.failures),
    )
}

fn usage(process: &ProcessSeen, families: &mut Families<'_, '_>) -> fmt::Result {
    let usage = process.usage;
    families.sums(
        "process_cpu_seconds",
        "CPU time, of the process and the kernel for it.",
        alone(usage.cpu.as_secs_f64()),
    )?;
    families.gauges("process_open_fds", "Open descriptors.", alone(usage.descriptors as f64))?;
    families.gauges(
        "process_max_fds",
        "How many there may be.",
        alone(usage.most_descriptors.map_or(f64::INFINITY, |most| most as f64)),
    )?;
    families.gauges(
        "process_resident_memory_bytes",
        "Memory that is in use.",
        alone(usage.resident as f64),
    )?;
    families.gauges(
        "process_virtual_memory_bytes",
        "Addresses that are in use.",
        alone(usage.virtual_size as f64),
    )?;
    families.gauges(
        "process_start_time_seconds",
        "When it started.",
        alone(timestamp(process.started)),
    )
}

/// The only sample of its family.
fn alone<T>(value: T) -> [(Labels<'static>, T); 1] {
    [(Vec::new(), value)]
}

fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
