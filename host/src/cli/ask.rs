//! One question to a proxy, and its answer.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use clap::Args;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::admin::said::Failure;
use crate::config::{Address, defaults};

/// More than a thousand connections are.
const LONGEST_ANSWER: usize = 64 << 20;

/// To load a filter from a registry takes as long as the registry.
const PATIENCE: Duration = Duration::from_secs(120);

// Not a doc comment: it would take the place of what the command says of itself.
// Where a proxy is asked.
#[derive(Debug, Args)]
pub struct Place {
    /// Where its `[admin]` listens: unix:PATH, or ip:port
    #[arg(long, value_name = "ADDRESS", default_value = defaults::ADMIN_ADDRESS)]
    admin: Address,

    /// The file with the token, where it wants one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub struct Asker {
    address: Address,
    token: Option<String>,
}

#[derive(Debug)]
pub enum Trouble {
    /// There is no token to be had.
    Token(String),
    /// Nobody is there.
    Unreachable { address: Address, error: io::Error },
    /// Somebody is there who does not speak as expected.
    Garbled { address: Address, error: String },
    /// The answer is no.
    Refused {
        status: StatusCode,
        failure: Option<Failure>,
        answer: String,
    },
}

impl Place {
    /// # Errors
    /// There is no token in the file.
    pub fn asker(&self) -> Result<Asker, Trouble> {
        Asker::new(self.admin.clone(), self.token_file.as_deref())
    }
}

impl Asker {
    pub fn new(address: Address, token_file: Option<&Path>) -> Result<Self, Trouble> {
        let token = token_file.map(|path| {
            let read = std::fs::read_to_string(path);
            let token = read.map_err(|error| Trouble::Token(format!("--token-file {}: {error}", path.display())))?;
            let token = token.trim_end().to_owned();
            match token.bytes().all(|byte| byte.is_ascii_graphic()) && !token.is_empty() {
                true => Ok(token),
                false => Err(Trouble::Token(format!(
                    "--token-file {}: this is no token",
                    path.display()
                ))),
            }
        });
        Ok(Self {
            address,
            token: token.transpose()?,
        })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The answer's body, however long it takes to do what is asked.
    ///
    /// # Errors
    /// Nobody answers, or the answer is no.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Json>) -> Result<String, Trouble> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.unreachable(error))?;
        runtime.block_on(self.answer(method, path, body, PATIENCE))
    }

    /// The answer's body, where it comes in that time.
    ///
    /// # Errors
    /// Nobody answers, or the answer is no.
    pub async fn answer(
        &self,
        method: &str,
        path: &str,
        body: Option<&Json>,
        patience: Duration,
    ) -> Result<String, Trouble> {
        let answered = timeout(patience, self.asked(method, path, body)).await;
        let (status, answer) = answered.unwrap_or_else(|_| Err(self.unreachable(io::ErrorKind::TimedOut.into())))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(Trouble::Refused {
            status,
            failure: serde_json::from_str(&answer).ok(),
            answer,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one question of an operator's, not a connection of the proxy's"
    )]
    async fn asked(&self, method: &str, path: &str, body: Option<&Json>) -> Result<(StatusCode, String), Trouble> {
        let tcp = |stream: io::Result<TcpStream>| stream.map_err(|error| self.unreachable(error));
        match &self.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket).await;
                self.over(stream.map_err(|error| self.unreachable(error))?, method, path, body)
                    .await
            }
            Address::Socket(address) => {
                self.over(tcp(TcpStream::connect(address).await)?, method, path, body)
                    .await
            }
            Address::Host { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                self.over(tcp(stream)?, method, path, body).await
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is no worker's")]
    async fn over<S>(
        &self,
        stream: S,
        method: &str,
        path: &str,
        body: Option<&Json>,
    ) -> Result<(StatusCode, String), Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let garbled = |error: String| Trouble::Garbled {
            address: self.address.clone(),
            error,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| garbled(error.to_string()))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "spliceway");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|error| garbled(error.to_string()))?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| garbled(error.to_string()))?;
        let status = response.status();
        let bytes = to_bytes(Body::new(response.into_body()), LONGEST_ANSWER).await;
        let bytes = bytes.map_err(|error| garbled(error.to_string()))?;
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn unreachable(&self, error: io::Error) -> Trouble {
        Trouble::Unreachable {
            address: self.address.clone(),
            error,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(what) => write!(f, "{what}: expected the file that `token-file` under `[admin]` names"),
            Self::Unreachable { address, error } => {
                write!(f, "cannot ask a proxy at {address}: {error}; ")?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("its `socket-file` says who may; run this as its user, or as root")
                    }
                    io::ErrorKind::TimedOut => f.write_str("it may still be at it: its log says more"),
                    _ => f.write_str(
                        "is it running, and is `[admin]` in its configuration? `--admin` names another address",
                    ),
                }
            }
            Self::Garbled { address, error } => {
                write!(f, "what answers at {address} is no proxy's admin interface: {error}")
            }
            Self::Refused {
                failure: Some(failure), ..
            } => write!(f, "{}\n  hint: {}", failure.error, failure.hint),
            Self::Refused { status, answer, .. } => write!(f, "the answer is {status}: {answer}"),
        }
    }
}
