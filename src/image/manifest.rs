//! The JSON of images: OCI's indexes, manifests and configs, docker's forms of
//! the same, and the `manifest.json` of docker's archives. Unknown fields are
//! left alone, `null` is as good as absent.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Digest, Error, ImageConfig};
use crate::model::Signal;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The full name, as containerd and docker annotate it in an index.
pub const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The name or only the tag, as OCI annotates it in an index.
pub const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// What an index or a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// An index or a manifest: which of them, its fields tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    Index(Index),
    Manifest(Manifest),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// One image of a docker archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArchivedImage {
    pub config: String,
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<String>,
}

/// An image's config, as far as podrt reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ConfigFile {
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    #[serde(default, deserialize_with = "or_default")]
    pub config: Process,
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
}

/// The `config` of a config: what a container's process gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Process {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub volumes: Map<String, Value>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub exposed_ports: Map<String, Value>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// Go writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Document {
    /// Reads an index or a manifest.
    ///
    /// # Errors
    /// JSON that is neither, or that could be taken for both: two readers
    /// would see two images (CVE-2021-41190).
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self, Error> {
        let fields: Map<String, Value> = parse(what, bytes)?;
        let is_index = fields.contains_key("manifests");
        let is_manifest = fields.contains_key("layers") || fields.contains_key("config");
        match (is_index, is_manifest) {
            (true, true) => Err(Error::malformed(what, "both an index and a manifest")),
            (true, false) => Ok(Self::Index(parse(what, bytes)?)),
            (false, true) => Ok(Self::Manifest(parse(what, bytes)?)),
            (false, false) if fields.contains_key("fsLayers") => Err(Error::Unsupported {
                what: format!("read {what}: manifests of schema 1 are not supported"),
            }),
            (false, false) => Err(Error::malformed(what, "neither an index nor a manifest")),
        }
    }
}

/// JSON from an image.
///
/// # Errors
/// [`Error::Malformed`] with the parser's words.
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))
}

impl Platform {
    /// This machine's, in Go's words.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.into(), os: "linux".into(), variant: String::new() }
    }

    /// Whether an image for `self` runs on `host`. An x86-64 microarchitecture
    /// level above the first cannot be promised.
    #[must_use]
    pub fn suits(&self, host: &Self) -> bool {
        self.os == host.os
            && self.architecture == host.architecture
            && matches!(self.variant.as_str(), "" | "v1" | "v8")
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl From<Process> for ImageConfig {
    fn from(process: Process) -> Self {
        Self {
            entrypoint: process.entrypoint,
            cmd: process.cmd,
            env: process.env,
            user: process.user,
            working_dir: process.working_dir,
            stop_signal: Signal::parse(&process.stop_signal),
            volumes: process.volumes.into_iter().map(|(path, _)| path).collect(),
            exposed_ports: process.exposed_ports.into_iter().map(|(port, _)| port).collect(),
            labels: process.labels,
        }
    }
}

impl From<&ImageConfig> for Process {
    fn from(config: &ImageConfig) -> Self {
        let set = |keys: &[String]| {
            keys.iter().map(|key| (key.clone(), Value::Object(Map::new()))).collect()
        };
        Self {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config.env.clone(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            stop_signal: config.stop_signal.map(|signal| signal.to_string()).unwrap_or_default(),
            volumes: set(&config.volumes),
            exposed_ports: set(&config.exposed_ports),
            labels: config.labels.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_of_go_with_nulls_reads_as_empty() {
        let text = json!({
            "architecture": "amd64", "os": "linux", "created": null,
            "config": { "Entrypoint": null, "Cmd": ["sh"], "Env": null, "StopSignal": "SIGINT",
                        "Volumes": { "/b": {}, "/a": {} }, "Labels": null, "Healthcheck": {} },
            "rootfs": { "type": "layers", "diff_ids": null }, "history": []
        });
        let file: ConfigFile = parse("config", text.to_string().as_bytes()).unwrap();
        let config = ImageConfig::from(file.config);
        assert_eq!(config.cmd, ["sh"]);
        assert_eq!(config.stop_signal, Some(Signal::INT));
        assert_eq!(config.volumes, ["/a", "/b"]);
        assert!(config.entrypoint.is_empty() && file.rootfs.diff_ids.is_empty());
        assert_eq!(ImageConfig::from(Process::from(&config)), config);
        let bare: ConfigFile = parse("config", br#"{"config":null}"#).unwrap();
        assert_eq!(bare, ConfigFile::default());
    }

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let parse = |text: &str| Document::parse("x", text.as_bytes()).map_err(|e| e.to_string());
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        assert_eq!(parse(both), Err("read x: both an index and a manifest".into()));
        assert_eq!(parse("{}"), Err("read x: neither an index nor a manifest".into()));
        assert!(matches!(parse(r#"{"schemaVersion":2,"manifests":[]}"#), Ok(Document::Index(_))));
        assert!(parse(r#"{"fsLayers":[]}"#).unwrap_err().contains("schema 1"));
        assert!(parse("[").is_err());
    }
}
