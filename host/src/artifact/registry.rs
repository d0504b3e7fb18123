//! One repository of a registry, for as long as something is pulled from it or pushed to it.
//!
//! What is asked for is read here, with bounds and against its digest: oci-client takes a body of any size. It does the rest:
//! who may, and what is pushed.

use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use x509_parser::pem::Pem;

use super::layout::{self, Descriptor, INDEX, Index, MANIFEST, Manifest};
use super::{LARGEST_SIGNATURE, Trouble};
use crate::config::{Registries, Repository};
use crate::digest::Digest;
use crate::signature::Signature;
use crate::tls;

/// Far more than a manifest with one layer needs.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// How many signatures of one filter are looked at: two keys while they are rotated, times a few people who sign.
const MOST_SIGNATURES: usize = 32;

/// How many versions are listed, and how many pages of them are asked for.
const MOST_TAGS: usize = 1000;
const MOST_PAGES: usize = 10;

/// A registry that does not answer for so long does not answer.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// For everything that is done at once: 32 MiB by a slow line.
const WHOLE: Duration = Duration::from_secs(180);

/// One repository, and who we are to its registry.
pub struct Session {
    repository: Repository,
    scheme: &'static str,
    http: reqwest::Client,
    oci: Client,
    auth: RegistryAuth,
    /// Asked for once.
    token: OnceCell<Option<String>>,
}

/// Runs something that waits for a network, on a thread of its own: from wherever it is called, a runtime or none.
pub(super) fn wait<T: Send, F: Future<Output = Result<T, Trouble>>>(
    repository: &Repository,
    work: impl FnOnce() -> F + Send,
) -> Result<T, Trouble> {
    let here = |error: std::io::Error| Trouble::Here(format!("cannot start: {error}"));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("registry".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(here)?;
            let done = runtime.block_on(async { timeout(WHOLE, work()).await });
            // A lookup of a name may still be under way, which nobody waits for any more.
            runtime.shutdown_background();
            done.unwrap_or_else(|_| {
                Err(Trouble::Slow {
                    registry: repository.registry().to_owned(),
                    seconds: WHOLE.as_secs(),
                })
            })
        });
        let panicked = |_| Err(Trouble::Here("it panicked; this is a bug".to_owned()));
        thread.map_err(here)?.join().unwrap_or_else(panicked)
    })
}

impl Session {
    /// Runs something with a session.
    ///
    /// # Errors
    /// Its own; and where the configuration is of no use.
    pub fn run<T: Send, F>(registries: &Registries, repository: &Repository, work: F) -> Result<T, Trouble>
    where
        F: AsyncFnOnce(Self) -> Result<T, Trouble> + Send,
    {
        wait(repository, || async { work(Self::open(registries, repository)?).await })
    }

