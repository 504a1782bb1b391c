//! Loading images: OCI layouts (image-spec, image-layout.md) and the archives
//! of `docker save`, as folders or as tars.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::archive::decompress::Compression;
use super::archive::limits;
use super::ingest::{Expected, Ingest, same_size};
use super::layout::{Layout, blob_name, missing};
use super::manifest::{
    self, ArchivedImage, ConfigFile, Descriptor, Document, Index, Manifest, NAME_ANNOTATION,
    OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Platform, REF_ANNOTATION,
};
use super::record::{self, Layer, Record};
use super::{Digest, Error, Reference, Store};

/// An index in an index in an index is enough.
const INDEX_DEPTH_MAX: usize = 3;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    /// What it is called now; empty when the archive does not say.
    pub names: Vec<Reference>,
}

/// What to load from.
#[derive(Debug)]
pub enum Source<'a> {
    /// A folder or a file.
    Path(&'a Path),
    /// An open archive, a pipe for example.
    Stream(File),
}

impl Store {
    /// Loads every image of `source`. With `name`, there must be one, and it
    /// gets that name instead of its own.
    ///
    /// # Errors
    /// What the source is not, or what the machine cannot hold. Images before
    /// the one that failed are there.
    pub fn load(&self, source: Source<'_>, name: Option<&Reference>) -> Result<Vec<Loaded>, Error> {
        let first = Ingest::begin(self)?;
        let layout = match source {
            Source::Path(path) if path.is_dir() => Layout::folder(path)?,
            Source::Path(path) => {
                let file = File::open(path).map_err(Error::io("open", path.display()))?;
                Layout::archive(file, &first.scratch("archive"))?
            }
            Source::Stream(file) => Layout::archive(file, &first.scratch("archive"))?,
        };
        drop(first);
        let found = find(&layout)?;
        if name.is_some() && found.len() != 1 {
            let what = format!("name {} images of one archive", found.len());
            return Err(Error::Unsupported { what: format!("{what}: a name is for one image") });
        }
        let mut loaded = Vec::new();
        for (image, names) in found {
            let names = name.map_or(names, |name| vec![name.clone()]);
            let id = match image {
                Found::Oci(descriptor) => load_oci(self, &layout, &descriptor, &names)?,
                Found::Docker(image) => load_docker(self, &layout, &image, &names)?,
            };
            loaded.push(Loaded { id, names });
        }
        Ok(loaded)
    }
}

/// An image that a layout holds.
#[derive(Debug)]
enum Found {
    Oci(Descriptor),
    Docker(ArchivedImage),
}

fn find(layout: &Layout) -> Result<Vec<(Found, Vec<Reference>)>, Error> {
    if let Some(bytes) = layout.small("index.json", limits::MANIFEST_MAX_BYTES)? {
        let index: Index = manifest::parse("index.json", &bytes)?;
        return find_oci(layout, &index);
    }
    if let Some(bytes) = layout.small("manifest.json", limits::MANIFEST_MAX_BYTES)? {
        let images: Vec<ArchivedImage> = manifest::parse("manifest.json", &bytes)?;
        let named = |image: ArchivedImage| {
            let names = tags(&image)?;
            Ok((Found::Docker(image), names))
        };
        return images.into_iter().map(named).collect();
    }
    let problem = "neither index.json (an OCI layout) nor manifest.json (a docker archive) in it";
    Err(Error::malformed("image", problem))
}

/// The images of an index that this machine can run, with equal ones once.
fn find_oci(layout: &Layout, index: &Index) -> Result<Vec<(Found, Vec<Reference>)>, Error> {
    let host = Platform::host();
    let mut found: Vec<(Descriptor, BTreeSet<Reference>)> = Vec::new();
    for descriptor in &index.manifests {
        if descriptor.platform.as_ref().is_some_and(|platform| !platform.suits(&host)) {
            continue;
        }
        let chosen = choose(layout, descriptor, &host, INDEX_DEPTH_MAX)?;
        let name = name_of(descriptor)?;
        match found.iter_mut().find(|(other, _)| other.digest == chosen.digest) {
            Some((_, names)) => names.extend(name),
            None => found.push((chosen, name.into_iter().collect())),
        }
    }
    if found.is_empty() {
        return Err(Error::NoPlatform { what: "index.json".into(), platform: host.to_string() });
    }
    // Docker writes both descriptions; the other one may know the full names.
    if let [(_, names)] = found.as_mut_slice()
        && names.is_empty()
        && let Some(bytes) = layout.small("manifest.json", limits::MANIFEST_MAX_BYTES)?
        && let [image] = manifest::parse::<Vec<ArchivedImage>>("manifest.json", &bytes)?.as_slice()
    {
        names.extend(tags(image)?);
    }
    Ok(found.into_iter().map(|(d, names)| (Found::Oci(d), names.into_iter().collect())).collect())
}

