//! What a filter costs: CPU time of the proxy per request, per connection and per gigabyte, beside the same proxy without
//! one.
//!
//! `make bench`, or `cargo bench -p spliceway-tests --bench filters -- --rounds 20 --seconds 1`.
//!
//! One proxy for each variant runs from the beginning, with one worker; they are measured in turn, round after round, so
//! that whatever else happens on the machine happens to all of them: many short rounds say more than a few long ones.
//! Clients and server are one thread of this process, so that two cores suffice: one for the proxy, one for the load. CPU
//! time comes from the kernel in ticks of 10 ms, so a round much shorter than half a second says nothing.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use spliceway_tests::command::lasting;
use spliceway_tests::ports::Port;
use spliceway_tests::terminal::is_listening;
use spliceway_tests::{artifacts, eventually};

/// A GET and its answer, of 64 bytes each.
const REQUEST: &[u8; 64] = b"*2\r\n$3\r\nGET\r\n$44\r\nkey:0000000000000000000000000000000000000000\r\n";
const REPLY: &[u8; 64] = b"$57\r\nvalue:000000000000000000000000000000000000000000000000000\r\n";

/// How many connections there are at a time.
const PINGING: usize = 64;
const COMING: usize = 32;

/// What bulk is made of: a length of four bytes, and so many more.
const MESSAGE: usize = 64 << 10;

/// Written at once.
const MESSAGES: usize = 16;

/// Before anything counts: caches are filled, instances are made.
const WARM_UP: Duration = Duration::from_millis(200);

/// What `sysconf(_SC_CLK_TCK)` says on every Linux: the unit of /proc/PID/stat is fixed at 100 a second.
const TICKS_PER_SECOND: f64 = 100.0;

const GUARD: &str = r#"{"refuse": ["FLUSHALL", "FLUSHDB", "CONFIG SET", "DEBUG", "EVAL"]}"#;

fn main() {
    let Some((rounds, seconds)) = arguments() else {
        eprintln!("usage: filters [--rounds N] [--seconds S]");
        std::process::exit(2);
    };
    let mut load = Load::new().expect("sockets can be made");
    let upstream = load.address;
    let proxies = [
        Proxy::start("without a filter", upstream, None),
        Proxy::start("redis-guard", upstream, Some((artifacts::filter("redis-guard"), GUARD))),
        Proxy::start("access-log", upstream, Some((artifacts::filter("access-log"), "null"))),
    ];
    let bulk = Bulk::new().expect("a socket can be made");
    let guest = |name| Some((artifacts::guest(name), "null"));
    let movers = [
        Proxy::start("without a filter", bulk.address, None),
        Proxy::start("length-prefixed", bulk.address, guest("length-prefixed")),
        Proxy::start("inspector-pass", bulk.address, guest("inspector-pass")),
    ];
    let slice = Duration::from_secs_f64(seconds);
    let mut requests = vec![Vec::new(); proxies.len()];
    let mut connections = vec![Vec::new(); proxies.len()];
    let mut gigabytes = vec![Vec::new(); movers.len()];
    for _ in 0..rounds {
        for (index, proxy) in proxies.iter().enumerate() {
            requests[index].push(load.measure(proxy, Kind::Requests, slice).expect("the load runs"));
            connections[index].push(load.measure(proxy, Kind::Connections, slice).expect("the load runs"));
        }
        for (index, proxy) in movers.iter().enumerate() {
            gigabytes[index].push(bulk.measure(proxy, slice).expect("the load runs"));
        }
    }
    println!("CPU time of the proxy in microseconds, median of {rounds} rounds of {seconds} s, one worker.");
    println!(
        "A request: 64 bytes and as many back, on one of {PINGING} connections. A connection: opened, one request, closed.\n"
    );
    println!("{:18}{:28}per connection", "", "per request");
    for (index, proxy) in proxies.iter().enumerate() {
        let columns = [(&requests[index], &requests[0]), (&connections[index], &connections[0])];
        let text: String = columns.map(|(with, without)| column(with, without, index > 0)).concat();
        println!("{:18}{}", proxy.name, text.trim_end());
    }
    println!(
        "\nMilliseconds per gigabyte of messages of {} KiB behind their length, on one connection.\n\
         length-prefixed sees the lengths and skips the messages, inspector-pass sees everything.\n",
        MESSAGE >> 10
    );
    for (index, proxy) in movers.iter().enumerate() {
        let text = column(&gigabytes[index], &gigabytes[0], index > 0);
        println!("{:18}{}", proxy.name, text.trim_end());
    }
}