    fn open(registries: &Registries, repository: &Repository) -> Result<Self, Trouble> {
        tls::install_provider();
        let plain =
            is_loopback(repository.registry()) || registries.insecure.iter().any(|host| host == repository.registry());
        let authorities = registries.authorities.as_deref().map(authorities).transpose()?;
        let authorities = authorities.unwrap_or_default();
        let certificates = authorities
            .iter()
            .filter_map(|der| reqwest::Certificate::from_der(der).ok());
        let http = reqwest::Client::builder()
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tls_certs_merge(certificates)
            .build()
            .map_err(|error| Trouble::Here(format!("cannot speak TLS: {}", chain(&error))))?;
        let oci = Client::try_from(ClientConfig {
            protocol: if plain {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            extra_root_certificates: authorities
                .into_iter()
                .map(|data| Certificate {
                    encoding: CertificateEncoding::Der,
                    data,
                })
                .collect(),
            // A filter is small, and not every registry takes blobs in pieces.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: AGENT,
            ..ClientConfig::default()
        })
        .map_err(|error| Trouble::Here(format!("cannot speak TLS: {}", chain(&error))))?;
        Ok(Self {
            repository: repository.clone(),
            scheme: if plain { "http" } else { "https" },
            http,
            oci,
            auth: credentials(repository.registry())?,
            token: OnceCell::new(),
        })
    }

    /// What a tag means now, without what is in it. `None`: the registry does not say so.
    pub(super) async fn meaning(&self, tag: &str) -> Result<Option<Digest>, Trouble> {
        let what = format!("{}:{tag}", self.repository.path());
        let request = self
            .http
            .head(self.url(&format!("manifests/{tag}")))
            .header(ACCEPT, MANIFEST);
        let response = self.send(request, &what).await?;
        let header = response.headers().get("docker-content-digest");
        Ok(header.and_then(|digest| digest.to_str().ok()?.parse().ok()))
    }

    /// A manifest, by a tag.
    pub(super) async fn tagged(&self, tag: &str) -> Result<(Digest, Vec<u8>), Trouble> {
        let what = format!("{}:{tag}", self.repository.path());
        let bytes = self
            .get(&format!("manifests/{tag}"), MANIFESTS, &what, LARGEST_MANIFEST)
            .await?;
        Ok((Digest::of(&bytes), bytes))
    }

    /// A manifest, by its digest.
    pub(super) async fn manifest(&self, digest: Digest) -> Result<Vec<u8>, Trouble> {
        let what = format!("{}@{digest}", self.repository.path());
        let bytes = self
            .get(&format!("manifests/{digest}"), MANIFESTS, &what, LARGEST_MANIFEST)
            .await?;
        intact(bytes, digest, what)
    }

    pub(super) async fn blob(&self, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>, Trouble> {
        let digest = descriptor.digest().map_err(Trouble::NoFilter)?;
        let what = format!("{} of {}", digest, self.repository.path());
        if descriptor.size > most {
            return Err(Trouble::TooLarge { what, most });
        }
        // No more than was promised, however much comes.
        let bytes = self
            .get(&format!("blobs/{digest}"), "*/*", &what, descriptor.size)
            .await;
        let bytes = bytes.map_err(|trouble| match trouble {
            Trouble::TooLarge { what, .. } => {
                Trouble::NoFilter(format!("{what} has more bytes than its manifest says"))
            }
            other => other,
        })?;
        intact(bytes, digest, what)
    }

    /// What has been published to say whose a manifest is: ours beside it, and cosign's.
    pub(super) async fn signatures(&self, manifest: Digest) -> Result<Vec<Signature>, Trouble> {
        let mut signatures = Vec::new();
        for entry in self.referrers(manifest).await?.signatures().take(MOST_SIGNATURES) {
            signatures.extend(absent_is_none(self.signature(entry).await)?.flatten());
        }
        if let Some((_, bytes)) = absent_is_none(self.tagged(&layout::cosign_tag(manifest)).await)?
            && let Ok(attached) = Manifest::parse(&bytes)
        {
            for layer in attached.layers.iter().take(MOST_SIGNATURES) {
                signatures.extend(absent_is_none(self.cosign(layer).await)?.flatten());
            }
        }
        Ok(signatures)
    }

    /// Those that refer to a manifest: as the registry knows them, or under the tag for registries that do not.
    pub(super) async fn referrers(&self, manifest: Digest) -> Result<Index, Trouble> {
        let what = format!("what refers to {manifest}");
        let known = self
            .get(&format!("referrers/{manifest}"), INDEX, &what, LARGEST_MANIFEST)
            .await;
        let known = match known {
            // Proxies in front of registries deny what they do not know.
            Err(Trouble::Denied { .. }) => None,
            known => absent_is_none(known)?,
        };
        let index = |bytes: Vec<u8>| serde_json::from_slice(&bytes).ok();
        Ok(match known.and_then(index) {
            Some(index) => index,
            None => {
                let fallback = self.fallback(manifest).await?.and_then(index);
                fallback.unwrap_or_else(|| Index::new(Vec::new()))
            }
        })
    }

    pub(super) async fn fallback(&self, manifest: Digest) -> Result<Option<Vec<u8>>, Trouble> {
        let tagged = self.tagged(&layout::fallback_tag(manifest)).await;
        Ok(absent_is_none(tagged)?.map(|(_, bytes)| bytes))
    }

    async fn signature(&self, entry: &Descriptor) -> Result<Option<Signature>, Trouble> {
        let digest = entry.digest().map_err(Trouble::NoFilter)?;
        let manifest = Manifest::parse(&self.manifest(digest).await?).map_err(Trouble::NoFilter)?;
        let Some(layer) = manifest.layers.first() else {
            return Ok(None);
        };
        let bytes = self.blob(layer, LARGEST_SIGNATURE).await?;
        Ok(String::from_utf8(bytes).ok().map(Signature::Minisign))
    }

    async fn cosign(&self, layer: &Descriptor) -> Result<Option<Signature>, Trouble> {
        let signature = layer.annotations.get(layout::COSIGN_SIGNATURE);
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        let (true, Some(signature)) = (layer.media_type == layout::COSIGN_PAYLOAD, signature) else {
            return Ok(None);
        };
        let payload = self.blob(layer, LARGEST_SIGNATURE).await?;
        Ok(Some(Signature::Cosign { payload, signature }))
    }

    /// The versions that have a name, 1.9 in front of 1.10.
    pub(super) async fn tags(&self) -> Result<Vec<String>, Trouble> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", self.repository.path());
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..MOST_PAGES {
            let last = tags.last().map(|last| format!("&last={last}")).unwrap_or_default();
            let bytes = self
                .get(
                    &format!("tags/list?n={MOST_TAGS}{last}"),
                    "*/*",
                    &what,
                    LARGEST_MANIFEST,
                )
                .await?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| Trouble::NoFilter(format!("the {what} cannot be read: {error}")))?;
            let page = page.tags.unwrap_or_default();
            let is_last = page.len() < MOST_TAGS;
            tags.extend(page);
            if is_last {
                break;
            }
        }
        tags.retain(|tag| layout::is_version(tag));
        tags.sort_by_cached_key(|tag| layout::order(tag));
        Ok(tags)
    }

