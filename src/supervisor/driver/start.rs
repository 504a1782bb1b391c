//! From `StartContainer` to `Started`: image, environment, mounts, process.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::context::Context;
use super::names::{self, Held, Places};
use super::prepare::{Refusal, mount_root};
use super::run::{Parent, Process, Run, Stage};
use super::{Driver, security};
use crate::container::{
    self, Console, CreateOptions, Created, Creation, Gate, Progress, RootSource, Stdio, from_spec,
};
use crate::image::Image;
use crate::lifecycle::Event;
use crate::lifecycle::event::{Instance, Pulled, StartFailure, StartedFrom};
use crate::model::ContainerId;
use crate::model::plan::{ContainerPlan, PodPlan};
use crate::model::spec::{ContainerSpec, UserSpec};
use crate::model::status::LinuxUser;
use crate::supervisor::log::file::LogFile;
use crate::supervisor::log::pump::ContainerLog;
use crate::supervisor::token::{RunId, Token};
use crate::sys::exec_view::ViewMounts;
use crate::sys::{SyscallError, fd};

/// The ends of a container's standard streams.
struct Streams {
    /// What the process gets; a terminal is made for it instead when `None`.
    theirs: Option<[OwnedFd; 3]>,
    input: Option<Arc<OwnedFd>>,
    output: Option<[Arc<OwnedFd>; 2]>,
}

impl Driver {
    /// Begins to start a container; `Started` or `StartFailed` follows.
    pub fn start_container(&mut self, instance: Instance, may_pull: bool, cx: &mut Context<'_>) {
        if let Some(run) = self.run_of(instance).and_then(|id| self.runs.get(&id)) {
            // An earlier shim has made it and was killed before it could say
            // so; one that is not started yet is told when it is.
            if let Some(from) = run.from.clone() {
                cx.tell(Event::Created { instance, started_from: from });
            }
            if run.running().is_some() {
                cx.tell(Event::Started { instance, at: cx.now.wall });
            }
            return;
        }
        if let Err(Refusal { failure, message }) = self.try_start(instance, may_pull, cx) {
            self.forget_files(instance, cx);
            if matches!(failure, StartFailure::ErrImagePull | StartFailure::ErrImageNeverPull) {
                self.watch_images(cx);
            }
            cx.tell(Event::StartFailed { instance, failure, message });
        }
    }

    fn try_start(
        &mut self,
        instance: Instance,
        may_pull: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let plan = cx.plan;
        let container = names::container(plan, instance.container)
            .ok_or_else(|| Refusal::config("no such container in the plan"))?;
        let id = names::container_id(plan, &container.name, instance.attempt)
            .ok_or_else(|| Refusal::create("the name makes no container id"))?;
        self.clear_remains(&id, cx)?;
        let image = self.find_image(container, may_pull, cx)?;
        cx.tell(Event::ImagePulled { instance, how: Pulled::AlreadyPresent });
        let variables = self.variables(container, cx)?;
        let places = Places::new(plan, &container.name, instance.attempt);
        let mounts = self.mounts(container, &variables, &places, cx)?;
        security::check_non_root(plan, container, &image.config.user).map_err(Refusal::config)?;
        let root = mount_root(&image, &places)?;
        let user = security::user(plan, container, &image.config.user, root.as_fd())
            .map_err(Refusal::create)?;
        let spec = self.container_spec(&id, container, &image, &variables, &user, cx)?;
        let spec = ContainerSpec { mounts: mounts.list, ..spec };
        let neutral = spec;
        let (spec, sources) = from_spec::oci(&neutral, mounts.detached).map_err(Refusal::create)?;
        let streams = self.streams(instance, container, cx).map_err(Refusal::create)?;
        let log = open_log(plan, instance, &places, streams.output)?;
        let console = if streams.theirs.is_none() { Console::HandOver } else { Console::None };
        // A terminal replaces the streams before the program runs.
        let stdio = streams.theirs.map_or(Stdio::Inherit, Stdio::Fds);
        let options = CreateOptions {
            id: id.clone(),
            state_root: plan.roots.root.clone(),
            bundle: places.layer.clone(),
            spec,
            keep: Box::new(neutral),
            root: RootSource::Detached(root),
            sources,
            namespaces: self.namespaces(container).map_err(Refusal::create)?,
            stdio,
            console,
            pid_file: None,
            preserve_fds: 0,
            no_pivot: false,
            no_new_keyring: false,
            gate: Gate::Held,
            cgroup_driver: container::CgroupDriver::Cgroupfs,
            owner: Some(plan.uid.clone()),
            view_mounts: ViewMounts::default(),
        };
        // Here the kubelet's "create" ends and its "start" begins: what fails
        // from now on is a container that could not be run.
        let from = started_from(&id, &image, &user);
        cx.tell(Event::Created { instance, started_from: from.clone() });
        let creation = Creation::begin(options).map_err(Refusal::run)?;
        let run_id = self.next_run_id();
        cx.wait_for(creation.fd(), Token::Creation(run_id)).map_err(Refusal::run)?;
        let run = Run {
            instance,
            id,
            name: container.name.clone(),
            from: Some(from),
            stage: Stage::Creating(Box::new(creation)),
            log,
            input: streams.input,
            terminal: None,
            viewers: Vec::new(),
            commands: None,
        };
        self.runs.insert(run_id, run);
        self.seat_waiting(run_id, cx);
        self.watch_output(run_id, cx);
        Ok(())
    }

