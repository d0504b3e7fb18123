//! `spliceway demo`: the product at work, in one process, in plain words. Nothing here is staged: the servers are small but
//! real, the filters are the ones in `filters/`, and every figure is read from the proxy's own counters.

mod client;
mod server;

use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::runtime::Builder;

use crate::config::{Address, Config, FilterConfig, ListenAddress, ListenerConfig, UpstreamConfig};
use crate::observe::Seen;
use crate::server::Server;
use crate::sys::Peer;

const FILTERS: [&str; 2] = ["postgres-router", "redis-guard"];

const BULK: u64 = 1 << 30;
const PAYLOAD: usize = 32 << 20;

/// Runs the demo with the filters of `directory`.
///
/// # Errors
/// Something does not work as it is told here.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    let filters = Copies::of(directory)?;
    let servers = server::start()?;
    let config = config(&filters, &servers);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let proxy = Arc::new(Server::start(&config)?);
        let watching = proxy.watch_files()?;
        let told = Arc::clone(&proxy);
        let story = tokio::task::spawn_blocking(move || tell(&told, &filters, &servers));
        tokio::select! {
            told = story => told??,
            () = watching => {}
            () = proxy.supervise_filters() => {}
        }
        Ok(())
    })
}

/// The filters' files, copied to where they may be replaced.
struct Copies(tempfile::TempDir);

impl Copies {
    fn of(directory: &Path) -> anyhow::Result<Self> {
        let copies = tempfile::TempDir::new()?;
        for name in FILTERS {
            let file = format!("{name}.wasm");
            let source = directory.join(&file);
            std::fs::copy(&source, copies.path().join(&file))
                .with_context(|| format!("cannot read {}: `make filters` builds it", source.display()))?;
        }
        Ok(Self(copies))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.wasm"))
    }

    /// Puts another version of a filter in the place of the one that runs: the same code, with a note in it that makes it
    /// another file. Written beside it and renamed over it, as a deployment would.
    fn replace(&self, name: &str) -> anyhow::Result<()> {
        let file = self.file(name);
        let mut bytes = std::fs::read(&file)?;
        // A custom section (WebAssembly core specification, 5.5.3): its id, its size, its name.
        bytes.extend([0, 5, 4]);
        bytes.extend(b"demo");
        let new = file.with_extension("new");
        std::fs::write(&new, bytes)?;
        std::fs::rename(new, file)?;
        Ok(())
    }
}

fn config(filters: &Copies, servers: &server::Servers) -> Config {
    let filter = |name: &str, config| FilterConfig {
        config,
        ..FilterConfig::new(name, filters.file(name))
    };
    let upstream = |name: &str, address| UpstreamConfig::new(name, vec![Address::Socket(address).into()]);
    let anywhere = ListenAddress::Socket(([127, 0, 0, 1], 0).into());
    let listener = |name: &str, filters: &[&str], upstream: Option<&str>| ListenerConfig {
        filters: filters.iter().map(|&name| name.to_owned()).collect(),
        upstream: upstream.map(str::to_owned),
        ..ListenerConfig::new(name, anywhere.clone())
    };
    let routes = json!({ "routes": [
        { "database": "blue", "upstream": "blue" },
        { "database": "green", "upstream": "green" },
    ]});
    Config {
        filters: vec![
            filter("postgres-router", routes),
            filter("redis-guard", json!({ "refuse": ["FLUSHALL"] })),
        ],
        upstreams: vec![upstream("blue", servers.blue), upstream("green", servers.green)],
        listeners: vec![
            listener("plain", &[], Some("blue")),
            listener("postgres", &["postgres-router"], None),
            listener("redis", &["redis-guard"], Some("blue")),
        ],
        ..Config::default()
    }
}

