//! The neutral [`ContainerSpec`] as an OCI spec: the one place where pods and
//! CRI requests become OCI.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxCapabilities, LinuxNamespace, LinuxNamespaceType, Mount,
    Process, Root, Spec, User,
};

use super::error::Result;
use super::plan::invalid;
use super::{devices, refuse, resources, spec as defaults};
use crate::model::plan::{AppArmorChoice, Propagation, SelinuxLabel};
use crate::model::spec::{BindMount, BindSource, ContainerPid, ContainerSpec};
use crate::sys::prctl;

/// Turns a container of a pod into an OCI spec and the `sources` of
/// [`CreateOptions`](super::CreateOptions): `detached` are the trees that
/// [`BindSource::Detached`] counts.
///
/// The spec makes a mount namespace, a cgroup namespace (not for a privileged
/// container) and, with [`ContainerPid::Own`], a pid namespace. What the
/// sandbox shares is joined through
/// [`CreateOptions::namespaces`](super::CreateOptions), and so is the pid
/// namespace of [`ContainerPid::Sandbox`] and [`ContainerPid::OfProcess`].
///
/// # Errors
/// [`Error::Spec`](super::Error::Spec) for a seccomp profile that is none, or a
/// detached source that was not given or is used twice.
pub fn oci(
    container: &ContainerSpec,
    detached: Vec<OwnedFd>,
) -> Result<(Spec, BTreeMap<usize, OwnedFd>)> {
    let (mounts, sources) = mounts(container, detached)?;
    let mut root = Root::default();
    root.set_path(PathBuf::from("/")).set_readonly(Some(container.read_only_root));
    let mut spec = Spec::default();
    spec.set_version(super::features::OCI_VERSION.to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_process(Some(process(container)?))
        .set_hostname(None)
        .set_annotations(Some(container.annotations.clone().into_iter().collect()))
        .set_linux(Some(linux(container)?));
    Ok((spec, sources))
}

/// The oom_score_adj that this process may set where `wish` is wanted: without
/// CAP_SYS_RESOURCE none below its own.
#[must_use]
pub fn attainable_oom_score_adj(wish: i32) -> i32 {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let may = prctl::capabilities().is_ok_and(|sets| sets.effective & CAP_SYS_RESOURCE != 0);
    if may {
        return wish;
    }
    let own = std::fs::read_to_string("/proc/self/oom_score_adj");
    own.ok().and_then(|text| text.trim().parse().ok()).map_or(wish, |own: i32| wish.max(own))
}

fn process(container: &ContainerSpec) -> Result<Process> {
    // As in containerd: without SELinux the label means nothing.
    let label = container.selinux.as_ref().filter(|_| refuse::selinux_enabled());
    let mut user = User::default();
    user.set_uid(container.user.uid)
        .set_gid(container.user.gid)
        .set_additional_gids(Some(container.user.additional_gids.clone()));
    let mut process = Process::default();
    process
        .set_terminal(Some(container.tty))
        .set_user(user)
        .set_args(Some(container.args.clone()))
        .set_env(Some(container.env.clone()))
        .set_cwd(PathBuf::from(if container.cwd.is_empty() { "/" } else { &container.cwd }))
        .set_no_new_privileges(Some(container.no_new_privileges))
        .set_capabilities(Some(capabilities(container)?))
        .set_rlimits(None)
        .set_oom_score_adj(Some(attainable_oom_score_adj(container.oom_score_adj)))
        .set_apparmor_profile(match &container.apparmor {
            AppArmorChoice::Localhost(profile) if !container.privileged => Some(profile.clone()),
            _ => None,
        })
        .set_selinux_label(label.map(selinux_label));
    Ok(process)
}

fn selinux_label(label: &SelinuxLabel) -> String {
    let part = |given: &Option<String>, default: &str| {
        given.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    [
        part(&label.user, "system_u"),
        part(&label.role, "system_r"),
        part(&label.r#type, "container_t"),
        part(&label.level, "s0"),
    ]
    .join(":")
}

/// Bounding, permitted and effective alike; nothing inheritable or ambient. A
/// privileged container gets what the caller's bounding set holds.
fn capabilities(container: &ContainerSpec) -> Result<LinuxCapabilities> {
    let set: Capabilities = if container.privileged {
        let held = caps::all()
            .into_iter()
            .filter(|cap| prctl::bounding_contains(cap.index()).unwrap_or(false));
        held.filter_map(|cap| parse_capability(&cap.to_string())).collect()
    } else {
        let parse = |name: &String| {
            parse_capability(name).ok_or_else(|| invalid(format!("unknown capability {name:?}")))
        };
        container.capabilities.iter().map(parse).collect::<Result<_>>()?
    };
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(set.clone()))
        .set_permitted(Some(set.clone()))
        .set_effective(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    Ok(capabilities)
}

fn parse_capability(name: &str) -> Option<Capability> {
    name.strip_prefix("CAP_")?.parse().ok()
}

fn linux(container: &ContainerSpec) -> Result<Linux> {
    let mut kinds = vec![LinuxNamespaceType::Mount];
    if container.pid == ContainerPid::Own {
        kinds.push(LinuxNamespaceType::Pid);
    }
    if !container.privileged {
        kinds.push(LinuxNamespaceType::Cgroup);
    }
    let namespaces = kinds.into_iter().map(|kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind).set_path(None);
        namespace
    });
    let hidden = !container.privileged && !container.unmasked_proc;
    let masked = hidden.then(masked_paths);
    let readonly = hidden.then(|| defaults::READONLY_PATHS.map(str::to_owned).to_vec());
    let seccomp = container.seccomp.clone().filter(|_| !container.privileged);
    let seccomp = seccomp
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| invalid(format!("seccomp profile: {error}")))?;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces.collect()))
        .set_resources(Some(resources::oci(&container.resources, container.privileged)))
        .set_cgroups_path(Some(PathBuf::from(&container.cgroup)))
        .set_devices(container.privileged.then(devices::of_the_host))
        .set_masked_paths(masked)
        .set_readonly_paths(readonly)
        .set_seccomp(seccomp);
    Ok(linux)
}

