//! How containers end: signals, exits, removal.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::Driver;
use super::context::Context;
use super::names::{self, Held, Places};
use super::run::{Parent, Run, Stage};
use super::{message, names::container};
use crate::cgroup::Cgroup;
use crate::container as engine;
use crate::lifecycle::Event;
use crate::lifecycle::event::Instance;
use crate::model::plan::PodPlan;
use crate::model::{ExitStatus, Signal, Timestamp};
use crate::supervisor::log::file::remove_before;
use crate::supervisor::token::{RunId, Token};
use crate::sys::event::Interest;
use crate::sys::exit_log::Exit;
use crate::sys::pidfd_info::{ExitInfo, exit_info, tells_exits};
use crate::sys::process::pidfd_send_signal;

impl Driver {
    /// Sends a signal to a container's process 1, and `KILL` to all of it.
    pub fn signal(&mut self, instance: Instance, signal: Signal, cx: &mut Context<'_>) {
        let Some(run) = self.run_of(instance).and_then(|id| self.runs.get(&id)) else { return };
        let Some(process) = run.process() else { return };
        // ESRCH: it has ended, and its exit is about to be read.
        let _ = pidfd_send_signal(process.pidfd.as_fd(), signal);
        if signal == Signal::KILL {
            kill_all(cx.plan, run);
        }
    }

    /// A container's pidfd is readable: it has ended. One that an earlier shim
    /// started is told by the keeper.
    pub fn exit_ready(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get(&run_id) else { return };
        let Some(process) = run.running() else { return };
        let pidfd = Arc::clone(&process.pidfd);
        match process.parent {
            Parent::Shim => {
                cx.epoll.remove(&pidfd);
                match peek_exit(&pidfd) {
                    Some(status) => {
                        // Reaped only after the exit is on record: should this
                        // shim be killed before, the keeper notes the zombie.
                        self.to_reap.push(pidfd);
                        self.ended(run_id, status, cx.now.wall, cx);
                    }
                    None => self.lost(run_id, cx),
                }
            }
            Parent::Keeper => cx.epoll.remove(&pidfd),
            Parent::Stranger => self.ask_pidfd(run_id, cx),
        }
    }

    /// The end of a process that somebody else reaps, or has reaped.
    pub(super) fn ask_pidfd(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(process) = self.runs.get(&run_id).and_then(Run::running) else { return };
        let pidfd = Arc::clone(&process.pidfd);
        match exit_info(pidfd.as_fd()) {
            ExitInfo::Ended(status) => {
                cx.epoll.remove(&pidfd);
                self.ended(run_id, status, cx.now.wall, cx);
            }
            // It hangs up when it is reaped.
            ExitInfo::NotReaped if self.pidfds_tell_exits() => {
                let _ = cx.epoll.modify(&pidfd, Interest::Nothing, Token::Exit(run_id));
            }
            ExitInfo::NotReaped | ExitInfo::Unknown => {
                cx.epoll.remove(&pidfd);
                self.lost(run_id, cx);
            }
        }
    }

    /// Whether this kernel's pidfds do; tried once, when it matters.
    fn pidfds_tell_exits(&mut self) -> bool {
        *self.pidfds_tell.get_or_insert_with(tells_exits)
    }

    /// Exits that the keeper noted.
    pub fn exits_noted(&mut self, exits: &[Exit], cx: &mut Context<'_>) {
        for exit in exits {
            let found = self.runs.iter().find(|(_, run)| {
                run.process().is_some_and(|process| {
                    process.pid == exit.pid.as_raw()
                        && (process.start_time == exit.start_time || exit.start_time == 0)
                })
            });
            if let Some((&run_id, _)) = found {
                // One that failed to execute its program has not run.
                self.execution_ready(run_id, cx);
                if self.runs.get(&run_id).is_some_and(|run| run.process().is_some()) {
                    self.ended(run_id, exit.status, exit.wall, cx);
                }
            }
        }
    }