    pub(super) async fn push_blob(&self, bytes: &[u8]) -> Result<(), Trouble> {
        let digest = Digest::of(bytes).to_string();
        let what = format!("to take {digest} into {}", self.repository.path());
        let image = self.image("latest");
        self.oci
            .store_auth_if_needed(image.resolve_registry(), &self.auth)
            .await;
        let there = self.oci.blob_exists(&image, &digest).await;
        if !there.map_err(|error| self.refused(error, &what))? {
            let pushed = self.oci.push_blob(&image, bytes.to_vec(), &digest).await;
            pushed.map_err(|error| self.refused(error, &what))?;
        }
        Ok(())
    }

    /// Under a tag, or under its digest alone.
    pub(super) async fn push_manifest(
        &self,
        tag: Option<&str>,
        media_type: &'static str,
        bytes: &[u8],
    ) -> Result<Digest, Trouble> {
        let digest = Digest::of(bytes);
        let image = match tag {
            Some(tag) => self.image(tag),
            None => {
                let (registry, path) = (self.repository.registry().to_owned(), self.repository.path().to_owned());
                oci_client::Reference::with_digest(registry, path, digest.to_string())
            }
        };
        let what = format!("to take {image}");
        self.oci
            .store_auth_if_needed(image.resolve_registry(), &self.auth)
            .await;
        let kind = HeaderValue::from_static(media_type);
        let pushed = self.oci.push_manifest_raw(&image, bytes.to_vec(), kind).await;
        pushed.map_err(|error| self.refused(error, &what))?;
        Ok(digest)
    }

    fn image(&self, tag: &str) -> oci_client::Reference {
        let (registry, path) = (self.repository.registry().to_owned(), self.repository.path().to_owned());
        oci_client::Reference::with_tag(registry, path, tag.to_owned())
    }

    fn url(&self, path: &str) -> String {
        // Docker's own has another name where it is spoken to.
        let image = self.image("latest");
        let registry = image.resolve_registry();
        format!("{}://{registry}/v2/{}/{path}", self.scheme, self.repository.path())
    }

