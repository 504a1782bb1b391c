//! Starting a pod's processes: record, control socket, keeper, shim.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::client::Client;
use super::control::socket;
use super::error::{Error, Result};
use super::shims_cgroup::{Entrance, ShimsCgroup};
use crate::model::PodUid;
use crate::model::plan::{ContainerPlan, Handler, PodPlan};
use crate::store::{PodRecord, PodStore};
use crate::sys::SyscallError;
use crate::sys::exec_view::{self, View};
use crate::sys::fault::{self, Point};
use crate::sys::keeper::{self, SpawnArgs};

/// The keeper holds the control socket under this key.
pub(super) const LISTENER_KEY: &str = "control";
/// And `podrt-net`, of a pod that may need it, under this one.
pub(super) const NET_KEY: &str = "net";
/// As the kubelet's own.
const OOM_SCORE_ADJ: i32 = -999;

/// How a pod's processes are started.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    /// The shim's executable; by default the `podrt-shim` beside this
    /// program's own file.
    pub shim: Option<PathBuf>,
    /// What goes to `shim.log`: `error`, `warn`, `info`, `debug`, `trace`.
    pub log_level: Option<String>,
}

/// Claims the pod's name and uid, writes its record and starts its keeper and
/// shim. The pod has begun when this returns, and goes on whatever becomes of
/// the caller; what is asked over the connection waits until the shim is up.
///
/// # Errors
/// [`Error::Store`] when the name or uid is taken; [`Error::NoShim`],
/// [`Error::Socket`], [`Error::Launch`]. Nothing is left behind then.
pub fn spawn(plan: &PodPlan, options: &SpawnOptions) -> Result<Client> {
    let shim = open_shim(options.shim.as_deref())?;
    let pods = PodStore::new(&plan.roots.root);
    fault::at(Point::ClaimPod).map_err(|cause| Error::Launch { step: "claim", cause })?;
    let record = pods.claim(plan)?;
    start(plan, &record, shim, options).inspect_err(|_| {
        // The first failure is the one to tell.
        let _ = pods.remove(&plan.uid);
        ShimsCgroup::of_machine().remove_if_empty();
    })
}

fn start(plan: &PodPlan, record: &PodRecord, shim: View, options: &SpawnOptions) -> Result<Client> {
    let failed = |step| move |cause| Error::Launch { step, cause };
    fault::at(Point::OpenControlSocket).map_err(failed("open the control socket"))?;
    let listener = socket::listener(record.dir())?;
    // Before there is a shim: a pod may be over before anybody could connect.
    fault::at(Point::ConnectShim).map_err(failed("connect to the shim"))?;
    let client = Client::connect(&plan.roots, &plan.uid)?;
    let client = client.ok_or_else(|| Error::NoAnswer { uid: plan.uid.clone() })?;
    let log = open_log(record.dir()).map_err(failed("open shim.log"))?;
    fault::at(Point::EnterShimsCgroup).map_err(failed("enter the cgroup of shims"))?;
    let Entrance { entry, lock } = ShimsCgroup::of_machine().enter()?;
    let args = shim_arguments(&plan.roots.root, &plan.uid);
    let log_level = options.log_level.iter().map(|level| format!("PODRT_LOG={level}"));
    let env: Vec<String> = log_level.chain(fault::environment()).collect();
    let net = open_net(plan);
    let net = net.as_ref().map(|net| (NET_KEY, net.as_fd()));
    let held: Vec<_> = [(LISTENER_KEY, listener.as_fd())].into_iter().chain(net).collect();
    fault::at(Point::SpawnKeeper).map_err(failed("start keeper"))?;
    keeper::spawn(&SpawnArgs {
        run_dir: record.dir(),
        shim: shim.file.as_fd(),
        args: &args,
        env: &env,
        log: log.as_fd(),
        held: &held,
        clone_into: entry.clone_into.as_ref().map(AsFd::as_fd),
        join: &entry.join,
        oom_score_adj: OOM_SCORE_ADJ,
    })
    .map_err(failed("start keeper"))?;
    drop(lock);
    Ok(client)
}

/// What a shim is called with: its pod's record.
pub(super) fn shim_arguments(root: &Path, uid: &PodUid) -> [String; 3] {
    ["podrt-shim".to_owned(), root.display().to_string(), uid.to_string()]
}

/// The shim's program, through a view that nobody inside a container can
/// write to: the shim enters containers.
fn open_shim(given: Option<&Path>) -> Result<View> {
    let searched = match given {
        Some(path) => vec![path.to_owned()],
        None => places("podrt-shim"),
    };
    let Some(path) = searched.iter().find(|path| path.is_file()) else {
        return Err(Error::NoShim { searched });
    };
    exec_view::open(path).map_err(|cause| Error::Launch { step: "open podrt-shim", cause })
}

/// Beside `podrt`, and where packages put programs that nobody types.
fn places(program: &str) -> Vec<PathBuf> {
    let own = fs::read_link("/proc/self/exe").ok();
    let beside = own.and_then(|path| Some(path.parent()?.join(program)));
    let installed = ["/usr/local/libexec/podrt", "/usr/libexec/podrt"];
    let installed = installed.map(|folder| Path::new(folder).join(program));
    beside.into_iter().chain(installed).collect()
}

/// `podrt-net`, for a pod that asks over HTTP: a redirect may lead to HTTPS.
/// Where it is not installed, the probe that needs it says so.
fn open_net(plan: &PodPlan) -> Option<File> {
    let containers = plan.init_containers.iter().chain(&plan.containers);
    if !containers.into_iter().any(asks_over_http) {
        return None;
    }
    places("podrt-net").iter().find_map(|path| File::open(path).ok())
}

fn asks_over_http(container: &ContainerPlan) -> bool {
    let probes = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
    let hooks = [&container.post_start, &container.pre_stop];
    let probes = probes.into_iter().flatten().map(|probe| &probe.handler);
    let mut handlers = probes.chain(hooks.into_iter().flatten().map(|hook| &hook.handler));
    handlers.any(|handler| matches!(handler, Handler::HttpGet(_)))
}

fn open_log(pod_run: &Path) -> std::result::Result<File, SyscallError> {
    let path = pod_run.join("shim.log");
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e: io::Error| SyscallError::from_io("open", path.display().to_string(), &e))
}
