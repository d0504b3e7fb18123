//! Real servers, each with a folder of its own, on a port of its own, gone when dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Finished, lasting, lasting_as, run};
use crate::ports::Port;
use crate::{Client, eventually, is_root, wait_until_exit};

/// A server process that accepts connections.
pub(crate) struct Server {
    child: Child,
    port: Port,
    /// What ends it in an orderly way. It is killed where that takes too long.
    end: Signal,
}

impl Server {
    /// Starts it on a free port, and on another one where somebody outside of the tests was quicker.
    #[track_caller]
    pub(crate) fn start(folder: &Path, end: Signal, command: impl Fn(u16) -> Command) -> Self {
        let accepts = |port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        };
        Self::start_until(folder, end, command, accepts)
    }

    /// The same, with another way to tell that it is ready.
    #[track_caller]
    pub(crate) fn start_until(
        folder: &Path,
        end: Signal,
        command: impl Fn(u16) -> Command,
        is_ready: impl Fn(u16) -> bool,
    ) -> Self {
        let log = folder.join("server.log");
        for _ in 0..5 {
            let port = Port::reserve();
            let output = File::create(&log).expect("a file in a folder of the test's");
            let mut child = command(port.number())
                .stdout(output.try_clone().expect("a descriptor is free"))
                .stderr(output)
                .spawn()
                .expect("setpriv (util-linux) is installed");
            let ready = eventually("a server begins to accept", || match child.try_wait() {
                Ok(None) => is_ready(port.number()).then_some(true),
                _ => Some(false),
            });
            if ready {
                return Self { child, port, end };
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(
                said.contains("in use"),
                "a server did not start (scripts/apt-packages installs what the tests need):\n{said}"
            );
        }
        panic!("five ports in a row were taken by somebody else");
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Starts it on this port, which nobody else takes.
    #[track_caller]
    fn start_at(port: Port, end: Signal, mut command: Command) -> Self {
        let child = started(&mut command, port.number());
        Self { child, port, end }
    }

    /// Stops it without a word, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again, where it was.
    #[track_caller]
    pub(crate) fn restart(&mut self, mut command: Command) {
        self.child = started(&mut command, self.port());
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("a running server can be sent a signal");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// A process of this command that accepts on that port.
#[track_caller]
fn started(command: &mut Command, port: u16) -> Child {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    eventually("a server begins to accept", || {
        let mut child = command.spawn().expect("setpriv (util-linux) is installed");
        // It ends where something of one before is still in its way.
        let accepts = eventually("it accepts, or ends", || match child.try_wait() {
            Ok(None) => {
                let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
                connected.is_ok().then_some(true)
            }
            _ => Some(false),
        });
        accepts.then_some(child)
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its process id, and only while it is ours: a child that was not waited for keeps its id.
        kill_process(Pid::from_child(&self.child), self.end).ok();
        if wait_until_exit(&mut self.child, Duration::from_secs(10)).is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

pub(crate) fn folder(name: &str) -> TempDir {
    TempDir::with_prefix(format!("spliceway-{name}-")).expect("a temporary folder")
}

/// Prometheus, which scrapes one page four times a second.
pub struct Prometheus {
    server: Server,
    _folder: TempDir,
}

impl Prometheus {
    #[track_caller]
    pub fn of(page: &str) -> Self {
        let folder = folder("prometheus");
        let file = folder.path().join("prometheus.yml");
        let config = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\n\
             scrape_configs: [{{ job_name: spliceway, static_configs: [{{ targets: ['{page}'] }}] }}]\n"
        );
        fs::write(&file, config).expect("a file in a folder of the test's");
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let mut command = lasting("prometheus");
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        });
        Self {
            server,
            _folder: folder,
        }
    }

    /// What an expression comes to now.
    ///
    /// # Errors
    /// What Prometheus finds wrong with it.
    pub fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let request = format!(
            "GET /api/v1/query?query={} HTTP/1.0\r\nHost: test\r\n\r\n",
            encoded(expression)
        );
        let mut client = Client::connect(self.server.address());
        client.send(request.as_bytes());
        let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let Ok(answer) = serde_json::from_str::<Value>(body) else {
            return Err(answer);
        };
        let samples = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        Ok(samples.iter().filter_map(value).collect())
    }
}

/// As a part of a URL (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// redis-server, keeping nothing.
pub struct Redis {
    server: Server,
    folder: TempDir,
}

impl Redis {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("redis");
        let server = Server::start(folder.path(), Signal::TERM, |port| Self::command(&folder, port));
        Self { server, folder }
    }

    /// On a port that somebody has reserved.
    #[track_caller]
    pub fn start_at(port: Port) -> Self {
        let folder = folder("redis");
        let server = {
            let command = Self::command(&folder, port.number());
            Server::start_at(port, Signal::TERM, command)
        };
        Self { server, folder }
    }

    fn command(folder: &TempDir, port: u16) -> Command {
        let mut command = lasting("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null());
        command
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.server.restart(Self::command(&self.folder, self.server.port()));
    }

    /// Its kernel goes on to accept, and it answers nothing any more.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Runs redis-cli against any port: the server's own, or a proxy's.
    #[track_caller]
    pub fn cli(port: u16, arguments: &[&str]) -> Finished {
        run(
            lasting("redis-cli")
                .args(["-h", "127.0.0.1", "-p", &port.to_string()])
                .args(arguments),
            Duration::from_secs(30),
        )
    }

    pub fn benchmark(port: u16, arguments: &[&str]) -> Command {
        let mut command = lasting("redis-benchmark");
        command
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(arguments);
        command
    }
}

/// PostgreSQL 15 with a cluster of its own. It refuses to run as root, so it runs as `postgres` where the test is root.
pub struct Postgres {
    server: Server,
    folder: TempDir,
}

impl Postgres {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("postgres");
        let data = folder.path().join("data");
        if is_root() {
            fs::create_dir(&data).expect("a folder in a folder of the test's");
            give_to("postgres", &data);
            // The folder above is the test's own; its owner lets the server pass through.
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("the test owns its folder");
        }
        run(
            // No sync: the data need not outlive a power failure, and two clusters are made for one test.
            Self::program("initdb")
                .args(["--auth", "trust", "--no-sync", "--username", "postgres", "-D"])
                .arg(&data)
                .current_dir("/"),
            Duration::from_secs(120),
        )
        .success();
        // SIGINT is PostgreSQL's fast shutdown: it ends the sessions that are left.
        let server = Server::start(folder.path(), Signal::INT, |port| Self::command(&folder, port));
        let postgres = Self { server, folder };
        // It accepts connections a moment before it answers them.
        let port = postgres.server.port.number();
        eventually("PostgreSQL answers", || {
            Self::psql(port, "postgres", "select 1").status.success().then_some(())
        });
        postgres
    }

    fn command(folder: &TempDir, port: u16) -> Command {
        let mut command = Self::program("postgres");
        command
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
                "-c",
                "shared_buffers=16MB",
            ])
            .current_dir("/");
        command
    }

    fn program(name: &str) -> Command {
        let program = Path::new("/usr/lib/postgresql/15/bin").join(name);
        match is_root() {
            true => lasting_as("postgres", program),
            false => lasting(program),
        }
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.server.restart(Self::command(&self.folder, self.server.port()));
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    pub fn port(&self) -> u16 {
        self.server.port.number()
    }

    /// Runs one statement through any port and returns the plain result.
    #[track_caller]
    pub fn psql(port: u16, database: &str, statement: &str) -> Finished {
        run(
            Self::client("psql", port).args(["-X", "-A", "-t", "-q", "-c", statement, "-d", database]),
            Duration::from_secs(60),
        )
    }

    #[track_caller]
    pub fn pgbench(port: u16, database: &str, arguments: &[&str]) -> Finished {
        run(
            Self::client("/usr/lib/postgresql/15/bin/pgbench", port)
                .args(arguments)
                .arg(database),
            Duration::from_secs(120),
        )
    }

    fn client(program: &str, port: u16) -> Command {
        let mut command = lasting(program);
        command
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"])
            // The defaults ask for TLS first and go on without, which is what the proxy's filter has to answer.
            .env("PGSSLMODE", "prefer")
            .env("PGCONNECT_TIMEOUT", "20");
        command
    }
}

