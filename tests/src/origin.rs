//! A web server with a certificate of its own, for clients that come through a proxy which does not decrypt.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::command::{Finished, lasting, run};
use crate::servers::{Server, folder};

/// nginx that speaks TLS, HTTP/1.1 and HTTP/2, and answers `/` with the name that it was given here.
pub struct Origin {
    server: Server,
    folder: TempDir,
}

impl Origin {
    /// Its certificate is for these names, which may begin with `*.`.
    #[track_caller]
    pub fn start(says: &str, names: &[&str]) -> Self {
        let folder = folder("origin");
        let place = folder.path().display().to_string();
        fs::create_dir(folder.path().join("files")).expect("a folder in a folder of the test's");
        fs::write(folder.path().join("files/index.html"), says).expect("a file in a folder of the test's");
        certify(folder.path(), names);
        let command = |port| {
            let config = folder.path().join("nginx.conf");
            let text = format!(
                "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{\n\
                   access_log off;\n\
                   client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
                   uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
                   server {{\n\
                     listen 127.0.0.1:{port} ssl http2; root {place}/files;\n\
                     ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem;\n\
                   }}\n\
                 }}\n"
            );
            fs::write(&config, text).expect("a file in a folder of the test's");
            let mut command = lasting("/usr/sbin/nginx");
            command.args(["-e", "stderr", "-p", &place, "-c"]).arg(config);
            command
        };
        let accepts = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let server = Server::start_until(folder.path(), Signal::TERM, command, accepts);
        Self { server, folder }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    /// Where the files lie that it serves.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Asks with curl, at whatever port, for `path` of the host: it takes no certificate but this server's.
    #[track_caller]
    pub fn curl(&self, port: u16, host: &str, path: &str, more: &[&str]) -> Finished {
        let mut command = lasting("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
            .arg(self.folder.path().join("certificate.pem"))
            .args(["--connect-to", &format!("::127.0.0.1:{port}")])
            .args(more)
            .arg(format!("https://{host}{path}"));
        run(&mut command, Duration::from_secs(60))
    }
}

/// Asks with `openssl s_client`, which says what it hears of alerts.
#[track_caller]
pub fn s_client(port: u16, arguments: &[&str]) -> Finished {
    let mut command = lasting("openssl");
    command
        .args(["s_client", "-brief", "-connect", &format!("127.0.0.1:{port}")])
        .args(arguments);
    run(&mut command, Duration::from_secs(60))
}

/// Makes `key.pem`, and `certificate.pem`, which signs itself and is for these names.
#[track_caller]
pub fn certify(folder: &Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let mut command = lasting("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-noenc", "-days", "30", "-subj", "/CN=origin", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("certificate.pem"))
        .args(["-addext", &format!("subjectAltName={}", names.join(","))]);
    run(&mut command, Duration::from_secs(60)).success();
}