    /// What a shim that was killed half-way has made of this instance goes.
    fn clear_remains(&self, id: &ContainerId, cx: &Context<'_>) -> Result<(), Refusal> {
        if !cx.plan.roots.container(id).exists() {
            return Ok(());
        }
        container::delete_of_pod(&cx.plan.roots.root, id).map_err(Refusal::create)
    }

    /// The pipes of a container, known to the keeper before there is a process
    /// that could write into them.
    fn streams(
        &self,
        instance: Instance,
        container: &ContainerPlan,
        cx: &mut Context<'_>,
    ) -> Result<Streams, SyscallError> {
        if container.tty {
            return Ok(Streams { theirs: None, input: None, output: None });
        }
        let (stdin, input) = match container.stdin {
            true => {
                let (reader, writer) = fd::pipe()?;
                (reader, Some(Arc::new(writer)))
            }
            false => (open_null()?, None),
        };
        let ((out_reader, out_writer), (err_reader, err_writer)) = (fd::pipe()?, fd::pipe()?);
        let output = [Arc::new(out_reader), Arc::new(err_reader)];
        cx.hold(&names::key(instance, Held::Stdout), Arc::clone(&output[0]));
        cx.hold(&names::key(instance, Held::Stderr), Arc::clone(&output[1]));
        if let Some(input) = &input {
            cx.hold(&names::key(instance, Held::Input), Arc::clone(input));
        }
        Ok(Streams { theirs: Some([stdin, out_writer, err_writer]), input, output: Some(output) })
    }

    /// A container in the making has something to say.
    pub fn creation_ready(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let Stage::Creating(creation) = &mut run.stage else { return };
        match creation.advance() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Created(created)) => {
                cx.epoll.remove(creation.fd());
                self.created(run_id, created, cx);
            }
            Err(error) => {
                let (instance, message) = (run.instance, error.to_string());
                cx.epoll.remove(creation.fd());
                self.abandon(run_id, cx);
                let failure = StartFailure::Run;
                cx.tell(Event::StartFailed { instance, failure, message });
            }
        }
    }

    fn created(&mut self, run_id: RunId, created: Created, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let instance = run.instance;
        let process = Process {
            pid: created.pid.as_raw(),
            pidfd: Arc::new(created.pidfd),
            start_time: created.start_time,
            parent: Parent::Shim,
        };
        cx.hold(&names::key(instance, Held::Pidfd), Arc::clone(&process.pidfd));
        let begun = run.prepare_program(run_id, process, created.gate, created.exec_status, cx);
        let terminal = created.console.map(|master| run.take_terminal(master, cx));
        let has_terminal = terminal.is_some();
        if let Err(error) = begun.and(terminal.unwrap_or(Ok(()))) {
            let message = error.to_string();
            return self.run_failed(run_id, message, cx);
        }
        self.to_open.push(run_id);
        if has_terminal {
            self.seat_waiting(run_id, cx);
            self.watch_output(run_id, cx);
        }
    }

    /// True when something is to happen that must be on record before.
    #[must_use]
    pub fn waits_for_commit(&self) -> bool {
        !self.to_open.is_empty()
    }

    /// Lets the programs run whose processes are on record.
    pub fn open_gates(&mut self) {
        for run_id in std::mem::take(&mut self.to_open) {
            let stage = self.runs.get_mut(&run_id).map(|run| &mut run.stage);
            if let Some(Stage::Starting { gate, .. }) = stage
                && let Some(gate) = gate.take()
                && let Err(errno) = nix::unistd::write(&*gate, b"0")
            {
                // EPIPE: the process is gone, and its status says so.
                tracing::debug!(errno = errno as i32, "cannot open gate");
            }
        }
    }

    /// The container's program runs, or it could not be executed.
    pub fn execution_ready(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let Stage::Starting { exec_status, .. } = &run.stage else { return };
        let instance = run.instance;
        cx.epoll.remove(&**exec_status);
        for held in [Held::Gate, Held::ExecStatus] {
            cx.let_go(&names::key(instance, held));
        }
        if let Err(error) = container::read_exec_status(exec_status.as_fd()) {
            self.run_failed(run_id, error.to_string(), cx);
            return;
        }
        if let Stage::Starting { process, .. } = std::mem::replace(&mut run.stage, Stage::Ended) {
            let watched = cx.wait_for(&process.pidfd, Token::Exit(run_id));
            run.stage = Stage::Running { process };
            if let Err(error) = watched {
                tracing::error!(error = %error, container = run.name, "cannot watch container");
            }
        }
        cx.tell(Event::Started { instance, at: cx.now.wall });
    }

    /// The container exists, and its program does not run.
    fn run_failed(&mut self, run_id: RunId, message: String, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let instance = run.instance;
        let stage = std::mem::replace(&mut run.stage, Stage::Ended);
        if let Stage::Starting { process, .. } = stage
            && process.parent == Parent::Shim
            && let Ok(pidfd) = process.pidfd.try_clone()
        {
            self.reap_when_ended(pidfd, cx);
        }
        cx.tell(Event::StartFailed { instance, failure: StartFailure::Run, message });
    }

    /// A start that made nothing of the container is undone.
    fn abandon(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        if let Some(run) = self.runs.remove(&run_id) {
            self.forget_files(run.instance, cx);
        }
    }

    /// The start is not wanted any more. What is already made is started, and
    /// stopped as every container is.
    pub fn cancel_start(&mut self, instance: Instance, cx: &mut Context<'_>) {
        let Some(run_id) = self.run_of(instance) else { return };
        let creating =
            matches!(self.runs.get(&run_id), Some(Run { stage: Stage::Creating(_), .. }));
        if creating {
            self.abandon(run_id, cx);
            let (failure, message) = (StartFailure::Cancelled, String::new());
            cx.tell(Event::StartFailed { instance, failure, message });
        }
    }

    /// Removes the files of an instance and lets the keeper close what it
    /// holds of it; the log stays.
    pub(super) fn forget_files(&mut self, instance: Instance, cx: &mut Context<'_>) {
        for what in Held::ALL {
            cx.let_go(&names::key(instance, what));
        }
        if let Some(container) = names::container(cx.plan, instance.container) {
            let places = Places::new(cx.plan, &container.name, instance.attempt);
            self.remove_later(places.layer);
        }
    }
}