fn give_to(user: &str, path: &Path) {
    let id = |flag: &str| {
        let said = run(Command::new("id").args([flag, user]), Duration::from_secs(10)).success();
        said.trim().parse::<u32>().expect("id prints a number")
    };
    std::os::unix::fs::chown(path, Some(id("-u")), Some(id("-g"))).expect("root can give a folder away");
}

/// nginx serving a folder of files over HTTP.
pub struct Nginx {
    server: Server,
    folder: TempDir,
}

impl Nginx {
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|port| format!("listen 127.0.0.1:{port};"))
    }

    /// With these directives in its `server`, for the port that it has to listen on.
    #[track_caller]
    pub fn start_with(server: impl Fn(u16) -> String) -> Self {
        let folder = folder("nginx");
        let place = folder.path().display().to_string();
        fs::create_dir(folder.path().join("files")).expect("a folder in a folder of the test's");
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let config = folder.path().join("nginx.conf");
            // One process, so that killing it leaves nobody behind.
            let text = format!(
                "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{\n\
                   access_log off; sendfile on; keepalive_requests 100000;\n\
                   client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
                   uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
                   client_max_body_size 0;\n\
                   server {{ {} root {place}/files; }}\n\
                 }}\n",
                server(port)
            );
            fs::write(&config, text).expect("a file in a folder of the test's");
            let mut command = lasting("/usr/sbin/nginx");
            command.args(["-e", "stderr", "-p", &place, "-c"]).arg(config);
            command
        });
        Self { server, folder }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Where the files lie that it serves.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }
}

