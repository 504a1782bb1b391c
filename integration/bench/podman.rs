//! Debian 12's podman on a machine whose root lacks CAP_SYS_RESOURCE.
//!
//! Its runtime, crun 1.8.1, raises RLIMIT_MEMLOCK for device programs, which
//! such a machine refuses, and podman attaches a deny-all device program to
//! the pod's cgroup. So podman gets this program as its runtime: it lets the
//! raise pass, takes that one program off again, and becomes crun.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Place;

/// The name by which podman calls this program: conmon, which is between the
/// two, passes no environment on.
const RUNTIME_NAME: &str = "crun-as-far-as-this-machine-lets-it";

pub fn is_runtime_call() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.is_some_and(|path| path.file_name().is_some_and(|name| name == RUNTIME_NAME))
}

/// Never returns: becomes crun.
pub fn run_runtime() -> ! {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.iter().any(|arg| arg == "create") {
        if let Some(cgroup) = parent_cgroup(&args) {
            let cgroup = std::fs::File::open(cgroup).expect("the pod's cgroup");
            podrt::sys::bpf::clear_device_programs(cgroup.as_fd()).expect("detach");
        }
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{
                "names": ["prlimit64", "setrlimit"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
                "args": [{ "index": 1, "value": 8, "op": "SCMP_CMP_EQ" }]
            }, {
                "names": ["setrlimit"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
                "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }]
            }]
        });
        let profile = serde_json::from_value(profile).expect("profile");
        let filter = podrt::seccomp::Filter::compile(&profile).expect("filter");
        filter.install().expect("install");
    }
    let error = Command::new("crun").args(args).exec();
    panic!("exec crun: {error}");
}

/// The pod's cgroup: the parent of the one that the bundle names.
fn parent_cgroup(args: &[OsString]) -> Option<PathBuf> {
    let at = args.iter().position(|arg| arg == "--bundle" || arg == "-b")?;
    let text = std::fs::read(Path::new(args.get(at + 1)?).join("config.json")).ok()?;
    let spec: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let cgroup = spec["linux"]["cgroupsPath"].as_str()?.trim_start_matches('/').to_owned();
    Some(Path::new("/sys/fs/cgroup").join(Path::new(&cgroup).parent()?))
}

/// A podman with a store of its own below the work folder.
#[derive(Debug)]
pub struct Podman {
    folder: PathBuf,
}

impl Podman {
    /// Sets it up and gives it the fixture's rootfs as an image, all in
    /// that folder below the work folder.
    pub fn new(place: &Place, folder: &str) -> Self {
        let podman = Self::empty(place, folder);
        let tar = podman.folder.join("image.tar");
        let status =
            Command::new("tar").arg("-C").arg(&place.rootfs).arg("-cf").arg(&tar).arg(".").status();
        assert!(status.is_ok_and(|s| s.success()), "tar");
        super::timing::time(podman.command(&["import"]).arg(&tar).arg("localhost/bench:latest"));
        podman
    }

    /// Sets it up with an empty store in that folder below the work folder.
    pub fn empty(place: &Place, folder: &str) -> Self {
        let folder = place.work.path().join(folder);
        std::fs::create_dir_all(&folder).expect("folder");
        let own = std::env::current_exe().expect("own path");
        let runtime = folder.join(RUNTIME_NAME);
        std::os::unix::fs::symlink(own, &runtime).expect("link");
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n\
             [engine]\nevents_logger = \"none\"\ncgroup_manager = \"cgroupfs\"\nruntime = \"bench\"\n\
             [engine.runtimes]\nbench = [{runtime:?}]\n"
        );
        std::fs::write(folder.join("containers.conf"), conf).expect("containers.conf");
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `podman ARGS` with that store.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        let below = |name: &str| self.folder.join(name);
        command.env("CONTAINERS_CONF", below("containers.conf"));
        command.arg("--root").arg(below("root")).arg("--runroot").arg(below("run")).args(args);
        command
    }
}