/// The median, and the medians of what it is more than, and of how many times, the same round without a filter.
fn column(with: &[f64], without: &[f64], compare: bool) -> String {
    let pairs = || with.iter().zip(without);
    let figure = median(with.to_vec());
    if !compare {
        return format!("{figure:<28.2}");
    }
    let more = median(pairs().map(|(with, without)| with - without).collect());
    let times = median(pairs().map(|(with, without)| with / without).collect());
    format!("{figure:<9.2}{more:<+8.2}x{times:<10.2}")
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    }
}

/// Rounds and seconds; `--bench` is what cargo adds.
fn arguments() -> Option<(usize, f64)> {
    let (mut rounds, mut seconds) = (9, 0.6);
    let mut arguments: VecDeque<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    while let Some(option) = arguments.pop_front() {
        let value = arguments.pop_front()?;
        match option.as_str() {
            "--rounds" => rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "--seconds" => seconds = value.parse().ok().filter(|seconds| *seconds > 0.0)?,
            _ => return None,
        }
    }
    Some((rounds, seconds))
}

struct Proxy {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    _port: Port,
}

impl Proxy {
    /// Its log goes to /dev/null: written in full, read by nobody.
    fn start(name: &'static str, upstream: SocketAddr, filter: Option<(PathBuf, &str)>) -> Self {
        let port = Port::reserve();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let mut command = lasting(artifacts::binary());
        command
            .args(["forward", &address.to_string(), &upstream.to_string()])
            .args(["--workers", "1", "--log-format", "json", "--log-level", "info"])
            .stdout(Stdio::null())
            .stderr(File::options().write(true).open("/dev/null").expect("/dev/null"));
        if let Some((file, config)) = filter {
            command.arg("--filter").arg(file);
            command.args(["--filter-config", config]);
        }
        let child = command.spawn().expect("setpriv (util-linux) is installed");
        eventually("the proxy listens", || is_listening(port.number()).then_some(()));
        Self {
            name,
            child,
            address,
            _port: port,
        }
    }

    /// CPU time so far, in microseconds, of all its threads.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the proxy runs");
        // Behind the name, which may have any characters: the state is field 3, utime and stime are 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        ticks as f64 * 1e6 / TICKS_PER_SECOND
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Over connections that stay.
    Requests,
    /// Each over a connection of its own, which the server closes first.
    Connections,
}

/// Clients and server, in one loop.
struct Load {
    epoll: OwnedFd,
    listener: TcpListener,
    address: SocketAddr,
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    done: u64,
}

struct End {
    stream: TcpStream,
    is_client: bool,
    /// Of the message that has begun to arrive.
    arrived: usize,
}

const LISTENER: u64 = u64::MAX;