/// `openssl s_server`: it sends every line back with its letters in reverse (`-rev`).
pub struct OpenSsl {
    server: Server,
    _folder: TempDir,
}

impl OpenSsl {
    /// `certificate` is a PEM file with the key inside.
    #[track_caller]
    pub fn start(certificate: &Path, arguments: &[&str]) -> Self {
        let folder = folder("openssl");
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let mut command = lasting("openssl");
            command
                .args(["s_server", "-rev", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
                .arg(certificate)
                .args(arguments);
            command
        });
        Self {
            server,
            _folder: folder,
        }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }
}

/// MariaDB, with a user "app" whose password is "secret", and the database "blue".
pub struct Mariadb {
    server: Server,
    folder: TempDir,
}

impl Mariadb {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("mariadb");
        let data = format!("--datadir={}", folder.path().join("data").display());
        let user = if is_root() { &["--user=root"][..] } else { &[] };
        run(
            lasting("mariadb-install-db")
                .args([
                    "--no-defaults",
                    &data,
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ])
                .args(user),
            Duration::from_secs(120),
        )
        .success();
        let begin = folder.path().join("begin.sql");
        let statements = "CREATE DATABASE blue;\nCREATE USER app IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO app;\n";
        fs::write(&begin, statements).expect("a file in a folder of the test's");
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let mut command = lasting("/usr/sbin/mariadbd");
            command
                .args(["--no-defaults", &data, "--bind-address=127.0.0.1", "--skip-log-bin"])
                .arg(format!("--port={port}"))
                .arg(format!("--socket={}", folder.path().join("socket").display()))
                .arg(format!("--init-file={}", begin.display()))
                .args(user);
            command
        });
        Self { server, folder }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Runs one statement as "app" through any port.
    #[track_caller]
    pub fn sql(&self, port: u16, password: &str, database: &str, statement: &str) -> Finished {
        run(
            lasting("mariadb")
                .args(["--no-defaults", "--skip-column-names", "--host=127.0.0.1", "--user=app"])
                .args([&format!("--port={port}"), &format!("--password={password}")])
                .args(["--execute", statement, database])
                .current_dir(self.folder.path()),
            Duration::from_secs(60),
        )
    }
}