/// The story, chapter by chapter; each checks what it says.
fn tell(proxy: &Server, filters: &Copies, servers: &server::Servers) -> anyhow::Result<()> {
    say(&format!(
        "Two servers, blue ({}) and green ({}), and Spliceway in front of them.\n",
        servers.blue, servers.green
    ));
    in_the_kernel(proxy)?;
    routed(proxy)?;
    guarded(proxy)?;
    replaced(proxy, filters)?;
    if stdin().is_terminal() && stdout().is_terminal() {
        stay(proxy)?;
    }
    Ok(())
}

fn in_the_kernel(proxy: &Server) -> anyhow::Result<()> {
    say("1. A connection that nothing looks at");
    let begun = Instant::now();
    client::send_bulk(address(proxy, "plain")?, BULK)?;
    let seconds = begun.elapsed().as_secs_f64();
    let moved = ended(proxy, "plain", 1)?.up;
    ensure!(moved.total() == BULK, "{} bytes arrived of {BULK}", moved.total());
    ensure!(
        moved.spliced > BULK / 2,
        "the kernel moved {} bytes of {BULK} only",
        moved.spliced
    );
    say(&format!(
        "   {} went through in {seconds:.2} s ({:.1} Gbit/s).\n   \
         {} of it stayed in the kernel (spliced), {} was copied, before it proved to be bulk.\n",
        size(BULK),
        BULK as f64 * 8e-9 / seconds,
        size(moved.spliced),
        size(moved.copied),
    ));
    Ok(())
}

fn routed(proxy: &Server) -> anyhow::Result<()> {
    say("2. PostgreSQL sessions, routed by the filter postgres-router");
    let address = address(proxy, "postgres")?;
    for (number, database) in ["blue", "green", "blue"].into_iter().enumerate() {
        let server = client::postgres_session(address, database, PAYLOAD)?;
        ensure!(server == database, "database {database} went to {server}");
        say(&format!(
            "   session {}: asks for TLS, is told no; names the database {database}; is routed to {server}",
            number + 1
        ));
    }
    let Seen { up, down, .. } = ended(proxy, "postgres", 3)?;
    ensure!(up.filtered + down.filtered == 0, "a router's connections were filtered");
    say(&format!(
        "   The filter saw the start of each session and nothing else: of {} that followed,\n   \
         {} were spliced, 0 B were filtered.\n",
        size(up.total() + down.total()),
        size(up.spliced + down.spliced),
    ));
    Ok(())
}

fn guarded(proxy: &Server) -> anyhow::Result<()> {
    say("3. Redis commands, inspected by the filter redis-guard, which refuses FLUSHALL");
    let address = address(proxy, "redis")?;
    let mut client = client::Redis::connect(address)?;
    ensure!(client.ping()?, "no answer to PING");
    client.set(PAYLOAD)?;
    say(&format!("   PING and a SET of {} pass.", size(PAYLOAD as u64)));
    let mut other = client::Redis::connect(address)?;
    ensure!(!other.flushall()?, "FLUSHALL was not refused");
    say("   FLUSHALL, on another connection, does not: that connection is closed, the server never saw it.");
    ensure!(client.ping()?, "the other connection was disturbed");
    drop(client);
    let up = ended(proxy, "redis", 2)?.up;
    ensure!(up.spliced > PAYLOAD as u64 / 2, "the payload was not spliced: {up:?}");
    say(&format!(
        "   The filter skips what it need not see: {} were shown to it, {} spliced past it.\n",
        size(up.filtered),
        size(up.spliced),
    ));
    Ok(())
}

