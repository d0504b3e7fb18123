//! How a filter lies in a registry: the CNCF's layout for WebAssembly components, and signatures beside it.
//!
//! Pure: documents in, documents out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const COMPONENT: &str = "application/wasm";
/// A manifest that is about nothing but its layers has this for a configuration: `{}`.
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Of a manifest that refers to a filter's: its one layer is the text of a `.minisig` file.
pub(super) const SIGNATURE: &str = "application/vnd.spliceway.signature.v1+minisign";
pub(super) const COSIGN_PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(super) const COSIGN_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The annotation with the version of the contract.
pub(super) const CONTRACT: &str = "dev.spliceway.filter.contract";

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// The configuration of a component's manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config<'a> {
    pub created: String,
    pub architecture: &'static str,
    pub os: &'static str,
    pub layer_digests: [String; 1],
    pub component: Interface<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Interface<'a> {
    pub exports: &'a [String],
    pub imports: &'a [String],
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes).to_string(),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    pub fn digest(&self) -> Result<Digest, String> {
        self.digest
            .parse()
            .map_err(|error| format!("its manifest names something by `{}`: {error}", quoted(&self.digest)))
    }
}

impl Manifest {
    /// # Errors
    /// It is something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice::<Index>(bytes) {
            Ok(index) if !index.manifests.is_empty() => {
                "it is an index of several manifests, and a filter is one: name that by its digest".to_owned()
            }
            _ => format!("its manifest cannot be read: {error}"),
        })
    }

    /// The one layer that is a component.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn component(&self) -> Result<&Descriptor, String> {
        let mut components = self.layers.iter().filter(|layer| layer.media_type == COMPONENT);
        let found: Vec<&str> = self.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        match (components.next(), components.next()) {
            (Some(component), None) => Ok(component),
            (None, _) => Err(format!(
                "it is no filter: expected one layer `{COMPONENT}`, found {}",
                match found.is_empty() {
                    true => "none at all".to_owned(),
                    false => format!("`{}`", quoted(&found.join(", "))),
                }
            )),
            (Some(_), Some(_)) => Err(format!("it has several layers `{COMPONENT}`, and a filter is one")),
        }
    }
}

impl Index {
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.to_owned()),
            manifests,
        }
    }

    /// Those that are signatures of ours.
    pub fn signatures(&self) -> impl Iterator<Item = &Descriptor> {
        let is_ours = |entry: &&Descriptor| entry.artifact_type.as_deref() == Some(SIGNATURE);
        self.manifests.iter().filter(is_ours)
    }

    /// With one more entry, if it is not there yet.
    pub fn with(mut self, entry: Descriptor) -> Self {
        if self.manifests.iter().all(|known| known.digest != entry.digest) {
            self.manifests.push(entry);
        }
        self
    }
}

/// Somebody else's text in a message of ours.
fn quoted(text: &str) -> String {
    const LONG: usize = 200;
    text.chars().take(LONG).flat_map(char::escape_debug).collect()
}

/// Whether what a registry calls a tag is one, and is not one of those that signatures have.
pub(super) fn is_version(tag: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&tag.len()) && tag.bytes().all(is_character) && !tag.starts_with('.') && !is_attachment(tag)
}

/// The tag under which those that refer to a manifest are found where a registry has no better way.
pub(super) fn fallback_tag(manifest: Digest) -> String {
    format!("sha256-{}", manifest.hex())
}

/// The tag under which cosign puts its signatures.
pub(super) fn cosign_tag(manifest: Digest) -> String {
    format!("sha256-{}.sig", manifest.hex())
}

