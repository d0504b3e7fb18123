//! `socket` of a listener and of an upstream, as far as the file tells: what the kernel takes is found out elsewhere.

use std::time::Duration;

use super::given::{apart, in_range, place, within};
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::reader::Given;
use crate::config::units::{Period, Size};
use crate::config::{ListenAddress, ListenerSocket, SocketOptions, UpstreamSocket, file, ranges};

/// What an upstream has to do with the options of its sockets.
pub struct Circumstances {
    /// One of its servers is a unix socket.
    pub unix: Option<Span>,
    /// It has addresses to connect from.
    pub has_source: bool,
    /// A client's or our own bytes are there when a server is connected to.
    pub speaks_first: bool,
}

pub fn listener_socket(
    given: Option<Given<file::ListenerSocket>>,
    address: Option<&ListenAddress>,
    problems: &mut Problems,
) -> Result<ListenerSocket, Reported> {
    let Some(given) = given else {
        return Ok(ListenerSocket::default());
    };
    let (typed, span) = apart(given.0?);
    if let Some(ListenAddress::Unix(_)) = address {
        let problem = Problem::at(span, "a unix socket has none of these options");
        return Err(problems.report(problem.label("remove this, or listen on an address of TCP")));
    }
    let everywhere = match address {
        Some(ListenAddress::Socket(address)) if address.ip().is_unspecified() => place(&typed.options.freebind),
        _ => None,
    };
    let options = options(typed.options, problems);
    let defer_accept = typed.defer_accept.map(|given| whole_seconds(given, problems));
    let fast_open = number(typed.fast_open, &ranges::FAST_OPEN, problems);
    let socket = ListenerSocket {
        options: options?,
        defer_accept: defer_accept.transpose()?,
        fast_open: fast_open?,
        // Another key's to say.
        is_transparent: false,
    };
    match everywhere {
        Some(at) if socket.options.freebind => {
            let problem = Problem::at(at, "`freebind` has no effect where all addresses are listened on");
            Err(problems.report(problem.label("those that this machine gets later are among them")))
        }
        _ => Ok(socket),
    }
}

/// `None` where nothing is said.
pub fn upstream_socket(
    given: Option<Given<file::UpstreamSocket>>,
    upstream: &Circumstances,
    problems: &mut Problems,
) -> Result<Option<UpstreamSocket>, Reported> {
    let Some(given) = given else { return Ok(None) };
    let typed = given.value()?;
    let sound = match &upstream.unix {
        Some(server) => means_nothing(&typed, server, problems),
        None => Ok(()),
    };
    let (freebind_at, fast_open_at) = (place(&typed.options.freebind), place(&typed.fast_open));
    let options = options(typed.options, problems);
    let fast_open = typed.fast_open.map_or(Ok(false), Given::value);
    let socket = UpstreamSocket {
        options: options?,
        fast_open: fast_open?,
    };
    sound?;
    if let Some(at) = freebind_at.filter(|_| socket.options.freebind && !upstream.has_source) {
        let problem = Problem::at(at, "`freebind` has no effect without `source`");
        return Err(problems.report(problem.label("the system connects from addresses that it has")));
    }
    if let Some(at) = fast_open_at.filter(|_| socket.fast_open && !upstream.speaks_first) {
        let problem = Problem::at(
            at,
            "`fast-open` waits for bytes to send, and a server may have to speak first",
        );
        let problem = problem.label("nothing would be sent to the server until the client speaks");
        return Err(
            problems.report(problem.help("add `connect = \"first-byte\"`, where clients of this upstream speak first"))
        );
    }
    Ok(Some(socket).filter(|socket| *socket != UpstreamSocket::default()))
}