impl Run {
    /// Makes the gate and the exec's status known to the keeper, and waits for
    /// what becomes of the exec.
    fn prepare_program(
        &mut self,
        run_id: RunId,
        process: Process,
        gate: Option<OwnedFd>,
        exec_status: Option<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Result<(), SyscallError> {
        let missing = |what| SyscallError::new("start", what, nix::errno::Errno::EBADF);
        let gate = Arc::new(gate.ok_or_else(|| missing("no gate"))?);
        let exec_status = Arc::new(exec_status.ok_or_else(|| missing("no exec status"))?);
        cx.hold(&names::key(self.instance, Held::Gate), Arc::clone(&gate));
        cx.hold(&names::key(self.instance, Held::ExecStatus), Arc::clone(&exec_status));
        let watched = cx.wait_for(&*exec_status, Token::Execution(run_id));
        self.stage = Stage::Starting { process, gate: Some(gate), exec_status };
        watched
    }

    /// The terminal that was made in the container.
    fn take_terminal(&mut self, master: OwnedFd, cx: &mut Context<'_>) -> Result<(), SyscallError> {
        let master = Arc::new(master);
        cx.hold(&names::key(self.instance, Held::Terminal), Arc::clone(&master));
        let plan = cx.plan;
        let places = Places::new(plan, &self.name, self.instance.attempt);
        let file = LogFile::open(&places.log, None, plan.log_limits)?;
        let slot = names::slot(plan, self.instance.container);
        self.log = Some(ContainerLog::of_terminal(file, slot, Arc::clone(&master))?);
        self.terminal = Some(master);
        Ok(())
    }
}

/// The log of a container with pipes; one with a terminal gets it later.
fn open_log(
    plan: &PodPlan,
    instance: Instance,
    places: &Places,
    output: Option<[Arc<OwnedFd>; 2]>,
) -> Result<Option<ContainerLog>, Refusal> {
    let Some(output) = output else { return Ok(None) };
    let file = LogFile::open(&places.log, None, plan.log_limits).map_err(Refusal::create)?;
    let slot = names::slot(plan, instance.container);
    ContainerLog::of_pipes(file, slot, output).map(Some).map_err(Refusal::create)
}

fn started_from(id: &ContainerId, image: &Image, user: &UserSpec) -> StartedFrom {
    StartedFrom {
        container_id: id.to_string(),
        image: image.name.clone(),
        image_id: image.id.to_string(),
        user: LinuxUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: user.additional_gids.clone(),
        },
        image_stop_signal: image.config.stop_signal,
    }
}

fn open_null() -> Result<OwnedFd, SyscallError> {
    fs::File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|error| SyscallError::from_io("open", "/dev/null", &error))
}