/// The MQTT broker of Eclipse.
pub struct Mosquitto {
    server: Server,
    _folder: TempDir,
}

impl Mosquitto {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("mosquitto");
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let file = folder.path().join(format!("{port}.conf"));
            let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
            fs::write(&file, config).expect("a file in a folder of the test's");
            let mut command = lasting("/usr/sbin/mosquitto");
            command.arg("-c").arg(file);
            command
        });
        Self {
            server,
            _folder: folder,
        }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Publishes one retained message through any port.
    #[track_caller]
    pub fn publish(port: u16, client: &str, topic: &str, message: &str) -> Finished {
        run(
            lasting("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1", "-r"])
                .args(["-i", client, "-t", topic, "-m", message]),
            Duration::from_secs(30),
        )
    }

    /// Waits for one message through any port.
    #[track_caller]
    pub fn subscribe(port: u16, client: &str, topic: &str) -> Finished {
        run(
            lasting("mosquitto_sub").args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-C",
                "1",
                "-i",
                client,
                "-t",
                topic,
            ]),
            Duration::from_secs(30),
        )
    }
}

/// OpenSSH's sshd, for the user that runs the tests, with keys made for it.
pub struct Sshd {
    server: Server,
    folder: TempDir,
}

impl Sshd {
    #[track_caller]
    pub fn start() -> Self {
        let folder = folder("sshd");
        for key in ["host", "user"] {
            run(
                lasting("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(folder.path().join(key)),
                Duration::from_secs(30),
            )
            .success();
        }
        if is_root() {
            // Where sshd puts the process that speaks before the login; Debian makes it with the service, which does not run.
            fs::create_dir_all("/run/sshd").expect("root can make a folder in /run");
        }
        let server = Server::start(folder.path(), Signal::TERM, |port| {
            let mut command = lasting("/usr/sbin/sshd");
            command
                .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
                .arg(folder.path().join("host"))
                .args([
                    "-o",
                    "ListenAddress=127.0.0.1",
                    "-o",
                    "PidFile=none",
                    "-o",
                    "UsePAM=no",
                    "-o",
                    "StrictModes=no",
                ])
                .args([
                    "-o",
                    "PermitRootLogin=prohibit-password",
                    "-o",
                    "Subsystem=sftp internal-sftp",
                    "-o",
                ])
                .arg(format!(
                    "AuthorizedKeysFile={}",
                    folder.path().join("user.pub").display()
                ));
            command
        });
        Self { server, folder }
    }

    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Runs a command on it through any port.
    #[track_caller]
    pub fn ssh(&self, port: u16, remote: &str) -> Finished {
        let mut command = lasting("ssh");
        self.options(&mut command);
        run(
            command.args(["-p", &port.to_string(), "127.0.0.1", remote]),
            Duration::from_secs(60),
        )
    }

    /// Copies a file to it through any port.
    #[track_caller]
    pub fn scp(&self, port: u16, from: &Path, to: &Path) -> Finished {
        let mut command = lasting("scp");
        self.options(&mut command);
        let to = format!("127.0.0.1:{}", to.display());
        run(
            command.args(["-q", "-P", &port.to_string()]).arg(from).arg(to),
            Duration::from_secs(120),
        )
    }

    /// The client reads no configuration, asks nobody, and remembers no host.
    fn options(&self, command: &mut Command) {
        command
            .args([
                "-F",
                "/dev/null",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(self.folder.path().join("user"));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