/// Follows indexes to the manifest for this machine.
fn choose(
    layout: &Layout,
    descriptor: &Descriptor,
    host: &Platform,
    depth: usize,
) -> Result<Descriptor, Error> {
    let what = blob_name(&descriptor.digest);
    match document(layout, descriptor)? {
        Document::Manifest(_) => Ok(descriptor.clone()),
        Document::Index(_) if depth == 0 => Err(Error::malformed(what, "indexes nested too deep")),
        Document::Index(index) => {
            let suits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.suits(host));
            let only = || match index.manifests.as_slice() {
                [only] if only.platform.is_none() => Some(only),
                _ => None,
            };
            let chosen = index
                .manifests
                .iter()
                .find(suits)
                .or_else(only)
                .ok_or_else(|| Error::NoPlatform { what, platform: host.to_string() })?;
            choose(layout, chosen, host, depth - 1)
        }
    }
}

fn document(layout: &Layout, descriptor: &Descriptor) -> Result<Document, Error> {
    let what = blob_name(&descriptor.digest);
    let bytes = layout.small_blob(&descriptor.digest, limits::MANIFEST_MAX_BYTES)?;
    same_size(&what, descriptor.size, bytes.len() as u64)?;
    Document::parse(&what, &bytes)
}

/// The full name an index gives an image. A bare tag says too little.
fn name_of(descriptor: &Descriptor) -> Result<Option<Reference>, Error> {
    let annotation = |key: &str| descriptor.annotations.get(key);
    let text = annotation(NAME_ANNOTATION)
        .or_else(|| annotation(REF_ANNOTATION).filter(|text| text.contains(['/', ':'])));
    text.map(|text| parse_name(text)).transpose()
}

fn tags(image: &ArchivedImage) -> Result<Vec<Reference>, Error> {
    image.repo_tags.iter().map(|text| parse_name(text)).collect()
}

fn parse_name(text: &str) -> Result<Reference, Error> {
    Reference::parse(text).map_err(|problem| Error::Reference { text: text.into(), problem })
}

fn load_oci(
    store: &Store,
    layout: &Layout,
    descriptor: &Descriptor,
    names: &[Reference],
) -> Result<Digest, Error> {
    let what = blob_name(&descriptor.digest);
    let bytes = layout.small_blob(&descriptor.digest, limits::MANIFEST_MAX_BYTES)?;
    let Document::Manifest(manifest) = Document::parse(&what, &bytes)? else {
        return Err(Error::malformed(what, "not a manifest"));
    };
    let config_bytes = layout.small_blob(&manifest.config.digest, limits::CONFIG_MAX_BYTES)?;
    same_size("config", manifest.config.size, config_bytes.len() as u64)?;
    let config = read_config(&manifest.config, &config_bytes)?;
    same_layers(&config, manifest.layers.len())?;

    let mut ingest = Ingest::begin(store)?;
    let mut layers: Vec<Layer> = Vec::new();
    for (layer, &diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        if layer.media_type.contains("encrypted") {
            let what = format!("read layer {}: encrypted layers are not supported", layer.digest);
            return Err(Error::Unsupported { what });
        }
        let name = blob_name(&layer.digest);
        let blob = layout.open(&name)?.ok_or_else(|| missing(&name))?;
        same_size(&name, layer.size, blob.bytes())?;
        let expected = Expected {
            media_type: layer.media_type.clone(),
            blob: Some(layer.digest),
            blob_bytes: Some(layer.size),
            diff_id: Some(diff_id),
        };
        layers.push(ingest.layer(&format!("layer {}", layer.digest), blob, expected, &layers)?);
    }
    let id = ingest.small_blob(&config_bytes)?;
    let manifest = ingest.small_blob(&bytes)?;
    ingest.commit(&record(id, manifest, config, layers), names)?;
    Ok(id)
}

