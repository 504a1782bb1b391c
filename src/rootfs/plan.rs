//! The plan: everything decided and opened before the clone.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::error::{Error, Stage, StepError};

/// Where the container's `/` comes from.
#[derive(Debug)]
pub enum RootSource {
    /// A directory of the host (relative paths: to the bundle).
    Path(PathBuf),
    /// A detached mount (an overlay that no mount table shows).
    Detached(OwnedFd),
}

/// What a mount of type `cgroup` must show.
#[derive(Debug, Clone, Copy)]
pub struct CgroupView<'a> {
    /// The container's cgroup, absolute in every hierarchy (`/podrt/pod1/c`).
    pub path: &'a str,
    /// The child unshares a cgroup namespace before it enters.
    pub own_namespace: bool,
}

/// Everything [`RootfsPlan::prepare`] needs to know.
#[derive(Debug)]
pub struct RootfsInput<'a> {
    pub spec: &'a Spec,
    /// Absolute; relative sources are below it.
    pub bundle: &'a Path,
    pub root: RootSource,
    /// Detached trees of the caller's by index in `spec.mounts`; those mounts'
    /// own sources are not looked at.
    pub sources: BTreeMap<usize, OwnedFd>,
    pub cgroup: CgroupView<'a>,
    /// `chroot` onto the moved root instead of `pivot_root` (initramfs).
    pub no_pivot: bool,
    /// A new terminal is opened in the container's devpts and bound over
    /// `/dev/console`.
    pub console: bool,
    /// The child is in a user namespace of its own (or a joined one): device
    /// nodes are bound from the host.
    pub user_namespace: bool,
}

/// A planned root file system. Made by the parent, carried out by the child.
#[derive(Debug)]
pub struct RootfsPlan {}

/// A new terminal of the container's.
#[derive(Debug)]
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// What [`RootfsPlan::enter`] leaves behind.
#[derive(Debug)]
pub struct Entered {
    /// With [`RootfsInput::console`].
    pub console: Option<Pty>,
}

impl RootfsPlan {
    /// Resolves mounts, devices, masks and propagation, and opens the root and
    /// every bind source. Nothing on the machine changes.
    ///
    /// # Errors
    /// [`Error`]: a source that does not exist, an option that contradicts.
    pub fn prepare(_input: RootfsInput<'_>) -> Result<Self, Error> {
        todo!()
    }

    /// Carries the plan out: [`Self::assemble`], then [`Self::change_root`].
    /// The caller is single-threaded and in a mount namespace of its own.
    ///
    /// # Errors
    /// [`StepError`] names the stage; the namespace is then only good to die.
    pub fn enter(&self, on_stage: &mut dyn FnMut(Stage)) -> Result<Entered, StepError> {
        let entered = self.assemble(on_stage)?;
        self.change_root(on_stage)?;
        Ok(entered)
    }

    /// All up to the change of root: what must stand when `createContainer`
    /// hooks run (which see the host's paths still).
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn assemble(&self, _on_stage: &mut dyn FnMut(Stage)) -> Result<Entered, StepError> {
        todo!()
    }

    /// Changes root, then read-only and masked paths. The current directory is
    /// `/` afterwards.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn change_root(&self, _on_stage: &mut dyn FnMut(Stage)) -> Result<(), StepError> {
        todo!()
    }
}
