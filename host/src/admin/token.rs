//! The word that whoever asks has to know. It is never logged, and no answer has it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::refused::Refused;

/// A token is guessed in no time that is shorter, and typed by nobody that is longer.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=1024;

/// Its SHA-256: what is compared has one length, whatever was said.
#[derive(Clone)]
pub struct Token(Digest);

impl Token {
    /// # Errors
    /// There is no such file, or what is in it is no token.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = || format!("token-file {} of [admin]", path.display());
        let text = fs::read_to_string(path).with_context(shown)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_token = LENGTHS.contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            is_token,
            "{}: expected one line of {} to {} visible ASCII characters, as `openssl rand -hex 32` makes it",
            shown(),
            LENGTHS.start(),
            LENGTHS.end()
        );
        Ok(Self::of(line))
    }

    fn of(token: &str) -> Self {
        Self(digest(&SHA256, token.as_bytes()))
    }

    pub fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }

    /// As long for one that is nearly right as for any other.
    fn is(&self, said: &str) -> bool {
        let said = digest(&SHA256, said.as_bytes());
        verify_slices_are_equal(self.0.as_ref(), said.as_ref()).is_ok()
    }
}

/// Nothing is answered without it, not even that something is not there.
pub fn ask_for(router: Router, token: Token) -> Router {
    let token = Arc::new(token);
    router.layer(from_fn(move |request: Request, next: Next| {
        let token = Arc::clone(&token);
        async move {
            match said(&request).is_some_and(|said| token.is(said)) {
                true => next.run(request).await,
                false => unauthorized(),
            }
        }
    }))
}

fn said(request: &Request) -> Option<&str> {
    let said = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = said.split_once(' ')?;
    // Schemes have no case (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn unauthorized() -> Response {
    let mut response = Refused::unauthorized().into_response();
    let challenge = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Token> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        Token::read(file.path())
    }

    #[test]
    fn a_token_is_one_line() {
        for text in ["0123456789abcdef", "0123456789abcdef\n", "0123456789abcdef\r\n"] {
            let token = read(text).unwrap();
            assert!(token.is("0123456789abcdef"));
            assert!(!token.is("0123456789abcdeg") && !token.is("") && !token.is("0123456789abcdef\n"));
        }
        for text in [
            "",
            "short\n",
            "0123456789abcdef\nsecond",
            "with spaces in it",
            "mit Umläuten darin",
        ] {
            let error = format!("{:#}", read(text).err().unwrap());
            assert!(
                error.contains("openssl rand") && (text.is_empty() || !error.contains(text)),
                "{error}"
            );
        }
        let missing = format!("{:#}", Token::read(Path::new("/nowhere/token")).err().unwrap());
        assert!(
            missing.contains("/nowhere/token") && missing.contains("No such file"),
            "{missing}"
        );
    }
}