/// Whether a tag is one of those: no version of a filter.
fn is_attachment(tag: &str) -> bool {
    let digits = tag
        .strip_prefix("sha256-")
        .map(|rest| rest.split('.').next().unwrap_or(rest));
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What versions are sorted by: numbers by what they count, and words in front of them.
pub(super) fn order(tag: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = tag;
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (word, behind) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        parts.push((digits.parse().unwrap_or(0), word.to_owned()));
        rest = behind;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As oci-wasm 0.6 builds it, with which `wkg oci push` does.
    const WKG: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":362},
        "layers":[{"mediaType":"application/wasm","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":41}],
        "annotations":{"org.opencontainers.image.version":"1.0.0"}}"#;

    #[test]
    fn the_layer_of_a_component_is_found() {
        let manifest = Manifest::parse(WKG.as_bytes()).unwrap();
        assert_eq!(manifest.component().unwrap().size, 41);
        assert_eq!(manifest.annotations["org.opencontainers.image.version"], "1.0.0");
        let signed = WKG.replace(
            "\"layers\":[",
            "\"layers\":[{\"mediaType\":\"text/plain\",\"digest\":\"sha256:2\",\"size\":1},",
        );
        assert!(
            Manifest::parse(signed.as_bytes()).unwrap().component().is_ok(),
            "other layers do no harm"
        );
    }

    #[test]
    fn what_is_no_filter_is_said_to_be_what_it_is() {
        let problem = |text: &str| match Manifest::parse(text.as_bytes()) {
            Ok(manifest) => manifest.component().unwrap_err(),
            Err(error) => error,
        };
        let image = WKG.replace("application/wasm", "application/vnd.oci.image.layer.v1.tar+gzip");
        assert!(problem(&image).contains("found `application/vnd.oci.image.layer.v1.tar+gzip`"));
        let layer = &WKG[WKG.find("{\"mediaType\":\"application/wasm\"").unwrap()..WKG.find("],").unwrap()];
        assert!(problem(&WKG.replace(layer, "")).contains("none at all"));
        assert!(problem(&WKG.replace(layer, &format!("{layer},{layer}"))).contains("several layers"));
        assert!(problem("[]").contains("cannot be read"));
        let index = serde_json::to_string(&Index::new(vec![Descriptor::of(MANIFEST, b"")])).unwrap();
        assert!(problem(&index).contains("an index of several manifests"));
    }

    #[test]
    fn a_digest_of_another_kind_is_refused() {
        let manifest = Manifest::parse(WKG.replace("sha256:1111", "../../1111").as_bytes()).unwrap();
        assert!(
            manifest
                .component()
                .unwrap()
                .digest()
                .unwrap_err()
                .contains("../../1111")
        );
        let long = Descriptor {
            digest: "\u{1b}".repeat(1 << 20),
            ..Descriptor::of(MANIFEST, b"")
        };
        let said = long.digest().unwrap_err();
        assert!(said.len() < 2000 && !said.contains('\u{1b}'), "{} bytes", said.len());
    }

    #[test]
    fn tags_of_attachments_are_told_from_versions() {
        let digest = Digest::of(b"");
        assert!(is_attachment(&fallback_tag(digest)) && is_attachment(&cosign_tag(digest)));
        for version in ["1.2", "latest", "sha256-12", "sha256"] {
            assert!(is_version(version), "{version}");
        }
        let long = "1".repeat(129);
        for hostile in ["", "..", "../../v2", "1?n=2", "\u{1b}[2J", &long, &fallback_tag(digest)] {
            assert!(!is_version(hostile), "{hostile}");
        }
    }

    #[test]
    fn versions_are_in_the_order_in_which_they_were_counted() {
        let mut tags = [
            "1.10",
            "v2",
            "1.9",
            "latest",
            "1.9.1",
            "99999999999999999999999999999999999999999999",
            "1.9-rc1",
        ];
        tags.sort_by_cached_key(|tag| order(tag));
        assert_eq!(
            tags,
            [
                "99999999999999999999999999999999999999999999",
                "latest",
                "v2",
                "1.9",
                "1.9-rc1",
                "1.9.1",
                "1.10"
            ]
        );
    }

    #[test]
    fn an_index_has_each_entry_once() {
        let entry = Descriptor::of(MANIFEST, b"a");
        let index = Index::new(vec![entry.clone()])
            .with(entry)
            .with(Descriptor::of(MANIFEST, b"b"));
        assert_eq!(index.manifests.len(), 2);
    }
}
