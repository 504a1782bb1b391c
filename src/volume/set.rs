//! All volumes of one pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, Permissions, set_permissions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::Mode;

use super::sub_path::Failure;
use super::{
    ContentSource, Error, HiddenMount, Result, atomic_writer, beneath, content, host_path, nested,
    ownership, sub_path, usage,
};
use crate::model::plan::{FilesPlugin, FilesVolume, Medium, PodPlan, VolumePlan, VolumeSource};
use crate::sys::SyscallError;
use crate::sys::fault::{self, Point};
use crate::sys::mount::clone_tree;

/// The volumes of a pod. What is kept in memory only lives in fds; the caller
/// lets somebody longer-lived hold those too ([`VolumeSet::kept`]).
#[derive(Debug)]
pub struct VolumeSet {
    /// The pod's folder.
    pod: PathBuf,
    /// Where claims are kept: `<data root>/claims/<namespace>`.
    claims: PathBuf,
    volumes: Vec<VolumePlan>,
    /// Directories that a volume of files needs for mounts inside it.
    mount_points: BTreeMap<String, BTreeSet<PathBuf>>,
    group: Option<Group>,
    memory_limit_bytes: Option<u64>,
    mounts: BTreeMap<String, HiddenMount>,
}

/// `fsGroup`.
#[derive(Debug, Clone, Copy)]
struct Group {
    gid: u32,
    on_root_mismatch: bool,
}

impl VolumeSet {
    /// The volumes of a plan, none set up yet. Touches nothing.
    #[must_use]
    pub fn new(plan: &PodPlan) -> Self {
        let containers = || plan.init_containers.iter().chain(&plan.containers);
        let mount_points =
            plan.volumes.iter().filter(|v| is_files(v)).map(|volume| {
                (volume.name.clone(), nested::mount_points(&volume.name, containers()))
            });
        let gid = plan.sandbox.fs_group;
        let on_root_mismatch = plan.sandbox.fs_group_on_root_mismatch;
        Self {
            pod: plan.roots.pod_data(&plan.uid),
            claims: plan.roots.data_root.join("claims").join(&plan.namespace),
            mount_points: mount_points.collect(),
            volumes: plan.volumes.clone(),
            group: gid.map(|gid| Group { gid, on_root_mismatch }),
            memory_limit_bytes: memory_limit(plan),
            mounts: BTreeMap::new(),
        }
    }

    /// The fds without which volumes would be lost, with the volumes' names.
    pub fn kept(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.mounts.iter().map(|(name, mount)| (name.as_str(), mount.fd()))
    }

    /// Takes back, after a restart, an fd that [`VolumeSet::kept`] showed.
    ///
    /// # Errors
    /// [`Error::System`] for what is no such fd.
    pub fn adopt(&mut self, volume: &str, fd: OwnedFd) -> Result<()> {
        let mount = HiddenMount::from_fd(fd).map_err(Error::system("adopt volume", volume))?;
        self.mounts.insert(volume.to_owned(), mount);
        Ok(())
    }