fn options(typed: file::SocketOptions, problems: &mut Problems) -> Result<SocketOptions, Reported> {
    let receive_buffer = size(typed.receive_buffer, &ranges::SOCKET_BUFFER, problems);
    let send_buffer = size(typed.send_buffer, &ranges::SOCKET_BUFFER, problems);
    let congestion_control = name(typed.congestion_control, &CONGESTION_CONTROL, problems);
    let notsent_lowat = size(typed.notsent_lowat, &ranges::NOTSENT_LOWAT, problems);
    let dscp = typed.dscp.map(Given::value).transpose();
    let mark = number(typed.mark, &ranges::MARK, problems);
    let device = name(typed.device, &DEVICE, problems);
    let mss = number(typed.mss, &ranges::MSS, problems);
    let freebind = typed.freebind.map_or(Ok(false), Given::value);
    Ok(SocketOptions {
        receive_buffer: receive_buffer?,
        send_buffer: send_buffer?,
        congestion_control: congestion_control?,
        notsent_lowat: notsent_lowat?,
        dscp: dscp?.map(|class| class.0),
        mark: mark?,
        device: device?,
        mss: mss?,
        freebind: freebind?,
    })
}

/// What a name in the kernel can be.
struct Naming {
    what: &'static str,
    example: &'static str,
    longest: usize,
}

/// TCP_CA_NAME_MAX, with its zero.
const CONGESTION_CONTROL: Naming = Naming {
    what: "congestion control",
    example: "bbr",
    longest: 15,
};

/// IFNAMSIZ, with its zero.
const DEVICE: Naming = Naming {
    what: "network interface",
    example: "eth0",
    longest: 15,
};

fn name(given: Option<Given<String>>, naming: &Naming, problems: &mut Problems) -> Result<Option<String>, Reported> {
    let Some(given) = given else { return Ok(None) };
    let (name, span) = apart(given.0?);
    let is_one = |c: char| c.is_ascii_graphic() && c != '/';
    if (1..=naming.longest).contains(&name.len()) && name.chars().all(is_one) {
        return Ok(Some(name));
    }
    let problem = Problem::at(span, format!("`{name}` is no name of a {}", naming.what));
    let label = format!(
        "expected 1 to {} characters, as in \"{}\"",
        naming.longest, naming.example
    );
    Err(problems.report(problem.label(label)))
}

fn size(
    given: Option<Given<Size>>,
    range: &std::ops::RangeInclusive<Size>,
    problems: &mut Problems,
) -> Result<Option<u32>, Reported> {
    let size = given.map(|given| within(given, range, problems)).transpose()?;
    Ok(size.and_then(|Size(bytes)| u32::try_from(bytes).ok()))
}

fn number<T: TryFrom<i64>>(
    given: Option<Given<i64>>,
    range: &std::ops::RangeInclusive<i64>,
    problems: &mut Problems,
) -> Result<Option<T>, Reported> {
    let number = given.map(|given| within(given, range, problems)).transpose()?;
    Ok(number.and_then(|number| number.try_into().ok()))
}

/// The kernel would round without a word.
fn whole_seconds(given: Given<Period>, problems: &mut Problems) -> Result<Duration, Reported> {
    let (period, span) = apart(given.0?);
    let Period(duration) = in_range(period, span.clone(), &ranges::DEFER_ACCEPT, problems)?;
    if duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    let whole = Period(Duration::from_secs(duration.as_secs() + 1));
    let problem = Problem::at(span, format!("{period} is not a whole number of seconds"));
    Err(problems.report(problem.label(format!("the kernel counts in seconds here: write \"{whole}\""))))
}

/// Of all options, a unix socket has a buffer for what was written.
fn means_nothing(typed: &file::UpstreamSocket, server: &Span, problems: &mut Problems) -> Result<(), Reported> {
    let file::SocketOptions {
        receive_buffer,
        send_buffer: _,
        congestion_control,
        notsent_lowat,
        dscp,
        mark,
        device,
        mss,
        freebind,
    } = &typed.options;
    let of_tcp = [
        ("receive-buffer", place(receive_buffer)),
        ("congestion-control", place(congestion_control)),
        ("notsent-lowat", place(notsent_lowat)),
        ("dscp", place(dscp)),
        ("mark", place(mark)),
        ("device", place(device)),
        ("mss", place(mss)),
        ("freebind", place(freebind)),
        ("fast-open", place(&typed.fast_open)),
    ];
    let mut sound = Ok(());
    for (key, at) in of_tcp.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        let problem = Problem::at(at, format!("`{key}` means nothing for a unix socket"));
        let problem = problem.label("expected servers of TCP, or no such key");
        sound = Err(problems.report(problem.related(server.clone(), "this server is one")));
    }
    sound
}
