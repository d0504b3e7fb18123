//! Whoever asks the admin interface, and gives it orders.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::Finished;
use crate::{Client, DEADLINE, Peer, Proxy, spliceway};

/// Knows the token, which lies in a folder of his.
pub struct Operator {
    folder: TempDir,
    address: String,
    token: String,
}

impl Operator {
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let operator = Self {
            folder: TempDir::new().expect("a temporary folder"),
            address: String::new(),
            token: String::new(),
        };
        operator.with_token("5f1c0a8f4f3f6a2d9be07c81d4e5a6b7")
    }

    /// Another one, in the same file.
    pub fn with_token(self, token: &str) -> Self {
        fs::write(self.token_file(), format!("{token}\n")).expect("a file in a temporary folder");
        let token = token.to_owned();
        Self { token, ..self }
    }

    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// `[admin]`, at a port that the kernel chooses.
    pub fn table(&self) -> String {
        self.table_at("127.0.0.1:0")
    }

    pub fn table_at(&self, address: &str) -> String {
        let file = self.token_file().display().to_string();
        format!("[admin]\nlisten = \"{address}\"\ntoken-file = \"{file}\"\n")
    }

    /// From now on he asks this proxy, wherever it answers first.
    pub fn of(self, proxy: &Proxy) -> Self {
        let served = proxy.wait_for("admin interface is served", |_| true);
        self.at(served.text("address"))
    }

    pub fn at(self, address: &str) -> Self {
        let address = address.to_owned();
        Self { address, ..self }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// An answer, and its status.
    #[track_caller]
    pub fn say(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut client = self.asking(method, path, body);
        let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let said = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        (status.expect("a status"), said)
    }

    /// Whoever waits for the answer.
    pub fn asking(&self, method: &str, path: &str, body: &str) -> Peer {
        let mut client = Client::connect(&self.address);
        let (token, length) = (&self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        client.send(request.as_bytes());
        client
    }

    /// What is to be done is done, and the answer is its body.
    #[track_caller]
    pub fn done(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, said) = self.say(method, path, body);
        assert!(matches!(status, 200..=299), "{method} {path} {body}: {status} {said}");
        said
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.done("GET", path, "")
    }

    /// Refused with this status; the answer is the error.
    #[track_caller]
    pub fn refused(&self, expected: u16, method: &str, path: &str, body: &str) -> String {
        let (status, said) = self.say(method, path, body);
        assert_eq!(status, expected, "{method} {path} {body}: {said}");
        assert!(said["hint"].is_string(), "{said}");
        said["error"].as_str().expect("an error").to_owned()
    }

    pub fn ctl(&self, arguments: &[&str]) -> Finished {
        let token = self.token_file().display().to_string();
        let first = ["ctl", "--admin", &self.address, "--token-file", &token];
        spliceway(first.iter().chain(arguments), DEADLINE)
    }
}
