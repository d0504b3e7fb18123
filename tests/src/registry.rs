//! A registry of one test's own: Debian's `docker-registry`, with its files where a test can spoil them, and a relay in front of
//! it that breaks off in the middle.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::Identity;
use crate::command::{lasting, run};
use crate::servers::{Server, folder};

/// It does not know what refers to what (no referrers API): the poorest registry that there is.
pub struct Registry {
    server: Server,
    folder: TempDir,
    /// What its configuration says besides.
    more: String,
}

/// Who may, where a registry asks: the password of the test vector of crypt_blowfish whose hash this is.
pub const USER: &str = "team";
pub const PASSWORD: &str = "U*U";
const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

impl Registry {
    #[track_caller]
    pub fn start() -> Self {
        Self::begin(folder("registry"), String::new())
    }

    /// One that wants to know who pulls and pushes.
    #[track_caller]
    pub fn with_password() -> Self {
        let folder = folder("registry");
        let file = folder.path().join("htpasswd");
        fs::write(&file, format!("{USER}:{HASH}\n")).expect("a file in a folder of the test's");
        let more = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}\n", file.display());
        Self::begin(folder, more)
    }

    /// One that speaks TLS, as this server.
    #[track_caller]
    pub fn with_tls(identity: &Identity) -> Self {
        let folder = folder("registry");
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
        fs::write(&chain, identity.chain_pem()).expect("a file in a folder of the test's");
        fs::write(&key, identity.key_pem()).expect("a file in a folder of the test's");
        // It is a part of `http`, which stands last.
        let more = format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            chain.display(),
            key.display()
        );
        Self::begin(folder, more)
    }

    #[track_caller]
    fn begin(folder: TempDir, more: String) -> Self {
        let server = Server::start(folder.path(), Signal::TERM, |port| command(folder.path(), port, &more));
        Self { server, folder, more }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.server.address()
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// It is away, without a word.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// And back, where it was, with what it had.
    #[track_caller]
    pub fn restart(&mut self) {
        let command = command(self.folder.path(), self.server.port(), &self.more);
        self.server.restart(command);
    }

    /// The file of a blob, such as `sha256:12...`.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a digest of SHA-256");
        let blobs = self.folder.path().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A document of a repository, as it lies there: `manifests/1.2`, `blobs/sha256:12...`.
    #[track_caller]
    pub fn get(&self, repository: &str, what: &str) -> Value {
        let url = format!("http://{}/v2/{repository}/{what}", self.address());
        let mut curl = lasting("curl");
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        curl.args(["-sSf", "-H", accept, &url]);
        let said = run(&mut curl, Duration::from_secs(30)).success();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{url}: {error}\n{said}"))
    }

    /// Puts a blob there by hand, as any client does.
    #[track_caller]
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", crate::bytes::digest(bytes));
        let file = self.folder.path().join("upload");
        fs::write(&file, bytes).expect("a file in a folder of the test's");
        let script = format!(
            "location=$(curl -sSf -X POST -D - -o /dev/null http://{0}/v2/{repository}/blobs/uploads/ | tr -d '\\r' | sed -n \
             's/^Location: //p'); curl -sSf -X PUT -H 'Content-Type: application/octet-stream' --data-binary @{1} \
             \"$location&digest={digest}\"",
            self.address(),
            file.display()
        );
        run(lasting("bash").args(["-ec", &script]), Duration::from_secs(30)).success();
        digest
    }

    /// And a manifest. Returns its digest.
    #[track_caller]
    pub fn put_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        self.put_document(repository, tag, "application/vnd.oci.image.manifest.v1+json", manifest)
    }

    /// And an index.
    #[track_caller]
    pub fn put_index(&self, repository: &str, tag: &str, index: &Value) -> String {
        self.put_document(repository, tag, "application/vnd.oci.image.index.v1+json", index)
    }

    #[track_caller]
    fn put_document(&self, repository: &str, tag: &str, kind: &str, document: &Value) -> String {
        let text = document.to_string();
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address());
        let mut curl = lasting("curl");
        curl.args(["-sSf", "-X", "PUT", "--data-binary", &text, "-H"])
            .arg(format!("Content-Type: {kind}"))
            .arg(url);
        run(&mut curl, Duration::from_secs(30)).success();
        format!("sha256:{}", crate::bytes::digest(text.as_bytes()))
    }

    /// A folder for `$DOCKER_CONFIG` with the password for this registry.
    #[track_caller]
    pub fn docker_configuration(&self) -> TempDir {
        let folder = folder("docker");
        let text = serde_json::json!({ "auths": { self.address(): { "auth": "dGVhbTpVKlU=" } } });
        fs::write(folder.path().join("config.json"), text.to_string()).expect("a file in a folder of the test's");
        folder
    }
}

fn command(folder: &Path, port: u16, more: &str) -> Command {
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: 127.0.0.1:{port}\n{more}",
        folder.display()
    );
    let config = folder.join("registry.yml");
    fs::write(&config, text).expect("a file in a folder of the test's");
    let mut command = lasting("docker-registry");
    command.arg("serve").arg(config);
    command
}

/// Stands in front of a registry, and breaks off what comes of a blob after so many bytes; or of none, after [`heal`](Self::heal).
pub struct Breaker {
    address: String,
    after: Arc<AtomicUsize>,
}

const WHOLE: usize = usize::MAX;

impl Breaker {
    #[track_caller]
    pub fn start(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the kernel has a port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string();
        let after = Arc::new(AtomicUsize::new(WHOLE));
        let (target, limit) = (registry.address(), Arc::clone(&after));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, limit) = (target.clone(), Arc::clone(&limit));
                thread::spawn(move || relay(client, &target, limit));
            }
        });
        Self { address, after }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on.
    pub fn break_after(&self, bytes: usize) {
        self.after.store(bytes, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.after.store(WHOLE, Ordering::SeqCst);
    }
}

/// One connection: requests as they are, answers until the limit, once a blob was asked for.
fn relay(mut client: TcpStream, target: &str, limit: Arc<AtomicUsize>) {
    let Ok(mut server) = TcpStream::connect(target) else {
        return;
    };
    let left = Arc::new(AtomicUsize::new(WHOLE));
    let asking = {
        let (mut client, mut server) = match (client.try_clone(), server.try_clone()) {
            (Ok(client), Ok(server)) => (client, server),
            _ => return,
        };
        let left = Arc::clone(&left);
        thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..count]);
                if said.starts_with("GET ") && said.lines().next().is_some_and(|line| line.contains("/blobs/")) {
                    left.store(limit.load(Ordering::SeqCst), Ordering::SeqCst);
                }
                if server.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            server.shutdown(Shutdown::Both).ok();
        })
    };
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        let most = left.load(Ordering::SeqCst);
        let sent = client.write_all(&buffer[..count.min(most)]);
        if sent.is_err() || count > most {
            break;
        }
        if most != WHOLE {
            left.store(most - count, Ordering::SeqCst);
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
    asking.join().ok();
}