fn load_docker(
    store: &Store,
    layout: &Layout,
    image: &ArchivedImage,
    names: &[Reference],
) -> Result<Digest, Error> {
    let config_bytes = layout
        .small(&image.config, limits::CONFIG_MAX_BYTES)?
        .ok_or_else(|| missing(&image.config))?;
    let config: ConfigFile = manifest::parse(&image.config, &config_bytes)?;
    same_layers(&config, image.layers.len())?;
    // The file is named by its digest.
    let stem = image.config.rsplit('/').next().unwrap_or_default();
    if let Ok(want) = Digest::from_hex(stem.strip_suffix(".json").unwrap_or(stem)) {
        super::ingest::same_digest(&image.config, want, Digest::of(&config_bytes))?;
    }

    let mut ingest = Ingest::begin(store)?;
    let mut layers: Vec<Layer> = Vec::new();
    for (name, &diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
        let blob = layout.open(name)?.ok_or_else(|| missing(name))?;
        let compression = blob.compression()?;
        let expected = Expected {
            media_type: layer_media_type(compression),
            // A plain layer's blob is known by its diff id.
            blob: (compression == Compression::None).then_some(diff_id),
            blob_bytes: Some(blob.bytes()),
            diff_id: Some(diff_id),
        };
        layers.push(ingest.layer(&format!("layer {name:?}"), blob, expected, &layers)?);
    }
    let id = ingest.small_blob(&config_bytes)?;
    let manifest = describe(id, config_bytes.len() as u64, &layers)?;
    let manifest = ingest.small_blob(&manifest)?;
    ingest.commit(&record(id, manifest, config, layers), names)?;
    Ok(id)
}

/// A manifest for an image that came without one.
pub(super) fn describe(
    config: Digest,
    config_bytes: u64,
    layers: &[Layer],
) -> Result<Vec<u8>, Error> {
    let descriptor = |media_type: &str, digest, size| Descriptor {
        media_type: media_type.into(),
        digest,
        size,
        annotations: Default::default(),
        platform: None,
    };
    let layers =
        layers.iter().map(|layer| descriptor(&layer.media_type, layer.blob, layer.blob_bytes));
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.into(),
        config: descriptor(OCI_CONFIG, config, config_bytes),
        layers: layers.collect(),
    };
    serde_json::to_vec(&manifest).map_err(|error| Error::malformed("manifest", error))
}

pub(super) fn layer_media_type(compression: Compression) -> String {
    let suffix = match compression {
        Compression::None => "",
        Compression::Gzip => "+gzip",
        Compression::Zstd => "+zstd",
    };
    format!("{OCI_LAYER}{suffix}")
}

pub(super) fn record(
    id: Digest,
    manifest: Digest,
    config: ConfigFile,
    layers: Vec<Layer>,
) -> Record {
    Record {
        version: record::VERSION,
        id,
        manifest,
        created: config.created,
        architecture: config.architecture,
        os: config.os,
        config: config.config.into(),
        layers,
    }
}

fn read_config(descriptor: &Descriptor, bytes: &[u8]) -> Result<ConfigFile, Error> {
    let known = ["", OCI_CONFIG, manifest::DOCKER_CONFIG];
    if !known.contains(&descriptor.media_type.as_str()) {
        let what = format!("read config: {} is no container image", descriptor.media_type);
        return Err(Error::Unsupported { what });
    }
    manifest::parse("config", bytes)
}

fn same_layers(config: &ConfigFile, layers: usize) -> Result<(), Error> {
    let diff_ids = config.rootfs.diff_ids.len();
    if diff_ids != layers {
        let problem = format!("{diff_ids} diff ids for {layers} layers");
        return Err(Error::malformed("config", problem));
    }
    if layers > limits::LAYERS_MAX {
        let limit = format!("{} layers", limits::LAYERS_MAX);
        return Err(Error::TooLarge { what: "image".into(), limit });
    }
    Ok(())
}
