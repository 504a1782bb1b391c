//! The plan: everything decided and opened before the clone.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use super::assembly::Assembly;
use super::cgroup_view::CgroupStep;
use super::devices::{self, Device};
use super::error::{Error, Stage, StepError};
use super::filesystem::FileSystem;
use super::masks::Covered;
use super::options::{self, Change, MountOptions};
use super::sources::{self, Tree};
use crate::sys::mount::{self, Attributes, Propagation};
use crate::sys::pty::Pty;

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

/// One entry of `spec.mounts`, ready to be carried out.
#[derive(Debug)]
pub(super) struct Step {
    pub destination: PathBuf,
    pub kind: StepKind,
    /// After the mount is in place; empty for what the parent has set already.
    pub propagation: Vec<(Propagation, bool)>,
}

#[derive(Debug)]
pub(super) enum StepKind {
    Tree(Tree),
    FileSystem(FileSystem),
    Cgroup(CgroupStep),
    /// New attributes for what an earlier step mounted.
    Remount(Change, Change),
}

/// A planned root file system. Made by the parent, carried out by the child.
#[derive(Debug)]
pub struct RootfsPlan {
    pub(super) root: OwnedFd,
    pub(super) steps: Vec<Step>,
    pub(super) devices: Vec<Device>,
    /// False when the host's own `/dev` is bound: nothing is added to it.
    pub(super) set_up_dev: bool,
    pub(super) console: bool,
    pub(super) masked: Vec<PathBuf>,
    pub(super) readonly: Vec<PathBuf>,
    pub(super) readonly_root: bool,
    pub(super) root_propagation: Option<(Propagation, bool)>,
    pub(super) no_pivot: bool,
    /// Read-only file systems that later steps still write to.
    pub(super) deferred_readonly: Vec<OwnedFd>,
    /// What is mounted on `/proc` and `/sys`, by those names.
    pub(super) kernel_views: Vec<(PathBuf, OwnedFd)>,
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
    pub fn prepare(input: RootfsInput<'_>) -> Result<Self, Error> {
        let RootfsInput { spec, bundle, root, sources, cgroup, .. } = input;
        let linux = spec.linux().as_ref();
        let root_propagation = root_propagation(spec)?;
        let inherited = inherited_propagation(root_propagation);
        let root = open_root(root, bundle, inherited)?;
        let mut planner = Planner { spec, bundle, sources, cgroup, inherited };
        let mounts = spec.mounts().as_deref().unwrap_or_default();
        let steps: Vec<Step> = mounts
            .iter()
            .enumerate()
            .map(|(index, mount)| planner.step(index, mount))
            .collect::<Result<_, _>>()?;
        let paths = |list: Option<&Vec<String>>| -> Vec<PathBuf> {
            list.into_iter().flatten().map(PathBuf::from).collect()
        };
        let set_up_dev = !steps.iter().any(|step| {
            matches!(step.kind, StepKind::Tree(_)) && plain(&step.destination) == Path::new("/dev")
        });
        Ok(Self {
            root,
            devices: if set_up_dev {
                devices::plan(linux, input.user_namespace)?
            } else {
                Vec::new()
            },
            steps,
            set_up_dev,
            console: input.console,
            masked: paths(linux.and_then(|l| l.masked_paths().as_ref())),
            readonly: paths(linux.and_then(|l| l.readonly_paths().as_ref())),
            readonly_root: spec.root().as_ref().and_then(|r| r.readonly()).unwrap_or(false),
            root_propagation,
            no_pivot: input.no_pivot,
            deferred_readonly: Vec::new(),
            kernel_views: Vec::new(),
        })
    }

    /// Carries the plan out: [`Self::assemble`], then [`Self::change_root`].
    /// The caller is single-threaded and in a mount namespace of its own.
    ///
    /// # Errors
    /// [`StepError`] names the stage; the namespace is then only good to die.
    pub fn enter(&mut self, on_stage: &mut dyn FnMut(Stage)) -> Result<Entered, StepError> {
        let entered = self.assemble(on_stage)?;
        self.change_root(on_stage)?;
        Ok(entered)
    }

    /// All up to the masks: what must stand when `createContainer` hooks run
    /// (which see the host's paths still). The current directory is the
    /// container's root afterwards.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn assemble(&mut self, on_stage: &mut dyn FnMut(Stage)) -> Result<Entered, StepError> {
        Assembly::new(self).run(on_stage)
    }

    /// Read-only and masked paths, then the change of root. The root and the
    /// current directory are the container's `/` afterwards.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn change_root(&mut self, on_stage: &mut dyn FnMut(Stage)) -> Result<(), StepError> {
        on_stage(Stage::ReadonlyPaths);
        let covered = Covered { root: self.root.as_fd(), views: &self.kernel_views };
        covered.make_readonly(&self.readonly)?;
        on_stage(Stage::MaskedPaths);
        covered.mask(&self.masked)?;
        self.kernel_views.clear();
        on_stage(Stage::ChangeRoot);
        super::pivot::change_root(self)?;
        on_stage(Stage::RootAttributes);
        super::pivot::finish_root(self)
    }
}

/// What all mounts of one plan have in common.
struct Planner<'a> {
    spec: &'a Spec,
    bundle: &'a Path,
    sources: BTreeMap<usize, OwnedFd>,
    cgroup: CgroupView<'a>,
    inherited: Propagation,
}

