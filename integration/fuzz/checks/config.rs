//! A bundle's config.json, up to everything that is decided before anything is
//! made, and its seccomp profile up to the finished program.

use oci_spec::runtime::Spec;
use podrt::container::{
    self, CgroupDriver, Config, Console, CreateOptions, Gate, NamespaceFds, RootSource, Stdio,
};
use podrt::model::ContainerId;
use podrt::seccomp::Filter;

pub fn check(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else { return };
    if let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref())
        && let Ok(filter) = Filter::compile(profile)
    {
        assert!(filter.instructions() > 0);
    }
    let root = spec.root().as_ref().map_or_else(|| "rootfs".into(), |root| root.path().clone());
    let bundle = std::env::current_dir().expect("a working folder");
    let _ = container::draft(CreateOptions {
        id: ContainerId::new("fuzz").expect("an id"),
        state_root: bundle.join("state"),
        bundle,
        spec,
        keep: Box::new(Config),
        root: RootSource::Path(root),
        sources: Default::default(),
        namespaces: NamespaceFds::default(),
        stdio: Stdio::Inherit,
        console: Console::None,
        pid_file: None,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        gate: Gate::Fifo,
        cgroup_driver: CgroupDriver::Cgroupfs,
        owner: None,
        view_mounts: podrt::sys::exec_view::ViewMounts::default(),
    });
}
