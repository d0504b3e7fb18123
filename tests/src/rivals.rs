//! Other proxies, for comparison: they are asked the same as Spliceway, and nothing here depends on what they answer.

use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::Peer;
use crate::command::lasting;
use crate::kernel;
use crate::servers::{Server, folder};
use crate::terminal::is_listening;

/// Another proxy that forwards to one server.
pub struct Rival {
    address: String,
    server: Server,
    _folder: TempDir,
}

/// What can be said to all of them. They have no others, or nothing that means the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct RivalTimeouts {
    pub connect: Option<Duration>,
    pub idle: Option<Duration>,
    /// Only HAProxy has it.
    pub half_closed: Option<Duration>,
}

/// Long enough to be out of the way of every test.
const NEVER: Duration = Duration::from_secs(600);

impl Rival {
    /// nginx's stream module. `half_close` is its `proxy_half_close`, which is off unless somebody says otherwise.
    #[track_caller]
    pub fn nginx(listen: &str, upstream: &str, half_close: bool, timeouts: RivalTimeouts) -> Self {
        let half_close = if half_close { "on" } else { "off" };
        let (connect, idle) = (milliseconds(timeouts.connect, "ms"), milliseconds(timeouts.idle, "ms"));
        Self::start("nginx", listen, |folder, port| {
            let place = folder.display();
            let config = format!(
                "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;\n\
                 load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
                 events {{ worker_connections 512; }}\n\
                 stream {{ server {{\n\
                   listen {listen}:{port}; proxy_pass {upstream}; proxy_half_close {half_close};\n\
                   proxy_connect_timeout {connect}; proxy_timeout {idle};\n\
                 }} }}\n"
            );
            let (program, place) = ("/usr/sbin/nginx", place.to_string());
            (
                program,
                config,
                vec!["-e".into(), "stderr".into(), "-p".into(), place, "-c".into()],
            )
        })
    }

    /// HAProxy in `mode tcp`, otherwise as it comes.
    #[track_caller]
    pub fn haproxy(listen: &str, upstream: &str, timeouts: RivalTimeouts) -> Self {
        let mut times = format!(
            "timeout connect {}\ntimeout client {never}\ntimeout server {never}\ntimeout tunnel {}\n",
            milliseconds(timeouts.connect, ""),
            milliseconds(timeouts.idle, ""),
            never = milliseconds(None, ""),
        );
        if timeouts.half_closed.is_some() {
            let time = milliseconds(timeouts.half_closed, "");
            writeln!(times, "timeout client-fin {time}\ntimeout server-fin {time}").expect("a string takes everything");
        }
        Self::start("haproxy", listen, |_, port| {
            let config = format!(
                "global\nmaxconn 512\ndefaults\nmode tcp\n{times}\
                 frontend front\nbind {listen}:{port}\ndefault_backend back\n\
                 backend back\nserver only {upstream}\n"
            );
            ("/usr/sbin/haproxy", config, vec!["-db".into(), "-f".into()])
        })
    }

    /// nginx that tells its upstream who the client is (`proxy_protocol`, version 1).
    #[track_caller]
    pub fn nginx_that_tells(upstream: &str) -> Self {
        Self::nginx_stream("", &format!("proxy_pass {upstream}; proxy_protocol on;"))
    }

    /// nginx that is told who the client is, and answers with what it was told: the client's address and port, the server's,
    /// with spaces between them.
    #[track_caller]
    pub fn nginx_that_is_told() -> Self {
        let told = ["addr", "port", "server_addr", "server_port"].map(|what| format!("$proxy_protocol_{what}"));
        Self::nginx_stream("proxy_protocol", &format!("return \"{}\";", told.join(" ")))
    }

    #[track_caller]
    fn nginx_stream(listening: &str, directives: &str) -> Self {
        Self::start("nginx", "127.0.0.1", |folder, port| {
            let place = folder.display();
            let config = format!(
                "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;\n\
                 load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
                 events {{ worker_connections 512; }}\n\
                 stream {{ server {{ listen 127.0.0.1:{port} {listening}; {directives} }} }}\n"
            );
            let arguments = ["-e", "stderr", "-p", &place.to_string(), "-c"].map(str::to_owned);
            ("/usr/sbin/nginx", config, arguments.into())
        })
    }

    /// HAProxy in `mode tcp` that tells its server who the client is, as these options of a `server` line say.
    #[track_caller]
    pub fn haproxy_that_tells(upstream: &str, options: &str) -> Self {
        Self::haproxy_with(&format!(
            "mode tcp\nunique-id-format %ci-%cp\nbind 127.0.0.1:PORT\nserver only {upstream} {options}\n"
        ))
    }

    /// HAProxy in `mode http` that is told who the client is, and answers with what it was told: the client's address and
    /// port, the server's, the authority and the unique id, with spaces between them.
    #[track_caller]
    pub fn haproxy_that_is_told() -> Self {
        let told = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]";
        Self::haproxy_with(&format!(
            "mode http\nbind 127.0.0.1:PORT accept-proxy\n\
             http-request return status 200 content-type text/plain lf-string \"{told}\"\n"
        ))
    }

    #[track_caller]
    fn haproxy_with(section: &str) -> Self {
        let never = milliseconds(None, "");
        Self::start("haproxy", "127.0.0.1", |_, port| {
            let section = section.replace("PORT", &port.to_string());
            let config = format!(
                "global\nmaxconn 512\ndefaults\ntimeout connect {never}\ntimeout client {never}\n\
                 timeout server {never}\nlisten front\n{section}"
            );
            ("/usr/sbin/haproxy", config, vec!["-db".into(), "-f".into()])
        })
    }

    #[track_caller]
    fn start(name: &str, listen: &str, describe: impl Fn(&Path, u16) -> (&'static str, String, Vec<String>)) -> Self {
        let folder = folder(name);
        let command = |port| {
            let (program, config, arguments) = describe(folder.path(), port);
            let file = folder.path().join("config");
            fs::write(&file, config).expect("a file in a folder of the test's");
            let mut command = lasting(program);
            command.args(arguments).arg(file);
            command
        };
        // Asked of the kernel: a connection would reach the upstream, which counts them.
        let server = Server::start_until(folder.path(), Signal::TERM, command, is_listening);
        let address = format!("{listen}:{}", server.port());
        Self {
            address,
            server,
            _folder: folder,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its own end of its connection with that peer.
    pub fn socket_with(&self, peer: &Peer) -> Option<OwnedFd> {
        kernel::socket_with(self.server.process(), peer)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.server.process(), signal).expect("a running server can be sent a signal");
    }
}

fn milliseconds(time: Option<Duration>, unit: &str) -> String {
    format!("{}{unit}", time.unwrap_or(NEVER).as_millis())
}