/// The default list, and the thermal counters of those processors that have
/// them.
fn masked_paths() -> Vec<String> {
    let mut paths = defaults::MASKED_PATHS.map(str::to_owned).to_vec();
    let processors = (0..).map(|n| format!("/sys/devices/system/cpu/cpu{n}"));
    let present = processors.take_while(|path| std::path::Path::new(path).exists());
    let counters = present.map(|path| format!("{path}/thermal_throttle"));
    paths.extend(counters.filter(|path| std::path::Path::new(path).exists()));
    paths
}

/// The default mounts without those that the container's own replace, then
/// these in their order; and which of them are detached trees.
fn mounts(
    container: &ContainerSpec,
    detached: Vec<OwnedFd>,
) -> Result<(Vec<Mount>, BTreeMap<usize, OwnedFd>)> {
    let mut detached: Vec<Option<OwnedFd>> = detached.into_iter().map(Some).collect();
    let replaced = |mount: &Mount| {
        let at = mount.destination();
        container.mounts.iter().any(|own| same_place(&own.destination, at))
    };
    let mut mounts: Vec<Mount> =
        default_mounts(container.privileged).into_iter().filter(|mount| !replaced(mount)).collect();
    let mut sources = BTreeMap::new();
    for own in &container.mounts {
        if let BindSource::Detached(index) = own.source {
            let fd = detached.get_mut(index).and_then(Option::take);
            let fd = fd.ok_or_else(|| invalid(format!("detached source {index} is not there")))?;
            sources.insert(mounts.len(), fd);
        }
        mounts.push(bind(own));
    }
    Ok((mounts, sources))
}

fn same_place(destination: &str, at: &std::path::Path) -> bool {
    std::path::Path::new(destination).components().eq(at.components())
}

fn bind(own: &BindMount) -> Mount {
    let propagation = match own.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    let access = match (own.read_only, own.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    };
    let source = match &own.source {
        BindSource::Path(path) => Some(path.as_path()),
        BindSource::Detached(_) => None,
    };
    mount(&own.destination, "bind", source, &["rbind", propagation, access])
}

fn mount(
    destination: &str,
    fs_type: &str,
    source: Option<&std::path::Path>,
    options: &[&str],
) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(fs_type.to_owned()))
        .set_source(source.map(PathBuf::from))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