fn replaced(proxy: &Server, filters: &Copies) -> anyhow::Result<()> {
    say("4. A filter is replaced while connections are open");
    let address = address(proxy, "redis")?;
    let cut = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stopped = Arc::new(std::sync::Mutex::new(stopped));
    let pinging: Vec<_> = (0..8)
        .map(|_| {
            let (cut, stopped) = (Arc::clone(&cut), Arc::clone(&stopped));
            thread::spawn(move || ping_until(address, &stopped, &cut))
        })
        .collect();
    let before = generation(proxy)?;
    let mut times = Vec::new();
    for swap in 1..=3 {
        filters.replace("redis-guard")?;
        let begun = Instant::now();
        while generation(proxy)? < before + swap {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "the new file was not noticed"
            );
            thread::sleep(Duration::from_millis(1));
        }
        times.push(begun.elapsed());
        let mut fresh = client::Redis::connect(address)?;
        ensure!(fresh.ping()?, "no answer to PING from generation {}", before + swap);
        ensure!(
            !fresh.flushall()?,
            "generation {} does not refuse FLUSHALL",
            before + swap
        );
    }
    drop(stop);
    let mut pings = 0;
    for client in pinging {
        let Ok(count) = client.join() else {
            bail!("a client panicked");
        };
        pings += count;
    }
    let times: Vec<String> = times.iter().map(|time| format!("{} ms", time.as_millis())).collect();
    say(&format!(
        "   8 connections kept on asking ({pings} answers) while redis-guard went from generation {before} to {}.\n   \
         From the new file to the new generation: {}.\n   connections cut: {}\n",
        before + 3,
        times.join(", "),
        cut.load(Ordering::Relaxed),
    ));
    ensure!(cut.load(Ordering::Relaxed) == 0, "a connection was cut");
    Ok(())
}

/// One connection that stays open and never stops asking: the number of its answers.
fn ping_until(
    address: std::net::SocketAddr,
    stopped: &std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    cut: &AtomicU64,
) -> u64 {
    use std::sync::mpsc::TryRecvError;
    let mut answers = 0;
    let Ok(mut client) = client::Redis::connect(address) else {
        cut.fetch_add(1, Ordering::Relaxed);
        return answers;
    };
    loop {
        if !matches!(client.ping(), Ok(true)) {
            cut.fetch_add(1, Ordering::Relaxed);
            return answers;
        }
        answers += 1;
        let over = stopped
            .lock()
            .is_ok_and(|stopped| stopped.try_recv() == Err(TryRecvError::Disconnected));
        if over {
            return answers;
        }
    }
}

fn stay(proxy: &Server) -> anyhow::Result<()> {
    let redis = address(proxy, "redis")?;
    let postgres = address(proxy, "postgres")?;
    say(&format!(
        "It stays up. Try, from another terminal:\n\n    \
         redis-cli -p {} ping\n    redis-cli -p {} flushall\n    \
         psql 'host=127.0.0.1 port={} dbname=green user=demo'\n\n\
         (The servers behind it are small: they answer PING and SET, and tell psql their name.)\n\
         Enter ends it.",
        redis.port(),
        redis.port(),
        postgres.port(),
    ));
    stdin().read_line(&mut String::new())?;
    Ok(())
}

fn address(proxy: &Server, listener: &str) -> anyhow::Result<std::net::SocketAddr> {
    match proxy
        .listener(listener)
        .map(|listening| listening.post.address().clone())
    {
        Some(Peer::Tcp(address)) => Ok(address),
        _ => bail!("no listener {listener}"),
    }
}

/// What a listener has seen, once so many of its connections have ended.
fn ended(proxy: &Server, listener: &str, connections: u64) -> anyhow::Result<Seen> {
    let listening = proxy.listener(listener).context("no such listener")?;
    let begun = Instant::now();
    loop {
        let seen = listening.listener.counters.seen();
        if seen.connections >= connections {
            return Ok(seen);
        }
        ensure!(begun.elapsed() < Duration::from_secs(20), "a connection did not end");
        thread::sleep(Duration::from_millis(1));
    }
}

fn generation(proxy: &Server) -> anyhow::Result<u64> {
    proxy.generation("redis-guard").context("no filter redis-guard")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[expect(clippy::print_stdout, reason = "the demo is what it prints")]
fn say(text: &str) {
    println!("{text}");
    // A reader of a pipe sees each chapter when it is told.
    let _ = stdout().flush();
}
