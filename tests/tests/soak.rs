//! Thousands of connections through one proxy, at random: sizes, pauses, who waits for whom, who finishes and who resets.
//!
//! Both ends know from the seed and the connection's number what the other one sends, so each checks what it gets:
//!
//! - what arrives is what was sent, from its beginning and without a gap;
//! - a FIN comes after all of it, so one that follows a part of it is a lie;
//! - where both finish, both get everything.
//!
//! And after the last one nothing is left of them in the proxy: every end is recorded once, no descriptor is open, memory has
//! not grown.
//!
//! `SPLICEWAY_SOAK_SECONDS` makes it longer than a minute. A failure names its seed; `SPLICEWAY_SOAK_SEED` plays that again.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use spliceway_tests::bytes::pattern;
use spliceway_tests::{Client, DEADLINE, End, Peer, Proxy, Transfer, Upstream, alone, artifacts, eventually};

/// Connections at a time: enough to keep a worker's connections waiting for each other, few enough for two cores.
const AT_ONCE: u64 = 16;

/// Of the second one, a filter is shown everything.
const LISTENERS: [&str; 2] = ["plain", "filtered"];

/// Connections before memory is compared: buffers, pipes and instances of filters have been made by then.
const WARM_UP: u64 = 2000;

/// What the proxy may grow by after that: a leak of 100 bytes a connection is larger.
const GROWTH_KIB: u64 = 4096;

#[test]
fn after_thousands_of_random_connections_every_byte_was_right_and_nothing_is_left() {
    let _alone = alone();
    let seconds = number_from("SPLICEWAY_SOAK_SECONDS").unwrap_or(60);
    let seed = number_from("SPLICEWAY_SOAK_SEED").unwrap_or_else(a_seed);
    eprintln!("SPLICEWAY_SOAK_SEED={seed} SPLICEWAY_SOAK_SECONDS={seconds}");

    let complaints = Complaints::default();
    let upstream = Upstream::listen().serving({
        let complaints = complaints.clone();
        move |peer| serve(peer, seed, &complaints)
    });
    let proxy = proxy_to(upstream.address());
    let soak = Soak {
        seed,
        next: AtomicU64::new(0),
        complaints,
        proxy,
    };

    soak.run_until(|next| next >= WARM_UP);
    let open = soak.descriptors_when_quiet().1.len();
    let memory = soak.proxy.own_memory_kib();
    let until = Instant::now() + Duration::from_secs(seconds);
    soak.run_until(|_| Instant::now() >= until);

    let count = soak.next.load(Ordering::Relaxed);
    let ended = soak.proxy.all_ended(count as usize);
    soak.judge_ends(&ended, count);
    soak.judge_descriptors(open);
    soak.judge_memory(memory, count);
    soak.complaints.none();
}

struct Soak {
    seed: u64,
    next: AtomicU64,
    complaints: Complaints,
    proxy: Proxy,
}

impl Soak {
    /// One connection after the other in each of [`AT_ONCE`] threads.
    fn run_until(&self, over: impl Fn(u64) -> bool + Sync) {
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while !over(self.next.load(Ordering::Relaxed)) {
                        let number = self.next.fetch_add(1, Ordering::Relaxed);
                        self.connect(number);
                        // The other tests of a machine with two cores want to go on as well.
                        thread::sleep(Duration::from_millis(number % 40));
                    }
                });
            }
        });
    }

    fn connect(&self, number: u64) {
        let script = Script::of(self.seed, number);
        let mut client = Client::connect(self.proxy.listener(script.listener));
        // It may have been reset by the upstream already.
        client.try_send(&number.to_le_bytes()).ok();
        let got = play(client, &script.client);
        self.complaints.judge(&script, "client", &got);
    }

    fn judge_ends(&self, ended: &[Transfer], count: u64) {
        if ended.len() as u64 != count {
            self.complaints
                .say(format!("{} ends of {count} connections were recorded", ended.len()));
        }
        let usual = |outcome: &str| {
            ["relay.finished.", "relay.reset.", "connect.reset.client"]
                .iter()
                .any(|beginning| outcome.starts_with(beginning))
        };
        for transfer in ended.iter().filter(|transfer| !usual(&transfer.outcome)) {
            self.complaints.say(format!("one ended like this: {transfer:?}"));
        }
        let sum = |of: fn(&Transfer) -> u64| ended.iter().map(of).sum::<u64>();
        let ways = [
            ("copied", sum(|transfer| transfer.up_copied + transfer.down_copied)),
            ("spliced", sum(|transfer| transfer.up_spliced + transfer.down_spliced)),
            (
                "filtered",
                sum(|transfer| transfer.up_filtered + transfer.down_filtered),
            ),
        ];
        eprintln!("{count} connections");
        for (way, bytes) in ways {
            eprintln!("{} MiB were {way}", bytes >> 20);
            if bytes == 0 {
                self.complaints.say(format!("no byte was {way}"));
            }
        }
    }

    /// `before` is what was open, pipes apart, when the connections of the beginning were closed.
    fn judge_descriptors(&self, before: usize) {
        let (pipes, others) = self.descriptors_when_quiet();
        if others.len() > before {
            let (count, what) = (others.len(), others.join(", "));
            self.complaints
                .say(format!("descriptors are left: {count} instead of {before}, {what}"));
        }
        // Two directions of two ends each, and what the runtime and the log have.
        if pipes.len() as u64 > AT_ONCE * 2 * 2 + 4 {
            let count = pipes.len();
            self.complaints.say(format!(
                "pipes are left: {count} ends, of {AT_ONCE} connections at a time"
            ));
        }
    }

    fn judge_memory(&self, before: u64, count: u64) {
        let after = self.proxy.own_memory_kib();
        eprintln!("{before} KiB of memory after {WARM_UP} connections, {after} KiB after {count}");
        if after > before + GROWTH_KIB {
            self.complaints
                .say(format!("it has grown from {before} to {after} KiB"));
        }
    }

    /// What the proxy has open when no connection is: the ends of the pipes that it keeps for the next bulk, and the rest.
    fn descriptors_when_quiet(&self) -> (Vec<String>, Vec<String>) {
        // One that ends from the proxy's side is closed within a second of its record.
        eventually("every connection is closed", || {
            (self.proxy.connections() == 0).then_some(())
        });
        let target = |number| std::fs::read_link(format!("/proc/{}/fd/{number}", self.proxy.pid())).ok();
        let numbers = self.proxy.descriptors().into_iter();
        let targets = numbers.filter_map(|number| Some(target(number)?.display().to_string()));
        targets.partition(|target| target.starts_with("pipe:"))
    }
}

