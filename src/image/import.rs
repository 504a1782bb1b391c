//! Importing a root file system as an image of one layer, as `docker import`
//! does. The same files give the same image.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::archive::pack::pack;
use super::ingest::{Expected, Ingest};
use super::layout::Content;
use super::load::{Loaded, describe, layer_media_type, record};
use super::manifest::{self, ConfigFile, Platform, Process};
use super::record::Layer;
use super::{Error, ImageConfig, Reference, Store};

impl Store {
    /// Imports the folder `path`: what is mounted on it stays out.
    ///
    /// # Errors
    /// Files that cannot be read or stored.
    pub fn import_dir(
        &self,
        path: &Path,
        name: &Reference,
        config: &ImageConfig,
    ) -> Result<Loaded, Error> {
        let ingest = Ingest::begin(self)?;
        let scratch = ingest.scratch("packed");
        let create = || -> Result<File, std::io::Error> {
            let file = File::options().read(true).write(true).create_new(true).open(&scratch)?;
            std::fs::remove_file(&scratch)?;
            Ok(file)
        };
        let file = create().map_err(Error::io("create", scratch.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, Hashing::new(&file));
        pack(path, &mut out)?;
        let hashing = out
            .into_inner()
            .map_err(|error| Error::io("write", scratch.display())(error.into_error()))?;
        let digest = super::Digest::from_hasher(hashing.hasher);
        let content = Content::new(file)?;
        let expected = Expected {
            media_type: manifest::OCI_LAYER.into(),
            blob: Some(digest),
            blob_bytes: Some(content.bytes()),
            diff_id: Some(digest),
        };
        enter(ingest, content, expected, name, config)
    }

    /// Imports a tar, plain or compressed.
    ///
    /// # Errors
    /// An archive that is damaged or hostile, or that cannot be stored.
    pub fn import_tar(
        &self,
        mut archive: File,
        name: &Reference,
        config: &ImageConfig,
    ) -> Result<Loaded, Error> {
        let ingest = Ingest::begin(self)?;
        if !archive.metadata().is_ok_and(|metadata| metadata.is_file()) {
            let scratch = ingest.scratch("archive");
            let mut spool = || -> Result<File, std::io::Error> {
                let mut file =
                    File::options().read(true).write(true).create_new(true).open(&scratch)?;
                std::fs::remove_file(&scratch)?;
                std::io::copy(&mut archive, &mut file)?;
                Ok(file)
            };
            archive = spool().map_err(Error::io("write", scratch.display()))?;
        }
        let content = Content::new(archive)?;
        let expected = Expected {
            media_type: layer_media_type(content.compression()?),
            blob: None,
            blob_bytes: None,
            diff_id: None,
        };
        enter(ingest, content, expected, name, config)
    }
}

fn enter(
    mut ingest: Ingest<'_>,
    content: Content,
    expected: Expected,
    name: &Reference,
    config: &ImageConfig,
) -> Result<Loaded, Error> {
    let layers = vec![ingest.layer("layer", content, expected, &[])?];
    let bytes = config_file(config, &layers)?;
    let id = ingest.small_blob(&bytes)?;
    let manifest = ingest.small_blob(&describe(id, bytes.len() as u64, &layers)?)?;
    let file: ConfigFile = manifest::parse("config", &bytes)?;
    ingest.commit(&record(id, manifest, file, layers), std::slice::from_ref(name))?;
    Ok(Loaded { id, names: vec![name.clone()] })
}

/// A config without a date, so that nothing but the files decides the id. Some
/// tools refuse to build upon layers that no history tells of.
fn config_file(config: &ImageConfig, layers: &[Layer]) -> Result<Vec<u8>, Error> {
    let host = Platform::host();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let file = json!({
        "architecture": host.architecture,
        "os": host.os,
        "config": Process::from(config),
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": vec![json!({ "created_by": "podrt image import" }); layers.len()],
    });
    serde_json::to_vec(&file).map_err(|error| Error::malformed("config", error))
}

/// A file being written, hashed on the way.
struct Hashing<'a> {
    file: &'a File,
    hasher: sha2::Sha256,
}

impl<'a> Hashing<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, hasher: sha2::Digest::new() }
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        sha2::Digest::update(&mut self.hasher, &bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
