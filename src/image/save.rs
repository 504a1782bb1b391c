//! Saving images: an OCI layout in a tar, with docker's `manifest.json` beside
//! the index, so that every tool finds what it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};

use serde_json::json;
use tar::{EntryType, Header};

use super::archive::limits;
use super::layout::blob_name;
use super::lock::Adding;
use super::manifest::{
    ArchivedImage, Descriptor, Document, Index, NAME_ANNOTATION, OCI_INDEX, OCI_MANIFEST, Platform,
    REF_ANNOTATION,
};
use super::{Digest, Error, Listed, Store};

impl Store {
    /// Writes the images of these names or ids as one archive. The same images
    /// give the same bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of writing.
    pub fn save(&self, images: &[String], out: impl Write) -> Result<(), Error> {
        // Nothing is removed while it is read.
        let _adding = Adding::begin(self)?;
        let mut archive = Archive { out, blobs: BTreeSet::new() };
        let mut index =
            Index { schema_version: 2, media_type: OCI_INDEX.into(), manifests: Vec::new() };
        let mut docker = Vec::new();
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        for text in images {
            let listed = self.find_listed(text)?;
            let (descriptor, image) = self.save_one(&listed, text, &mut archive)?;
            index.manifests.push(descriptor);
            docker.push(image);
        }
        archive.file("index.json", json!(index).to_string().as_bytes())?;
        archive.file("manifest.json", json!(docker).to_string().as_bytes())?;
        archive.out.write_all(&[0; 1024]).map_err(Error::io("write", "archive"))?;
        archive.out.flush().map_err(Error::io("write", "archive"))
    }

    fn save_one<W: Write>(
        &self,
        listed: &Listed,
        text: &str,
        archive: &mut Archive<W>,
    ) -> Result<(Descriptor, ArchivedImage), Error> {
        let record = &listed.record;
        let by_id = text.starts_with("sha256:");
        let name = listed.names.first().filter(|_| !by_id);
        let manifest = name.map_or(record.manifest, |name| name.manifest);
        let bytes = self.small_blob(&manifest, limits::MANIFEST_MAX_BYTES)?;
        let parsed = match Document::parse(&manifest.to_string(), &bytes)? {
            Document::Manifest(parsed) => parsed,
            Document::Index(_) => {
                let path = self.blob_file(&manifest);
                return Err(Error::Corrupt { path, problem: "not a manifest".into() });
            }
        };
        archive.blob(self, &manifest)?;
        archive.blob(self, &record.id)?;
        for layer in &parsed.layers {
            archive.blob(self, &layer.digest)?;
        }
        let annotations = name.map(|name| {
            let full = name.name.to_string();
            let tag = name.name.tag().unwrap_or_default().to_owned();
            BTreeMap::from([(NAME_ANNOTATION.into(), full), (REF_ANNOTATION.into(), tag)])
        });
        let media_type =
            if parsed.media_type.is_empty() { OCI_MANIFEST.into() } else { parsed.media_type };
        let descriptor = Descriptor {
            media_type,
            digest: manifest,
            size: bytes.len() as u64,
            annotations: annotations.unwrap_or_default(),
            platform: Some(Platform {
                architecture: record.architecture.clone(),
                os: record.os.clone(),
                variant: String::new(),
            }),
        };
        let image = ArchivedImage {
            config: blob_name(&record.id),
            repo_tags: name.map(|name| name.name.familiar()).into_iter().collect(),
            layers: parsed.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
        };
        Ok((descriptor, image))
    }
}

struct Archive<W> {
    out: W,
    /// Each blob goes in once.
    blobs: BTreeSet<Digest>,
}

impl<W: Write> Archive<W> {
    fn blob(&mut self, store: &Store, digest: &Digest) -> Result<(), Error> {
        if !self.blobs.insert(*digest) {
            return Ok(());
        }
        let path = store.blob_file(digest);
        let mut file = File::open(&path).map_err(Error::io("open", path.display()))?;
        let bytes = file.metadata().map_err(Error::io("stat", path.display()))?.len();
        self.header(&blob_name(digest), bytes)?;
        let copied = io::copy(&mut file, &mut self.out).map_err(Error::io("write", "archive"))?;
        if copied != bytes {
            return Err(Error::Corrupt { path, problem: "it changes while it is read".into() });
        }
        self.pad(bytes)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.header(name, bytes.len() as u64)?;
        self.out.write_all(bytes).map_err(Error::io("write", "archive"))?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, bytes: u64) -> Result<(), Error> {
        // GNU's header holds sizes beyond eight gigabytes; names here are short.
        let mut header = Header::new_gnu();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(Error::io("write", "archive"))
    }

    fn pad(&mut self, bytes: u64) -> Result<(), Error> {
        let padding = usize::try_from(bytes.wrapping_neg() % 512).unwrap_or(0);
        self.out.write_all(&[0; 512][..padding]).map_err(Error::io("write", "archive"))
    }
}