    /// Takes the detached mount of an image volume.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn give(&mut self, volume: &str, mount: OwnedFd) -> Result<()> {
        let mount = HiddenMount::hold(mount).map_err(Error::system("keep volume", volume))?;
        self.mounts.insert(volume.to_owned(), mount);
        Ok(())
    }

    /// Sets one volume up; again is no harm, and brings files up to date. An
    /// image volume is [given](VolumeSet::give) instead, which this does not
    /// check.
    ///
    /// # Errors
    /// The text is the `ERR` of `MountVolume.SetUp failed for volume "V" : ERR`.
    pub fn set_up(&mut self, volume: &str, source: &dyn ContentSource) -> Result<()> {
        fault::at(Point::SetUpVolume).map_err(Error::system("set up volume", volume))?;
        let volume = self.volume(volume, "")?.clone();
        let name = volume.name.as_str();
        match &volume.source {
            VolumeSource::EmptyDir { medium: Medium::Disk, .. } => {
                self.make_dir(&self.path("empty-dir", name), name)
            }
            VolumeSource::EmptyDir { medium, size_limit_bytes } => {
                self.make_memory(name, medium, *size_limit_bytes)
            }
            VolumeSource::HostPath { path, check } => host_path::prepare(path, *check),
            VolumeSource::Files(files) => self.write_files(name, files, source).map(drop),
            VolumeSource::Image { .. } => Ok(()),
            VolumeSource::Claim { name: claim, read_only } => {
                self.make_claim(name, claim, *read_only)
            }
        }
    }

    /// Brings a configMap, secret, downwardAPI or projected volume up to date;
    /// false when nothing had changed, or for another kind of volume.
    ///
    /// # Errors
    /// As for [`VolumeSet::set_up`].
    pub fn update(&mut self, volume: &str, source: &dyn ContentSource) -> Result<bool> {
        let volume = self.volume(volume, "")?.clone();
        match &volume.source {
            VolumeSource::Files(files) => self.write_files(&volume.name, files, source),
            _ => Ok(false),
        }
    }

    /// True for volumes that no container may write to, whatever its mount
    /// says.
    #[must_use]
    pub fn is_read_only(&self, volume: &str) -> bool {
        self.volume(volume, "").is_ok_and(|volume| match volume.source {
            VolumeSource::Files(_) | VolumeSource::Image { .. } => true,
            VolumeSource::Claim { read_only, .. } => read_only,
            _ => false,
        })
    }

    /// A detached tree for a container to attach: the volume with everything
    /// mounted in it, or only what lies at `sub_path`. Missing directories of
    /// that are made.
    ///
    /// # Errors
    /// The kubelet's texts, which name `container`.
    pub fn bind_source(
        &self,
        volume: &str,
        sub_path: Option<&str>,
        container: &str,
    ) -> Result<OwnedFd> {
        let plan = self.volume(volume, container)?;
        if let VolumeSource::HostPath { path, check } = &plan.source {
            host_path::make_missing(path, *check)?;
        }
        let Some(sub) = sub_path.map(Path::new).filter(|path| !is_whole(path)) else {
            return self.whole(plan);
        };
        let create = !matches!(plan.source, VolumeSource::Image { .. });
        let open = |root: BorrowedFd<'_>| sub_path::open(root, sub, create);
        let part = match self.disk_path(plan) {
            Some(_) => {
                let root = self.root(plan)?;
                open(root.as_fd()).and_then(|handle| Ok(clone_tree(handle.as_fd(), "", false)?))
            }
            None => self.hidden(volume)?.part(open),
        };
        part.map_err(|failure| sub_path_error(plan, sub, container, failure))
    }

    /// The root of a volume as a directory to work in, for `fileKeyRef` and
    /// the like.
    ///
    /// # Errors
    /// [`Error::NotSetUp`], [`Error::System`].
    pub fn open_root(&self, volume: &str) -> Result<OwnedFd> {
        self.root(self.volume(volume, "")?)
    }

    /// Bytes that the volume's files take.
    ///
    /// # Errors
    /// As for [`VolumeSet::open_root`].
    pub fn usage_bytes(&self, volume: &str) -> Result<u64> {
        let root = self.open_root(volume)?;
        usage::bytes(root.as_fd()).map_err(Error::system("measure volume", volume))
    }

    fn volume(&self, name: &str, container: &str) -> Result<&VolumePlan> {
        let found = self.volumes.iter().find(|volume| volume.name == name);
        found.ok_or_else(|| Error::UnknownVolume {
            volume: name.to_owned(),
            container: container.to_owned(),
        })
    }

    fn path(&self, plugin: &str, name: &str) -> PathBuf {
        self.pod.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// The volume's folder on disk; `None` for what has none.
    fn disk_path(&self, volume: &VolumePlan) -> Option<PathBuf> {
        match &volume.source {
            VolumeSource::EmptyDir { medium: Medium::Disk, .. } => {
                Some(self.path("empty-dir", &volume.name))
            }
            VolumeSource::HostPath { path, .. } => Some(path.into()),
            VolumeSource::Files(files) if files.plugin == FilesPlugin::ConfigMap => {
                Some(self.path("configmap", &volume.name))
            }
            VolumeSource::Claim { name, .. } => Some(self.claims.join(name)),
            _ => None,
        }
    }

    fn whole(&self, volume: &VolumePlan) -> Result<OwnedFd> {
        let failed = || Error::system("mount volume", volume.name.as_str());
        match self.disk_path(volume) {
            Some(path) => clone_tree(AT_FDCWD, &path, true).map_err(failed()),
            None => self.hidden(&volume.name)?.tree().map_err(failed()),
        }
    }

    fn root(&self, volume: &VolumePlan) -> Result<OwnedFd> {
        let failed = || Error::system("open volume", volume.name.as_str());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match self.disk_path(volume) {
            Some(path) => nix::fcntl::open(&path, flags, Mode::empty())
                .map_err(|errno| beneath::failed("open", &path, errno))
                .map_err(failed()),
            None => self.hidden(&volume.name)?.tree().map_err(failed()),
        }
    }

    fn hidden(&self, volume: &str) -> Result<&HiddenMount> {
        let mount = self.mounts.get(volume);
        mount.ok_or_else(|| Error::NotSetUp { volume: volume.to_owned() })
    }

    /// A directory open to all, given to the group, that appears complete.
    fn make_dir(&self, path: &Path, name: &str) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        match self.stage_dir(path, name) {
            // Another pod has just made the claim that both use.
            Err(_) if path.exists() => Ok(()),
            done => done.map_err(Error::system("make volume", name)),
        }
    }

    fn stage_dir(&self, path: &Path, name: &str) -> std::result::Result<(), SyscallError> {
        let parent = path.parent().unwrap_or(path);
        // No volume's name begins with a dot.
        let staged = parent.join(format!(".{name}"));
        let io = |call: &'static str, path: &Path, done: std::io::Result<()>| {
            done.map_err(|e| SyscallError::from_io(call, format!("{path:?}"), &e))
        };
        io("mkdir", parent, DirBuilder::new().recursive(true).mode(0o750).create(parent))?;
        io("mkdir", &staged, DirBuilder::new().recursive(true).mode(0o777).create(&staged))?;
        io("chmod", &staged, set_permissions(&staged, Permissions::from_mode(0o777)))?;
        self.give_to_group(beneath::open_dir(&staged)?.as_fd(), false)?;
        io("rename", path, std::fs::rename(&staged, path))
    }

    fn make_memory(&mut self, name: &str, medium: &Medium, limit: Option<u64>) -> Result<()> {
        if self.mounts.contains_key(name) {
            return Ok(());
        }
        let failed = || Error::system("make volume", name);
        let mount = match medium {
            Medium::HugePages(size) => HiddenMount::hugetlbfs(size.as_deref()),
            _ => HiddenMount::tmpfs(smallest([limit, self.memory_limit_bytes, node_memory()])),
        };
        let mount = mount.map_err(failed())?;
        let root = mount.tree().map_err(failed())?;
        self.give_to_group(root.as_fd(), false).map_err(failed())?;
        self.mounts.insert(name.to_owned(), mount);
        Ok(())
    }

    fn give_to_group(
        &self,
        root: BorrowedFd<'_>,
        read_only: bool,
    ) -> std::result::Result<(), SyscallError> {
        match self.group {
            Some(group) => ownership::give_to_group(root, group.gid, read_only),
            None => Ok(()),
        }
    }

    fn make_claim(&self, name: &str, claim: &str, read_only: bool) -> Result<()> {
        let path = self.claims.join(claim);
        self.make_dir(&path, claim)?;
        let Some(group) = self.group else { return Ok(()) };
        let failed = || Error::system("give volume to fsGroup", name);
        let root = beneath::open_dir(&path).map_err(failed())?;
        let done = group.on_root_mismatch
            && ownership::root_matches(root.as_fd(), group.gid, read_only).map_err(failed())?;
        if done { Ok(()) } else { self.give_to_group(root.as_fd(), read_only).map_err(failed()) }
    }

    fn write_files(
        &mut self,
        name: &str,
        files: &FilesVolume,
        source: &dyn ContentSource,
    ) -> Result<bool> {
        // First: nothing is made for a volume whose sources are missing.
        let entries = content::content(name, files, source)?;
        match files.plugin {
            FilesPlugin::ConfigMap => self.make_dir(&self.path("configmap", name), name)?,
            _ => self.make_memory(name, &Medium::Memory, None)?,
        }
        let failed = || Error::system("write volume", name);
        let root = self.open_root(name)?;
        let mode = Mode::from_bits_truncate(0o755);
        for path in self.mount_points.get(name).into_iter().flatten() {
            crate::sys::path::InRoot::new(root.as_fd()).create_dirs(path, mode).map_err(failed())?;
        }
        let written =
            atomic_writer::write(root.as_fd(), &entries, self.group.map(|group| group.gid))?;
        if written {
            self.give_to_group(root.as_fd(), true).map_err(failed())?;
        }
        Ok(written)
    }
}