    async fn get(&self, path: &str, accept: &str, what: &str, most: u64) -> Result<Vec<u8>, Trouble> {
        let mut response = self
            .send(self.http.get(self.url(path)).header(ACCEPT, accept), what)
            .await?;
        let too_large = || Trouble::TooLarge {
            what: what.to_owned(),
            most,
        };
        if response.content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, Trouble> {
        let authorize = || async {
            let image = self.image("latest");
            let token = self.oci.auth(&image, &self.auth, RegistryOperation::Pull).await;
            token.map_err(|error| self.refused(error, what))
        };
        let request = match (self.token.get_or_try_init(authorize).await?, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(self.answered(status.as_u16(), what, &said(response).await)),
        }
    }

    fn answered(&self, status: u16, what: &str, said: &str) -> Trouble {
        let registry = self.repository.registry().to_owned();
        let what = what.to_owned();
        match status {
            401 | 403 => Trouble::Denied { registry, what, status },
            404 => Trouble::NotFound { registry, what },
            _ => Trouble::Answer {
                registry,
                what,
                status,
                said: said.to_owned(),
            },
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Trouble {
        let registry = self.repository.registry().to_owned();
        let mut reason = chain(error);
        // What rustls says of an answer that is no TLS.
        if reason.contains("corrupt message") {
            reason = format!(
                "it does not speak TLS ({reason}); where plain http is what you want, add \"{registry}\" to `insecure` of \
                 `[registries]`"
            );
        }
        Trouble::Unreachable { registry, reason }
    }

    fn refused(&self, error: OciDistributionError, what: &str) -> Trouble {
        match error {
            OciDistributionError::RequestError(error) => match error.status() {
                Some(status) => self.answered(status.as_u16(), what, &short(&error.to_string())),
                None => self.unreachable(&error),
            },
            OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
                self.answered(401, what, "")
            }
            OciDistributionError::ServerError { code, message, .. } => self.answered(code, what, &short(&message)),
            other => self.answered(400, what, &short(&chain(&other))),
        }
    }
}

const AGENT: &str = concat!("spliceway/", env!("CARGO_PKG_VERSION"));

/// A filter's own, and that of an index, so that it is told what it is instead of "not found".
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json";

fn intact(bytes: Vec<u8>, expected: Digest, what: String) -> Result<Vec<u8>, Trouble> {
    let found = Digest::of(&bytes);
    match found == expected {
        true => Ok(bytes),
        false => Err(Trouble::Tampered { what, expected, found }),
    }
}

/// What is not there, or is not what it should be, is as good as none; a registry that does not answer is something else.
fn absent_is_none<T>(found: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Trouble::Answer { status, .. }) if status < 500 && status != 429 => Ok(None),
        Err(Trouble::NotFound { .. } | Trouble::NoFilter(_) | Trouble::TooLarge { .. }) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The Docker configuration: what `docker login` wrote, or a helper knows.
fn credentials(registry: &str) -> Result<RegistryAuth, Trouble> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
    let Some(path) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let failed = |reason: &dyn std::fmt::Display| {
        Trouble::Here(format!("{} is of no use for {registry}: {reason}", path.display()))
    };
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(RegistryAuth::Anonymous);
        }
        Err(error) => return Err(failed(&error)),
    };
    match get_credential_from_reader(BufReader::new(file), registry) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(failed(
            &"it has an identity token, which is not supported: log in with a password or an access token",
        )),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(failed(&error)),
    }
}

fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, Trouble> {
    let failed =
        |reason: String| Trouble::Here(format!("`authorities` of `[registries]`, {}: {reason}", file.display()));
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let blocks: Result<Vec<_>, _> = Pem::iter_from_buffer(&bytes).collect();
    let blocks = blocks.map_err(|error| failed(error.to_string()))?;
    let certificates = blocks.into_iter().filter(|block| block.label == "CERTIFICATE");
    let certificates: Vec<_> = certificates.map(|block| block.contents).collect();
    match certificates.is_empty() {
        true => Err(failed("expected PEM with at least one certificate".to_owned())),
        false => Ok(certificates),
    }
}

/// Whether what is sent there stays on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The beginning of a body that says what is wrong.
async fn said(mut response: Response) -> String {
    match response.chunk().await {
        Ok(Some(chunk)) => short(&String::from_utf8_lossy(&chunk)),
        Ok(None) | Err(_) => "nothing more".to_owned(),
    }
}

fn short(text: &str) -> String {
    const LONG: usize = 200;
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().take(LONG).map(printable).collect()
}

/// Of an error and of those behind it, without saying anything twice.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_this_machine_is_loopback() {
        for registry in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in [
            "localhost.example",
            "registry.example:5000",
            "10.0.0.1",
            "0.0.0.0:5000",
            "[::]",
            "[2001:db8::1]:1",
        ] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }

    #[test]
    fn what_a_registry_says_goes_to_the_log_as_a_line() {
        assert_eq!(short(" a\u{1b}[31m\nb "), "a [31m b");
        assert_eq!(short(&"é".repeat(1000)).chars().count(), 200);
    }
}