/// A privileged container may write /sys and its cgroups.
fn default_mounts(privileged: bool) -> Vec<Mount> {
    let access = if privileged { "rw" } else { "ro" };
    let named = |destination, fs_type: &str, options: &[&str]| {
        mount(destination, fs_type, Some(std::path::Path::new(fs_type)), options)
    };
    vec![
        named("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        named("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        named(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        named("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        named("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        named("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        named("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerId;
    use crate::model::plan::Resources;
    use crate::model::spec::UserSpec;

    fn container() -> ContainerSpec {
        ContainerSpec {
            id: ContainerId::new("c").unwrap(),
            args: vec!["true".to_owned()],
            env: vec!["A=b".to_owned()],
            cwd: String::new(),
            user: UserSpec { uid: 1, gid: 2, additional_gids: vec![3] },
            pid: ContainerPid::Own,
            tty: false,
            privileged: false,
            read_only_root: true,
            no_new_privileges: true,
            capabilities: vec!["CAP_CHOWN".to_owned()],
            seccomp: None,
            apparmor: AppArmorChoice::Unset,
            selinux: None,
            unmasked_proc: false,
            mounts: Vec::new(),
            resources: Resources::default(),
            oom_score_adj: 1000,
            cgroup: "/podrt/pod1/c".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    fn kinds(spec: &Spec) -> Vec<LinuxNamespaceType> {
        let linux = spec.linux().as_ref().unwrap();
        linux.namespaces().iter().flatten().map(LinuxNamespace::typ).collect()
    }

    #[test]
    fn a_plain_container_is_masked_and_has_its_own_pid_and_cgroup_namespace() {
        let (spec, sources) = oci(&container(), Vec::new()).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(sources.is_empty());
        assert!(linux.masked_paths().as_ref().unwrap().len() >= defaults::MASKED_PATHS.len());
        assert!(kinds(&spec).contains(&LinuxNamespaceType::Pid));
        assert!(kinds(&spec).contains(&LinuxNamespaceType::Cgroup));
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.cwd().to_str(), Some("/"));
        let caps = process.capabilities().as_ref().unwrap();
        assert_eq!(caps.bounding().as_ref().unwrap().len(), 1);
        assert!(caps.ambient().is_none());
    }

    #[test]
    fn a_privileged_container_sees_everything_and_no_filter_holds_it() {
        let privileged = ContainerSpec {
            privileged: true,
            seccomp: Some(serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO"})),
            ..container()
        };
        let (spec, _) = oci(&privileged, Vec::new()).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.masked_paths().is_none() && linux.seccomp().is_none());
        assert!(!kinds(&spec).contains(&LinuxNamespaceType::Cgroup));
        assert!(linux.devices().as_ref().is_some_and(|list| !list.is_empty()));
    }

    #[test]
    fn own_mounts_replace_the_defaults_and_detached_sources_keep_their_place() {
        let bind = |destination: &str, source| BindMount {
            source,
            destination: destination.to_owned(),
            read_only: true,
            recursive_read_only: true,
            propagation: Propagation::Private,
        };
        let with = ContainerSpec {
            mounts: vec![
                bind("/dev/shm/", BindSource::Detached(1)),
                bind("/data", BindSource::Path("/tmp".into())),
                bind("/more", BindSource::Detached(0)),
            ],
            ..container()
        };
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (spec, sources) = oci(&with, vec![fd(), fd()]).unwrap();
        let mounts = spec.mounts().as_ref().unwrap();
        let at = |index: usize| mounts[index].destination().to_str().unwrap();
        let detached: Vec<_> = sources.keys().map(|index| at(*index)).collect();
        assert_eq!(detached, ["/dev/shm/", "/more"]);
        assert_eq!(mounts.iter().filter(|m| m.destination().starts_with("/dev/shm")).count(), 1);
        assert!(mounts.last().unwrap().options().as_ref().unwrap().contains(&"rro".to_owned()));
        assert!(oci(&with, vec![fd()]).is_err(), "a missing source");
    }

    #[test]
    fn an_unknown_capability_or_profile_is_refused() {
        let bad = ContainerSpec { capabilities: vec!["CAP_NOPE".to_owned()], ..container() };
        assert!(oci(&bad, Vec::new()).is_err());
        let bad = ContainerSpec { seccomp: Some(serde_json::json!([1])), ..container() };
        assert!(oci(&bad, Vec::new()).is_err());
    }
}
