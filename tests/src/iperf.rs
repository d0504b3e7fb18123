//! iperf3, which measures what goes through a connection.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{lasting, run};
use crate::eventually;
use crate::servers::{Server, folder};

/// Its server.
pub struct Iperf {
    server: Server,
    _folder: TempDir,
}

/// What it has measured.
#[derive(Debug)]
pub struct Measured {
    /// Bytes that arrived, and in how many seconds.
    pub bytes: f64,
    pub seconds: f64,
    /// Bytes of each stream.
    pub streams: Vec<u64>,
}

impl Iperf {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("iperf3");
        let command = |port: u16| {
            let mut command = lasting("iperf3");
            command.args(["--server", "--port", &port.to_string()]);
            command
        };
        let accepts = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
        let server = Server::start_until(folder.path(), Signal::TERM, command, accepts);
        Self {
            server,
            _folder: folder,
        }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// By a client that connects to that port, for so long.
    #[track_caller]
    pub fn measure(&self, port: u16, time: Duration, arguments: &[&str]) -> Measured {
        let (port, time) = (port.to_string(), time.as_secs().to_string());
        // A server that is still busy with the test before says so.
        let report = eventually("iperf3 has measured", || {
            let mut command = lasting("iperf3");
            command.args(["--client", "127.0.0.1", "--port", &port, "--time", &time, "--json"]);
            let said = run(command.args(arguments), Duration::from_secs(60));
            let report: Value = serde_json::from_str(&said.stdout).expect("what it says is JSON");
            report["error"].is_null().then_some(report)
        });
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {report}"));
        let end = &report["end"];
        let streams = end["streams"].as_array().expect("there are streams").iter();
        Measured {
            bytes: number(&end["sum_received"]["bytes"]),
            seconds: number(&end["sum_received"]["seconds"]),
            streams: streams
                .map(|stream| stream["receiver"]["bytes"].as_u64().expect("a number"))
                .collect(),
        }
    }
}

impl Measured {
    /// Bytes a second.
    pub fn rate(&self) -> f64 {
        self.bytes / self.seconds
    }
}