impl Load {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            address: listener.local_addr()?,
            epoll,
            listener,
            ends: Vec::new(),
            free: Vec::new(),
            done: 0,
        })
    }

    /// CPU microseconds of the proxy for each request or connection, over that time.
    fn measure(&mut self, proxy: &Proxy, kind: Kind, slice: Duration) -> io::Result<f64> {
        let clients = if kind == Kind::Requests { PINGING } else { COMING };
        for _ in 0..clients {
            self.connect(proxy.address)?;
        }
        self.run(proxy, kind, WARM_UP)?;
        let (cpu, done) = (proxy.cpu(), self.done);
        self.run(proxy, kind, slice)?;
        let (cpu, done) = (proxy.cpu() - cpu, self.done - done);
        self.ends.clear();
        self.free.clear();
        assert!(done > 100, "{}: only {done} went through", proxy.name);
        Ok(cpu / done as f64)
    }

    fn run(&mut self, proxy: &Proxy, kind: Kind, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        let mut events = Vec::with_capacity(256);
        while Instant::now() < until {
            events.clear();
            let patience = Timespec::try_from(Duration::from_millis(100)).map_err(io::Error::other)?;
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&patience),
            )?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    index => self.serve(index as usize, proxy, kind)?,
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.add(stream, false)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect(address)?;
        (&stream).write_all(REQUEST)?;
        self.add(stream, true)
    }

    fn add(&mut self, stream: TcpStream, is_client: bool) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.ends.push(None);
            self.ends.len() - 1
        });
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        self.ends[index] = Some(End {
            stream,
            is_client,
            arrived: 0,
        });
        Ok(())
    }

    /// What has come to one end, and what it says to it.
    fn serve(&mut self, index: usize, proxy: &Proxy, kind: Kind) -> io::Result<()> {
        // An event of an end that is gone, or of one whose turn is over.
        let Some(Some(end)) = self.ends.get_mut(index) else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        let read = match end.stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
            Ok(read) => read,
        };
        end.arrived += read;
        let is_whole = end.arrived >= REQUEST.len();
        end.arrived %= REQUEST.len();
        match (end.is_client, kind) {
            (true, Kind::Requests) if is_whole => {
                self.done += 1;
                return end.stream.write_all(REQUEST);
            }
            (false, Kind::Requests) if is_whole => return end.stream.write_all(REPLY),
            (false, Kind::Connections) if is_whole => end.stream.write_all(REPLY)?,
            (true, Kind::Connections) if read == 0 => {
                self.done += 1;
                self.remove(index);
                return self.connect(proxy.address);
            }
            _ if read > 0 => return Ok(()),
            _ => {}
        }
        self.remove(index);
        Ok(())
    }

    fn remove(&mut self, index: usize) {
        self.ends[index] = None;
        self.free.push(index);
    }
}

/// A server that takes what comes.
struct Bulk {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bulk {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
        })
    }

    /// CPU milliseconds of the proxy for each gigabyte, over that time.
    fn measure(&self, proxy: &Proxy, slice: Duration) -> io::Result<f64> {
        let client = TcpStream::connect(proxy.address)?;
        let (mut server, _) = self.listener.accept()?;
        let length = u32::try_from(MESSAGE).map_err(io::Error::other)?.to_be_bytes();
        let messages = [&length[..], &[b'x'; MESSAGE]].concat().repeat(MESSAGES);
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(client, &messages, &enough));
            let taken = take(&mut server, WARM_UP).and_then(|_| {
                let cpu = proxy.cpu();
                let bytes = take(&mut server, slice)?;
                Ok((proxy.cpu() - cpu, bytes))
            });
            enough.store(true, Ordering::Relaxed);
            io::copy(&mut server, &mut io::sink())?;
            writing.join().expect("the writer does not panic")?;
            let (cpu, bytes) = taken?;
            // From microseconds for a byte to milliseconds for a billion of them.
            Ok(cpu / bytes as f64 * 1e6)
        })
    }
}

fn write(mut client: TcpStream, messages: &[u8], enough: &AtomicBool) -> io::Result<()> {
    while !enough.load(Ordering::Relaxed) {
        client.write_all(messages)?;
    }
    Ok(())
}

fn take(server: &mut TcpStream, time: Duration) -> io::Result<u64> {
    let until = Instant::now() + time;
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    while Instant::now() < until {
        match server.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes += read as u64,
        }
    }
    Ok(bytes)
}
