//! Filters into registries, and what is in them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layout::{
    self, COMPONENT, CONFIG, CONTRACT, Config, Descriptor, EMPTY, INDEX, Index, Interface, MANIFEST, Manifest,
    SIGNATURE,
};
use super::{Session, Trouble};
use crate::digest::Digest;
use crate::signature::{Signature, signer};

/// A version of a filter, as it is to be found by others.
pub struct Release<'a> {
    pub tag: &'a str,
    pub bytes: &'a [u8],
    /// RFC 3339.
    pub created: String,
    /// Names of the interfaces, as they are in the component.
    pub exports: &'a [String],
    pub imports: &'a [String],
    /// The version of the contract that it was built for.
    pub contract: &'a str,
    pub labels: Labels,
}

/// What people want to know about it.
#[derive(Debug, Default)]
pub struct Labels {
    pub title: String,
    pub version: Option<String>,
    pub description: Option<String>,
    pub licenses: Option<String>,
    pub source: Option<String>,
}

/// A version, as a list shows it.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub tag: String,
    pub digest: String,
    pub version: Option<String>,
    /// `None` is: this is no filter of ours, or whoever pushed it did not say.
    pub contract: Option<String>,
    /// The ids of keys, as the signatures name them: nothing is checked here. Cosign's name none.
    pub signed_by: Vec<String>,
}

/// Pushes a version, and gives the digest of its manifest. The same file with the same labels makes the same manifest.
///
/// # Errors
/// The registry does not take it.
pub async fn publish(session: &Session, release: &Release<'_>) -> Result<Digest, Trouble> {
    let config = Config {
        created: release.created.clone(),
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [Digest::of(release.bytes).to_string()],
        component: Interface {
            exports: release.exports,
            imports: release.imports,
        },
    };
    let config = document(&config)?;
    let manifest = document(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(CONFIG, &config),
        layers: vec![Descriptor::of(COMPONENT, release.bytes)],
        subject: None,
        annotations: release.annotations(),
    })?;
    session.push_blob(release.bytes).await?;
    session.push_blob(&config).await?;
    session.push_manifest(Some(release.tag), MANIFEST, &manifest).await
}

/// Publishes a signature beside a manifest.
///
/// # Errors
/// The registry does not take it.
pub async fn attach(session: &Session, manifest: Digest, signature: &str) -> Result<(), Trouble> {
    let subject = session.manifest(manifest).await?;
    let nothing = b"{}";
    let attached = document(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        artifact_type: Some(SIGNATURE.to_owned()),
        config: Descriptor::of(EMPTY, nothing),
        layers: vec![Descriptor::of(SIGNATURE, signature.as_bytes())],
        subject: Some(Descriptor::of(MANIFEST, &subject)),
        annotations: BTreeMap::new(),
    })?;
    session.push_blob(nothing).await?;
    session.push_blob(signature.as_bytes()).await?;
    let digest = session.push_manifest(None, MANIFEST, &attached).await?;
    let is_it = |entry: &Descriptor| entry.digest == digest.to_string();
    if session.referrers(manifest).await?.manifests.iter().any(is_it) {
        return Ok(());
    }
    // A registry that does not know what refers to what is told by a tag, which every client knows to ask for.
    let known = session.fallback(manifest).await?;
    let known = known.and_then(|bytes| serde_json::from_slice::<Index>(&bytes).ok());
    let entry = Descriptor {
        artifact_type: Some(SIGNATURE.to_owned()),
        ..Descriptor::of(MANIFEST, &attached)
    };
    let index = document(&known.unwrap_or_else(|| Index::new(Vec::new())).with(entry))?;
    session
        .push_manifest(Some(&layout::fallback_tag(manifest)), INDEX, &index)
        .await?;
    Ok(())
}

/// What lies in a repository, by tag.
///
/// # Errors
/// The registry does not say.
pub async fn list(session: &Session) -> Result<Vec<Listed>, Trouble> {
    let mut all = Vec::new();
    for tag in session.tags().await? {
        let (digest, bytes) = session.tagged(&tag).await?;
        let annotations = Manifest::parse(&bytes)
            .map(|manifest| manifest.annotations)
            .unwrap_or_default();
        let signatures = session.signatures(digest).await?;
        let signed_by = signatures.iter().map(|signature| match signature {
            Signature::Minisign(text) => signer(text).unwrap_or_else(|| "unreadable".to_owned()),
            Signature::Cosign { .. } => "cosign".to_owned(),
        });
        all.push(Listed {
            tag,
            digest: digest.to_string(),
            version: annotations.get(VERSION).cloned(),
            contract: annotations.get(CONTRACT).cloned(),
            signed_by: signed_by.collect(),
        });
    }
    Ok(all)
}

const VERSION: &str = "org.opencontainers.image.version";

impl Release<'_> {
    fn annotations(&self) -> BTreeMap<String, String> {
        let labels = &self.labels;
        let optional = [
            (VERSION, &labels.version),
            ("org.opencontainers.image.description", &labels.description),
            ("org.opencontainers.image.licenses", &labels.licenses),
            ("org.opencontainers.image.source", &labels.source),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)));
        [
            ("org.opencontainers.image.title", labels.title.as_str()),
            (CONTRACT, self.contract),
        ]
        .into_iter()
        .chain(optional)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }
}

fn document(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::Here(error.to_string()))
}