fn proxy_to(upstream: &str) -> Proxy {
    let guest = artifacts::guest("inspector-pass").display().to_string();
    Proxy::run(&format!(
        "workers = 2\n[filters.all]\nsource = {guest:?}\n[upstreams.only]\nservers = [\"{upstream}\"]\n\
         [[listeners]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n\
         [[listeners]]\nname = \"filtered\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"all\"]\n"
    ))
    .start()
}

fn serve(mut peer: Peer, seed: u64, complaints: &Complaints) {
    // Where the client has reset before its number came through, there is nothing to say.
    let Some(number) = peer.try_receive(8) else { return };
    let number = u64::from_le_bytes(number.try_into().expect("eight bytes"));
    let script = Script::of(seed, number);
    let got = play(peer, &script.upstream);
    complaints.judge(&script, "upstream", &got);
}

/// What both ends of one connection do.
#[derive(Debug)]
struct Script {
    listener: &'static str,
    client: Part,
    upstream: Part,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// The most that is written, and read, at a time.
    writes: usize,
    reads: usize,
    /// After each piece, one in so many times.
    pauses: Option<u64>,
    /// It hears the other side out before it speaks.
    waits: bool,
    end: Ends,
}

#[derive(Debug)]
struct Bytes {
    seed: u64,
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// It says everything, finishes, and hears the other side out.
    Finishes,
    /// It says everything and closes, whatever the other side still has to say.
    Leaves,
    /// It resets after so many bytes of its own.
    ResetsAfter(usize),
}

impl Script {
    fn of(seed: u64, number: u64) -> Self {
        let mut random = Random(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let listener = LISTENERS[random.below(LISTENERS.len() as u64) as usize];
        let (mut client, mut upstream) = (Part::of(&mut random), Part::of(&mut random));
        upstream.waits = client.end == Ends::Finishes && random.below(3) == 0;
        client.reads = piece(upstream.bytes.count, &mut random);
        upstream.reads = piece(client.bytes.count, &mut random);
        Self {
            listener,
            client,
            upstream,
        }
    }
}

impl Part {
    fn of(random: &mut Random) -> Self {
        // Most connections are small; a few are bulk.
        let count = match random.below(10) {
            0 => 0,
            1..6 => random.below(2_000),
            6..9 => random.below(200_000),
            _ => random.below(4 << 20),
        } as usize;
        Self {
            bytes: Bytes {
                seed: random.next(),
                count,
            },
            writes: piece(count, random),
            reads: 0,
            pauses: (random.below(4) == 0).then_some(5),
            waits: false,
            end: match random.below(10) {
                0 => Ends::ResetsAfter(random.below(count as u64 + 1) as usize),
                1 => Ends::Leaves,
                _ => Ends::Finishes,
            },
        }
    }