impl Planner<'_> {
    fn step(&mut self, index: usize, mount: &Mount) -> Result<Step, Error> {
        let destination = destination(mount)?;
        let options = MountOptions::parse(mount.options().as_deref().unwrap_or_default());
        let mut propagation = options.propagation.clone();
        let given = self.sources.remove(&index);
        let kind = if given.is_some() || is_bind(mount, &options) && !options.remount {
            propagation.clear();
            self.bind(mount, &destination, options, given)?
        } else {
            check_no_mapping(mount, &options, &destination)?;
            self.other(mount, &destination, options)?
        };
        Ok(Step { destination, kind, propagation })
    }

    fn bind(
        &self,
        mount: &Mount,
        destination: &Path,
        options: MountOptions,
        given: Option<OwnedFd>,
    ) -> Result<StepKind, Error> {
        refuse_file_system_options(&options, destination)?;
        let tree = match given {
            Some(fd) => fd,
            None => sources::open(mount, self.bundle, destination, options.bind == Some(true))?,
        };
        let request = sources::Request {
            mount,
            destination,
            options: &options,
            inherited: self.inherited,
            container: self.spec.linux().as_ref(),
        };
        sources::configure(tree, &request).map(StepKind::Tree)
    }

    fn other(
        &self,
        mount: &Mount,
        destination: &Path,
        options: MountOptions,
    ) -> Result<StepKind, Error> {
        if options.remount {
            return Ok(StepKind::Remount(options.attributes, options.recursive));
        }
        match mount.typ().as_deref() {
            Some("cgroup" | "cgroup2") => {
                CgroupStep::plan(self.cgroup, options.attributes).map(StepKind::Cgroup)
            }
            Some(fs_type) if !fs_type.is_empty() => {
                let source = mount.source().as_deref();
                let options = self.labelled(fs_type, options);
                Ok(StepKind::FileSystem(FileSystem::plan(fs_type, source, options)))
            }
            _ => Err(Error::Mount {
                destination: destination.to_owned(),
                reason: "neither a type nor a bind option",
                value: String::new(),
            }),
        }
    }

    /// `linux.mountLabel` goes on every file system that is the container's
    /// own; proc and sysfs are the kernel's.
    fn labelled(&self, fs_type: &str, mut options: MountOptions) -> MountOptions {
        let linux = self.spec.linux().as_ref();
        let label = linux.and_then(|linux| linux.mount_label().clone());
        let own = !matches!(fs_type, "proc" | "sysfs");
        if let Some(label) = label.filter(|label| own && !label.is_empty()) {
            options.data.push(("context".to_owned(), Some(label)));
        }
        options
    }
}

/// A bind mount shows a file system that somebody else has made.
fn refuse_file_system_options(options: &MountOptions, destination: &Path) -> Result<(), Error> {
    let given = options.data.first().map(|(key, _)| key.as_str());
    match given.or(options.super_flags.first().copied()) {
        None | Some("async" | "nomand" | "nolazytime") => Ok(()),
        Some(option) => Err(Error::Mount {
            destination: destination.to_owned(),
            reason: "a bind mount does not take the option",
            value: option.to_owned(),
        }),
    }
}

fn is_bind(mount: &Mount, options: &MountOptions) -> bool {
    options.bind.is_some() || mount.typ().as_deref() == Some("bind")
}

fn check_no_mapping(
    mount: &Mount,
    options: &MountOptions,
    destination: &Path,
) -> Result<(), Error> {
    let mapped = options.id_map.is_some()
        || mount.uid_mappings().is_some()
        || mount.gid_mappings().is_some();
    if !mapped {
        return Ok(());
    }
    Err(Error::Mount {
        destination: destination.to_owned(),
        reason: "only bind mounts can have id mappings",
        value: mount.typ().clone().unwrap_or_default(),
    })
}

/// The destination, absolute: a relative one counts from `/`, as it did in
/// older versions of the runtime specification.
fn destination(mount: &Mount) -> Result<PathBuf, Error> {
    let given = mount.destination();
    if given.as_os_str().is_empty() || given.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Error::Mount {
            destination: given.clone(),
            reason: "not a path",
            value: given.display().to_string(),
        });
    }
    Ok(Path::new("/").join(given))
}

/// A path with `.` and `..` taken out by name, for comparisons.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => plain.push(name),
            std::path::Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

fn root_propagation(spec: &Spec) -> Result<Option<(Propagation, bool)>, Error> {
    let word = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    match word {
        None | Some("") => Ok(None),
        Some(word) => options::propagation(word)
            .map(Some)
            .ok_or_else(|| Error::Field { field: "rootfsPropagation", value: word.to_owned() }),
    }
}

/// What a bind mount gets that asks for nothing: mounts of the host arrive in
/// the container unless the spec says `private`, and the other way only when
/// it says `shared`.
fn inherited_propagation(root: Option<(Propagation, bool)>) -> Propagation {
    root.map_or(Propagation::Slave, |(propagation, _)| propagation)
}

fn open_root(source: RootSource, bundle: &Path, inherited: Propagation) -> Result<OwnedFd, Error> {
    let (fd, path) = match source {
        RootSource::Detached(fd) => (fd, PathBuf::from("(detached)")),
        RootSource::Path(path) => {
            let path = bundle.join(path);
            let failed = |source| Error::Root { path: path.clone(), source };
            let fd = mount::clone_tree(mount::at_cwd(), &path, true).map_err(failed)?;
            (fd, path)
        }
    };
    // pivot_root(2) refuses a shared root; `shared` and `unbindable` are set
    // once it is done.
    let propagation = match inherited {
        Propagation::Private | Propagation::Unbindable => Propagation::Private,
        Propagation::Shared | Propagation::Slave => Propagation::Slave,
    };
    let change = Attributes { propagation: Some(propagation), ..Attributes::default() };
    mount::set_attributes(fd.as_fd(), change, true)
        .map_err(|source| Error::Root { path, source })?;
    Ok(fd)
}
