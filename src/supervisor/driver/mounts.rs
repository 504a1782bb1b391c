//! What a container sees of the pod's volumes and of the files podrt makes.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::names::Places;
use crate::model::plan::{ContainerPlan, MountPlan, Propagation, RecursiveReadOnly, SubPath};
use crate::model::spec::{BindMount, BindSource};
use crate::supervisor::process::env::Variables;
use crate::sys::SyscallError;
use crate::volume::{self, VolumeSet};

/// Mounts, and the detached trees that some of them count.
#[derive(Debug, Default)]
pub struct Mounts {
    pub list: Vec<BindMount>,
    pub detached: Vec<OwnedFd>,
}

/// The pod's own `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
#[derive(Debug)]
pub struct PodFiles {
    pub hosts: PathBuf,
    pub hostname: PathBuf,
    pub resolv_conf: PathBuf,
}

impl PodFiles {
    #[must_use]
    pub fn new(pod_data: &Path) -> Self {
        let file = |name| pod_data.join(name);
        Self {
            hosts: file("etc-hosts"),
            hostname: file("etc-hostname"),
            resolv_conf: file("etc-resolv-conf"),
        }
    }
}

impl Mounts {
    /// The volumes that a container mounts.
    ///
    /// # Errors
    /// The kubelet's texts.
    pub fn of_volumes(
        container: &ContainerPlan,
        variables: &Variables,
        volumes: &VolumeSet,
    ) -> volume::Result<Self> {
        let mut mounts = Self::default();
        for mount in &container.mounts {
            let sub_path = mount.sub_path.as_ref().map(|sub_path| match sub_path {
                SubPath::Literal(path) => path.clone(),
                SubPath::Expression(text) => variables.expand(text),
            });
            let tree = volumes.bind_source(&mount.volume, sub_path.as_deref(), &container.name)?;
            let read_only = mount.read_only || volumes.is_read_only(&mount.volume);
            mounts.add_tree(tree, mount, read_only);
        }
        Ok(mounts)
    }

    fn add_tree(&mut self, tree: OwnedFd, mount: &MountPlan, read_only: bool) {
        let recursive = mount.recursive_read_only != RecursiveReadOnly::Disabled;
        self.list.push(BindMount {
            source: BindSource::Detached(self.detached.len()),
            destination: mount.path.clone(),
            read_only,
            recursive_read_only: read_only && recursive,
            propagation: mount.propagation,
        });
        self.detached.push(tree);
    }

    /// The pod's generated files, where the container mounts nothing itself.
    pub fn add_pod_files(&mut self, files: &PodFiles, read_only: bool) {
        self.add_file(&files.hosts, "/etc/hosts", false);
        self.add_file(&files.hostname, "/etc/hostname", read_only);
        self.add_file(&files.resolv_conf, "/etc/resolv.conf", read_only);
    }

    fn add_file(&mut self, source: &Path, destination: &str, read_only: bool) {
        if self.list.iter().all(|mount| mount.destination != destination) {
            self.add(BindSource::Path(source.into()), destination, read_only);
        }
    }

    /// The `/dev/shm` that all containers of the pod share.
    pub fn add_shm(&mut self, shm: OwnedFd) {
        if self.list.iter().all(|mount| mount.destination != "/dev/shm") {
            let source = BindSource::Detached(self.detached.len());
            self.detached.push(shm);
            self.add(source, "/dev/shm", false);
        }
    }

    /// A fresh, empty termination file, over whatever else is at that path.
    ///
    /// # Errors
    /// `mkdir`, `open`, `chmod`.
    pub fn add_termination_log(
        &mut self,
        container: &ContainerPlan,
        places: &Places,
    ) -> Result<(), SyscallError> {
        let path = &container.termination_message_path;
        if path.is_empty() {
            return Ok(());
        }
        let file = &places.termination_log;
        make_termination_log(file)
            .map_err(|e| SyscallError::from_io("open", file.display().to_string(), &e))?;
        let destination = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
        self.add(BindSource::Path(file.clone()), &destination, false);
        Ok(())
    }

    fn add(&mut self, source: BindSource, destination: &str, read_only: bool) {
        self.list.push(BindMount {
            source,
            destination: destination.to_owned(),
            read_only,
            recursive_read_only: false,
            propagation: Propagation::Private,
        });
    }
}

fn make_termination_log(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o666).open(path)?;
    // Any user of the container writes it, whatever podrt's umask.
    file.set_permissions(Permissions::from_mode(0o666))
}