    /// How much of it leaves its end at all.
    fn says(&self) -> usize {
        match self.end {
            Ends::ResetsAfter(count) => count,
            Ends::Finishes | Ends::Leaves => self.bytes.count,
        }
    }
}

/// How much of so many bytes is moved at a time. Of many it is no few: a pause for each would take minutes.
fn piece(count: usize, random: &mut Random) -> usize {
    let piece = match random.below(4) {
        0 => 1 + random.below(100),
        1 => 1 + random.below(10_000),
        _ => 256 << 10,
    };
    (piece as usize).max(count / 400)
}

impl Bytes {
    fn made(&self) -> Vec<u8> {
        pattern(self.seed, self.count)
    }
}

/// What came, and how it ended; no end where this side did not wait for one.
struct Got {
    bytes: Vec<u8>,
    end: Option<End>,
}

/// Plays one end of a connection.
fn play(peer: Peer, part: &Part) -> Got {
    rustix::io::ioctl_fionbio(&peer, true).expect("a socket can be made non-blocking");
    let mut random = Random(part.bytes.seed);
    let (says, mut said, mut finished) = (part.bytes.made(), 0, false);
    let (mut bytes, mut end) = (Vec::new(), None);
    let mut buffer = vec![0; part.reads];
    loop {
        let speaks = !finished && (!part.waits || end.is_some());
        if speaks && said == part.says() {
            match part.end {
                Ends::ResetsAfter(_) => {
                    peer.reset();
                    return Got { bytes, end };
                }
                Ends::Leaves => return Got { bytes, end },
                Ends::Finishes => {
                    // Where the other side has reset meanwhile, reading tells of it.
                    let _ = shutdown(&peer, Shutdown::Write);
                    finished = true;
                }
            }
        } else if finished && end.is_some() {
            return Got { bytes, end };
        } else {
            let ready = wait_for(&peer, end.is_none(), speaks);
            if speaks && ready.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR) {
                let to = part.says().min(said + part.writes);
                match send(&peer, &says[said..to], SendFlags::NOSIGNAL).map_err(io::Error::from) {
                    Ok(count) => said += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // The other side is gone; an end that came before stands.
                    Err(_) => {
                        return Got {
                            bytes,
                            end: end.or(Some(End::Reset)),
                        };
                    }
                }
            }
            if end.is_none() && ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                match recv(&peer, &mut buffer[..], RecvFlags::empty()).map_err(io::Error::from) {
                    Ok((0, _)) => end = Some(End::Fin),
                    Ok((count, _)) => bytes.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => {
                        return Got {
                            bytes,
                            end: Some(End::Reset),
                        };
                    }
                }
            }
            if part.pauses.is_some_and(|times| random.below(times) == 0) {
                // A peer that takes its time now and then: the scene itself.
                thread::sleep(Duration::from_micros(200 + random.below(3_000)));
            }
        }
    }
}

/// Waits until there is something to read, or room to write.
fn wait_for(peer: &Peer, reads: bool, writes: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, reads);
    flags.set(PollFlags::OUT, writes);
    let mut interest = [PollFd::new(peer, flags)];
    let within = Timespec::try_from(DEADLINE).expect("a deadline fits a timespec");
    let ready = poll(&mut interest, Some(&within)).expect("poll takes one socket");
    assert!(ready > 0, "{}: nothing to {flags:?} within {DEADLINE:?}", peer.local());
    interest[0].revents()
}

/// What went wrong, in whatever thread: all of it is wanted, not only the first.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// What one end got is what the other one said.
    fn judge(&self, script: &Script, side: &str, got: &Got) {
        let (own, other) = match side {
            "client" => (&script.client, &script.upstream),
            _ => (&script.upstream, &script.client),
        };
        let all = other.bytes.made();
        let complaint = if !all.starts_with(&got.bytes) {
            "got bytes that were not sent"
        } else if got.end == Some(End::Fin)
            && (got.bytes.len() < all.len() || matches!(other.end, Ends::ResetsAfter(_)))
        {
            "got a FIN after a part"
        } else if own.end == Ends::Finishes && other.end == Ends::Finishes && got.end != Some(End::Fin) {
            "was not told the end, though both finished"
        } else {
            return;
        };
        let (count, of) = (got.bytes.len(), all.len());
        self.say(format!(
            "the {side} {complaint}: {count} of {of} bytes, {:?}; {script:?}",
            got.end
        ));
    }

    fn say(&self, complaint: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
    }

    #[track_caller]
    fn none(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One of each kind, and how many there are: what comes before the colon is the kind.
        let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for complaint in all.iter() {
            let kind = complaint.split(':').next().unwrap_or_default();
            kinds.entry(kind).or_insert((0, complaint)).0 += 1;
        }
        let kinds: Vec<String> = kinds
            .values()
            .map(|(times, one)| format!("{times} times: {one}"))
            .collect();
        assert!(kinds.is_empty(), "{}", kinds.join("\n"));
    }
}

/// splitmix64: each of its outputs is as good as any other, also right after a seed of 0 or 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

/// Another one each time.
fn a_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    now.as_nanos() as u64 % 1_000_000_000
}