fn is_files(volume: &VolumePlan) -> bool {
    matches!(volume.source, VolumeSource::Files(_))
}

fn is_whole(sub_path: &Path) -> bool {
    sub_path.components().all(|c| c == std::path::Component::CurDir)
}

fn sub_path_error(volume: &VolumePlan, path: &Path, container: &str, failure: Failure) -> Error {
    let (name, container) = (volume.name.clone(), container.to_owned());
    match failure {
        Failure::Create(cause) => Error::SubPathCreate { volume: name, container, cause },
        Failure::Prepare(cause) if matches!(volume.source, VolumeSource::Image { .. }) => {
            Error::ImageSubPath { volume: name, path: path.display().to_string(), cause }
        }
        Failure::Prepare(cause) => Error::SubPathPrepare { volume: name, container, cause },
    }
}

/// Set when every container has a limit, or the pod itself.
fn memory_limit(plan: &PodPlan) -> Option<u64> {
    plan.sandbox.resources.memory_limit_bytes.and_then(|limit| u64::try_from(limit).ok())
}

/// The machine's memory, what a node without reservations can allocate.
fn node_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The smallest limit; zero is none.
fn smallest(limits: [Option<u64>; 3]) -> Option<u64> {
    limits.into_iter().flatten().filter(|limit| *limit > 0).min()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::object::ObjectData;
    use crate::model::plan::{
        FieldRef, FilesSource, HostPathCheck, ObjectKind, ObjectRef, PullPolicy, ResourceRef,
    };
    use crate::store::testing::plan;
    use crate::volume::beneath::proc_path;

    /// One object, a ConfigMap or a Secret, with this value at `key`.
    struct Object(&'static str);

    impl ContentSource for Object {
        fn object(&self, _: ObjectKind, name: &str) -> Option<ObjectData> {
            let binary = BTreeMap::from([("key".to_owned(), self.0.into())]);
            (name == "there").then_some(ObjectData { text: BTreeMap::new(), binary })
        }
        fn field(&self, _: &FieldRef) -> String {
            String::new()
        }
        fn resource(&self, _: &ResourceRef) -> String {
            String::new()
        }
    }

    fn files(plugin: FilesPlugin, name: &str) -> VolumeSource {
        let object = ObjectRef { kind: ObjectKind::Secret, name: name.into(), optional: false };
        let sources = vec![FilesSource::Object { object, items: Vec::new() }];
        VolumeSource::Files(FilesVolume { plugin, default_mode: 0o400, sources })
    }

    fn empty_dir(medium: Medium, size_limit_bytes: Option<u64>) -> VolumeSource {
        VolumeSource::EmptyDir { medium, size_limit_bytes }
    }

    fn set(
        group: Option<u32>,
        volumes: Vec<(&str, VolumeSource)>,
    ) -> (tempfile::TempDir, VolumeSet) {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan("default", "web", "u1");
        plan.roots.data_root = dir.path().to_owned();
        plan.sandbox.fs_group = group;
        plan.volumes = volumes
            .into_iter()
            .map(|(name, source)| VolumePlan { name: name.into(), source })
            .collect();
        (dir, VolumeSet::new(&plan))
    }

    fn mode_and_group(fd: &OwnedFd, path: &str) -> (u32, u32) {
        let metadata = fs::metadata(proc_path(fd.as_fd()).join(path)).unwrap();
        (metadata.mode() & 0o7777, metadata.gid())
    }

    #[test]
    fn an_empty_dir_is_open_to_all_whatever_the_umask_and_stays_as_it_is() {
        let (dir, mut set) = set(None, vec![("v", empty_dir(Medium::Disk, None))]);
        set.set_up("v", &Object("")).unwrap();
        let tree = set.bind_source("v", None, "c").unwrap();
        assert_eq!(mode_and_group(&tree, ""), (0o777, 0));
        let path = dir.path().join("pods/u1/volumes/kubernetes.io~empty-dir/v");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        set.set_up("v", &Object("")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        fs::write(path.join("f"), vec![0; 1 << 16]).unwrap();
        assert!(set.usage_bytes("v").unwrap() >= 1 << 16);
    }

    #[test]
    fn a_memory_volume_has_its_size_and_outlives_the_set_through_its_fd() {
        let volumes = vec![("v", empty_dir(Medium::Memory, Some(1 << 20)))];
        let (_dir, mut set) = set(Some(2000), volumes);
        assert!(matches!(set.bind_source("v", None, "c"), Err(Error::NotSetUp { .. })));
        set.set_up("v", &Object("")).unwrap();
        let tree = set.bind_source("v", None, "c").unwrap();
        assert_eq!(mode_and_group(&tree, ""), (0o3777, 2000));
        fs::write(proc_path(tree.as_fd()).join("f"), "kept").unwrap();
        let statfs = nix::sys::statvfs::fstatvfs(&tree).unwrap();
        assert_eq!(statfs.blocks() * statfs.fragment_size(), 1 << 20);

        let fd = set.kept().map(|(_, fd)| fd.try_clone_to_owned().unwrap()).next().unwrap();
        set.mounts.clear();
        set.adopt("v", fd).unwrap();
        set.set_up("v", &Object("")).unwrap();
        let again = set.bind_source("v", None, "other").unwrap();
        assert_eq!(fs::read(proc_path(again.as_fd()).join("f")).unwrap(), b"kept");
    }

    #[test]
    fn files_are_written_where_the_kubelet_writes_them_and_updated() {
        let volumes = vec![
            ("map", files(FilesPlugin::ConfigMap, "there")),
            ("secret", files(FilesPlugin::Secret, "there")),
        ];
        let (dir, mut set) = set(None, volumes);
        for name in ["map", "secret"] {
            set.set_up(name, &Object("1")).unwrap();
            let tree = set.bind_source(name, None, "c").unwrap();
            assert_eq!(mode_and_group(&tree, "key").0, 0o400);
            assert_eq!(mode_and_group(&tree, "").0, if name == "map" { 0o777 } else { 0o1777 });
            let sub = set.bind_source(name, Some("key"), "c").unwrap();
            assert!(!set.update(name, &Object("1")).unwrap());
            assert!(set.update(name, &Object("2")).unwrap());
            assert_eq!(fs::read(proc_path(tree.as_fd()).join("key")).unwrap(), b"2");
            assert_eq!(fs::read(proc_path(sub.as_fd())).unwrap(), b"1");
            assert!(set.is_read_only(name));
        }
        assert!(dir.path().join("pods/u1/volumes/kubernetes.io~configmap/map/key").exists());
        assert!(!dir.path().join("pods/u1/volumes/kubernetes.io~secret").exists());
    }

    #[test]
    fn fs_group_reads_what_it_may_not_write() {
        let (_dir, mut set) = set(Some(2000), vec![("s", files(FilesPlugin::Projected, "there"))]);
        set.set_up("s", &Object("1")).unwrap();
        let tree = set.bind_source("s", None, "c").unwrap();
        assert_eq!(mode_and_group(&tree, ""), (0o3777, 2000));
        assert_eq!(mode_and_group(&tree, "key"), (0o440, 2000));
        assert_eq!(mode_and_group(&tree, "..data"), (0o2755, 2000));
    }

    #[test]
    fn a_missing_object_fails_before_anything_is_made_and_can_be_retried() {
        let (dir, mut set) = set(None, vec![("s", files(FilesPlugin::ConfigMap, "missing"))]);
        let error = set.set_up("s", &Object("1")).unwrap_err();
        assert_eq!(error.to_string(), "secret \"missing\" not found");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_host_path_is_bound_with_what_is_mounted_in_it() {
        let host = tempfile::tempdir().unwrap();
        let path = host.path().join("new").to_str().unwrap().to_owned();
        let source = VolumeSource::HostPath { path: path.clone(), check: HostPathCheck::Unset };
        let (_dir, mut set) = set(Some(2000), vec![("h", source)]);
        set.set_up("h", &Object("")).unwrap();
        let tree = set.bind_source("h", None, "c").unwrap();
        assert_eq!(mode_and_group(&tree, ""), (0o755, 0));
        set.bind_source("h", Some("a/b"), "c").unwrap();
        assert!(Path::new(&path).join("a/b").is_dir());
    }

    #[test]
    fn a_claim_outlives_the_pod_and_is_given_to_the_group() {
        let source = VolumeSource::Claim { name: "data".into(), read_only: false };
        let (dir, mut set) = set(Some(2000), vec![("c", source)]);
        set.set_up("c", &Object("")).unwrap();
        let tree = set.bind_source("c", None, "c").unwrap();
        assert_eq!(mode_and_group(&tree, ""), (0o2777, 2000));
        super::super::put_aside(&dir.path().join("pods/u1")).unwrap();
        super::super::sweep(&dir.path().join("pods/u1")).unwrap();
        assert!(dir.path().join("claims/default/data").is_dir());
    }

    #[test]
    fn failures_of_sub_paths_tell_no_more_than_the_kubelet() {
        let image = VolumeSource::Image {
            reference: "busybox".into(),
            pull_policy: PullPolicy::IfNotPresent,
        };
        let volumes = vec![("v", empty_dir(Medium::Disk, None)), ("i", image)];
        let (dir, mut set) = set(None, volumes);
        set.set_up("v", &Object("")).unwrap();
        let path = dir.path().join("pods/u1/volumes/kubernetes.io~empty-dir/v");
        std::os::unix::fs::symlink("/etc", path.join("out")).unwrap();
        fs::write(path.join("file"), "").unwrap();
        let error = |volume, sub| set.bind_source(volume, Some(sub), "c").unwrap_err().to_string();
        assert_eq!(
            error("v", "out/passwd"),
            "failed to prepare subPath for volumeMount \"v\" of container \"c\""
        );
        assert_eq!(
            error("v", "file/x"),
            "failed to create subPath directory for volumeMount \"v\" of container \"c\""
        );
        assert_eq!(error("none", "x"), "cannot find volume \"none\" to mount into container \"c\"");
        let mount = HiddenMount::tmpfs(None).unwrap().tree().unwrap();
        set.give("i", mount).unwrap();
        set.bind_source("i", None, "c").unwrap();
        let error = set.bind_source("i", Some("x"), "c").unwrap_err().to_string();
        assert!(error.starts_with("ImageVolumeMountFailed"), "{error}");
    }
}