    /// The container's process 1 has ended.
    fn ended(&mut self, run_id: RunId, status: ExitStatus, at: Timestamp, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        run.stage = Stage::Ended;
        run.input = None;
        let (instance, id, name) = (run.instance, run.id.clone(), run.name.clone());
        if shares_pids(cx.plan) {
            // In a pid namespace of its own the kernel has done this.
            kill_all(cx.plan, run);
        }
        self.end_sessions(run_id, status, cx);
        self.drain_output(run_id, cx);
        for held in [Held::Pidfd, Held::Input] {
            cx.let_go(&names::key(instance, held));
        }
        let cgroup = format!("{}/{id}", names::pod_cgroup(cx.plan));
        let oom_kills = Cgroup::open(&cgroup).and_then(|cgroup| cgroup.oom_kills());
        let message = container(cx.plan, instance.container)
            .map(|plan| message::read(plan, &Places::new(cx.plan, &name, instance.attempt), status))
            .unwrap_or_default();
        let oom_killed = oom_kills.is_ok_and(|count| count > 0);
        cx.tell(Event::Exited { instance, status, oom_killed, at, message });
    }

    /// Instances that should run and of which nothing is on record: whatever is
    /// left of them goes.
    pub fn lose_unknown(&mut self, alive: &[Instance], cx: &mut Context<'_>) {
        for &instance in alive {
            if self.run_of(instance).is_none() {
                self.delete_container(instance, cx);
                cx.tell(Event::Lost { instance, at: cx.now.wall });
            }
        }
    }

    /// The container ended and nobody can say how.
    pub(super) fn lost(&mut self, run_id: RunId, cx: &mut Context<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        run.stage = Stage::Ended;
        let instance = run.instance;
        self.drain_output(run_id, cx);
        cx.tell(Event::Lost { instance, at: cx.now.wall });
    }

    /// Forgets an ended instance: state, cgroup, writable layer.
    pub fn remove_container(&mut self, instance: Instance, cx: &mut Context<'_>) {
        if let Some(run_id) = self.run_of(instance) {
            self.reap_now();
            self.drain_output(run_id, cx);
            self.runs.remove(&run_id);
        }
        self.delete_container(instance, cx);
        self.forget_files(instance, cx);
        self.forget_older_logs(instance, cx);
        cx.tell(Event::Removed { instance });
    }

    /// The log of an instance that ended stays; those of the ones before it go.
    fn forget_older_logs(&self, instance: Instance, cx: &Context<'_>) {
        let Some(plan) = container(cx.plan, instance.container) else { return };
        let log = Places::new(cx.plan, &plan.name, instance.attempt).log;
        if let Some(folder) = log.parent() {
            remove_before(folder, instance.attempt);
        }
    }

    /// Removes what the engine keeps of an instance.
    pub(super) fn delete_container(&mut self, instance: Instance, cx: &mut Context<'_>) {
        let Some(plan) = container(cx.plan, instance.container) else { return };
        let Some(id) = names::container_id(cx.plan, &plan.name, instance.attempt) else { return };
        if let Err(error) = engine::delete_of_pod(&cx.plan.roots.root, &id) {
            tracing::error!(error = %error, container = plan.name, "cannot remove container");
            self.last_error = Some(error.to_string());
        }
    }

    /// Reaps the processes whose exits are on record.
    pub fn reap_now(&mut self) {
        for pidfd in self.to_reap.drain(..) {
            // ECHILD: it is nobody's any more.
            let _ = waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        }
    }
}

/// How a child ended, without reaping it; `None` when it is no child of ours.
fn peek_exit(pidfd: &OwnedFd) -> Option<ExitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags).ok()? {
        // An exit code has eight bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        WaitStatus::Exited(_, code) => Some(ExitStatus::Exited(code as u8)),
        WaitStatus::Signaled(_, signal, _) => Signal::new(signal as i32).map(ExitStatus::Signaled),
        _ => None,
    }
}

/// True when the end of process 1 does not take the container's others along.
fn shares_pids(plan: &PodPlan) -> bool {
    plan.sandbox.host_pid || plan.sandbox.share_process_namespace
}

/// Kills every process of a container.
fn kill_all(plan: &PodPlan, run: &Run) {
    let path = format!("{}/{}", names::pod_cgroup(plan), run.id);
    let killed = Cgroup::open(&path).and_then(|cgroup| cgroup.kill());
    if let Err(error) = killed {
        tracing::warn!(error = %error, container = run.name, "cannot kill all processes");
    }
}
