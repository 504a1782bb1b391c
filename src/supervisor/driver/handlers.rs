//! Probes and hooks: an order becomes a task, a task's end an event. What goes
//! over the network is in [`super::asking`], what an end means in
//! [`super::outcome`].

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::connection::{Connection, host_port};
use super::context::Context;
use super::outcome::{HTTP_TIMEOUT, Outcome, get_error, hook_result, probe_result};
use super::run::Run;
use super::tasks::{self, Ask, Capture, Purpose, Task, Then, Work};
use super::{Driver, names};
use crate::container::{Commands, Target};
use crate::lifecycle::Event;
use crate::lifecycle::event::{HookKind, Instance, ProbeKind};
use crate::model::plan::{ContainerPlan, Handler, HookPlan, ProbePlan};
use crate::supervisor::probe::http::Agent;
use crate::supervisor::probe::url::Url;
use crate::supervisor::process::env;
use crate::supervisor::token::{TaskId, Token};

impl Driver {
    /// Runs a probe once.
    pub fn run_probe(&mut self, instance: Instance, kind: ProbeKind, cx: &mut Context<'_>) {
        let container = names::container(cx.plan, instance.container);
        let Some((container, probe)) = container.and_then(|c| Some((c, probe_plan(c, kind)?)))
        else {
            return;
        };
        let purpose = Purpose::Probe(instance, kind);
        if self.tasks.find(purpose).is_some() {
            return;
        }
        let timeout = Duration::from_secs(u64::from(probe.timeout_seconds.max(1)));
        let deadline = Some(cx.now.boot_after(timeout));
        self.begin(purpose, container, &probe.handler, deadline, cx);
    }

    /// Runs a hook.
    pub fn run_hook(&mut self, instance: Instance, hook: HookKind, cx: &mut Context<'_>) {
        let container = names::container(cx.plan, instance.container);
        let Some(container) = container else { return };
        let purpose = Purpose::Hook(instance, hook);
        let Some(plan) = hook_plan(container, hook) else { return };
        if self.tasks.find(purpose).is_some() {
            return;
        }
        self.begin(purpose, container, &plan.handler, None, cx);
    }

    /// The result of a probe is not wanted any more.
    pub fn cancel_probe(&mut self, instance: Instance, kind: ProbeKind, cx: &mut Context<'_>) {
        self.cancel(Purpose::Probe(instance, kind), cx);
    }

    /// A hook is not waited for any more.
    pub fn cancel_hook(&mut self, instance: Instance, hook: HookKind, cx: &mut Context<'_>) {
        self.cancel(Purpose::Hook(instance, hook), cx);
    }

    /// A child whose end interests nobody.
    pub(super) fn reap_when_ended(&mut self, pidfd: OwnedFd, cx: &mut Context<'_>) {
        let id = self.tasks.reserve();
        if let Err(error) = cx.wait_for(&pidfd, Token::TaskProcess(id)) {
            tracing::warn!(error = %error, "cannot watch helper, ignoring");
        }
        let work = Work::Process { pidfd, capture: Capture::default() };
        self.tasks.insert(id, Task { purpose: Purpose::Nobody, work, deadline_ns: None });
    }

    fn cancel(&mut self, purpose: Purpose, cx: &mut Context<'_>) {
        if let Some(id) = self.tasks.find(purpose)
            && let Some(task) = self.tasks.take(id)
        {
            self.give_up(id, task.work, cx);
        }
    }

    /// Ends a task whose result nobody wants; a process stays until reaped, and
    /// one that is still on its way into the container until it is heard of: it
    /// may stand still there for as long as the container likes.
    pub(super) fn give_up(&mut self, id: TaskId, work: Work, cx: &mut Context<'_>) {
        work.kill();
        if let Work::Entering { executing, .. } = work {
            let work = Work::Entering { executing, capture: Capture::default() };
            self.tasks.insert(id, Task { purpose: Purpose::Abandoned, work, deadline_ns: None });
            return;
        }
        if let Work::Process { pidfd, .. } = work {
            let work = Work::Process { pidfd, capture: Capture::default() };
            self.tasks.insert(id, Task { purpose: Purpose::Nobody, work, deadline_ns: None });
            self.process_ready(id, cx);
        }
    }

    fn begin(
        &mut self,
        purpose: Purpose,
        container: &ContainerPlan,
        handler: &Handler,
        deadline_ns: Option<u64>,
        cx: &mut Context<'_>,
    ) {
        let (Purpose::Probe(instance, _) | Purpose::Hook(instance, _)) = purpose else { return };
        let id = self.tasks.reserve();
        let begun = match handler {
            Handler::TcpSocket { .. } | Handler::Grpc { .. }
                if matches!(purpose, Purpose::Hook(..)) =>
            {
                Err(Outcome::Impossible("invalid handler".to_owned()))
            }
            Handler::Exec { command } => {
                self.begin_exec(id, purpose, instance, container, command, cx)
            }
            Handler::HttpGet(get) => self
                .target(container, get.host.as_deref(), &get.port)
                .and_then(|(host, port, inside)| {
                    let url = Url::new(get.https, &host, port, &get.path);
                    let agent = match purpose {
                        Purpose::Probe(..) => Agent::Probe,
                        _ => Agent::Lifecycle,
                    };
                    let headers = get.headers.clone();
                    let ask = Ask { url, redirects: 0, headers, agent, inside };
                    self.begin_ask(id, Box::new(ask), cx)
                }),
            Handler::TcpSocket { host, port } => self
                .target(container, host.as_deref(), port)
                .and_then(|(host, port, inside)| self.begin_knock(id, host, port, inside, cx)),
            Handler::Grpc { port, service } => {
                let until_ns = deadline_ns.unwrap_or(u64::MAX);
                self.begin_check(*port, service, until_ns)
            }
            Handler::Sleep { seconds } => {
                let until = cx.now.boot_after(Duration::from_secs(u64::from(*seconds)));
                let task = Task { purpose, work: Work::Sleep, deadline_ns: Some(until) };
                self.tasks.insert(id, task);
                return;
            }
        };
        match begun {
            Ok(work) => {
                self.tasks.insert(id, Task { purpose, work, deadline_ns });
                if matches!(handler, Handler::Grpc { .. }) {
                    self.try_check(id, cx);
                }
                // What failed at once is told at once.
                self.data_ready(id, cx);
            }
            Err(outcome) => self.report(purpose, outcome, cx),
        }
    }

    fn begin_exec(
        &mut self,
        id: TaskId,
        purpose: Purpose,
        instance: Instance,
        container: &ContainerPlan,
        command: &[String],
        cx: &mut Context<'_>,
    ) -> Result<Work, Outcome> {
        let command: Vec<String> = match purpose {
            Purpose::Probe(..) => {
                let literals = env::literals(container);
                command.iter().map(|text| literals.expand(text)).collect()
            }
            _ => command.to_vec(),
        };
        let run = self.run_of(instance).and_then(|id| self.runs.get_mut(&id));
        let run = run.ok_or_else(|| Outcome::Impossible("container not running".to_owned()))?;
        let commands = run.commands(cx).map_err(Outcome::Impossible)?;
        let (executing, capture) =
            tasks::begin_captured(commands, command).map_err(Outcome::Impossible)?;
        let watched = cx.wait_for(executing.fd(), Token::TaskProcess(id));
        watched.map_err(|error| Outcome::Impossible(error.to_string()))?;
        Ok(Work::Entering { executing: Box::new(executing), capture })
    }

    /// A process has ended, or one on its way into a container has something
    /// to say.
    pub fn process_ready(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        match &mut task.work {
            Work::Entering { executing, .. } => match executing.advance() {
                Ok(None) if task.purpose == Purpose::Abandoned => executing.abandon(),
                Ok(None) => {}
                Ok(Some(exec)) => self.entered(id, exec, cx),
                Err(error) => {
                    cx.epoll.remove(executing.fd());
                    let message = error.to_string();
                    self.finish(id, Outcome::Impossible(message), cx);
                }
            },
            Work::Process { pidfd, capture } => {
                let Some(status) = tasks::reap(pidfd) else { return };
                capture.read();
                let (output, errors) = (capture.text(), capture.error_text());
                cx.epoll.remove(pidfd);
                self.finish(id, Outcome::Exited { status, output, errors }, cx);
            }
            _ => {}
        }
    }

    /// The program of an exec runs in the container.
    fn entered(&mut self, id: TaskId, exec: crate::container::Exec, cx: &mut Context<'_>) {
        let Some(task) = self.tasks.take(id) else { return };
        let Work::Entering { executing, capture } = task.work else { return };
        cx.epoll.remove(executing.fd());
        let watched = tasks::watch_process(&exec, id, cx).and_then(|()| capture.watch(id, cx));
        if let Err(error) = watched {
            tracing::error!(error = %error, "cannot watch process");
        }
        if let Purpose::Exec(client) = task.purpose {
            self.exec_running(client, exec.pid.as_raw(), exec.console);
        }
        let work = Work::Process { pidfd: exec.pidfd, capture };
        if task.purpose == Purpose::Abandoned {
            work.kill();
        }
        self.tasks.insert(id, Task { work, ..task });
    }

    /// Deadlines of tasks that have passed.
    pub fn expire_tasks(&mut self, cx: &mut Context<'_>) {
        for id in self.tasks.overdue(cx.now.boot_ns) {
            if self.tasks.get_mut(id).is_some_and(|task| task.waits_to_retry(cx.now.boot_ns)) {
                self.try_check(id, cx);
                continue;
            }
            let Some(task) = self.tasks.take(id) else { continue };
            let outcome = match &task.work {
                Work::Sleep | Work::Left(_) => Outcome::Slept,
                Work::Entering { .. } | Work::Process { .. } => Outcome::TimedOut,
                Work::Knock(connection) => Outcome::Failed(connection.dial_timeout()),
                Work::Grpc { connection, check } => Outcome::CheckTimedOut {
                    address: check.address,
                    connected: connection.as_ref().is_some_and(Connection::is_greeted),
                },
                Work::Http { ask, .. } => Outcome::Failed(get_error(&ask.url, HTTP_TIMEOUT)),
                Work::Resolving { then: Then::Ask(ask), .. } => {
                    Outcome::Failed(get_error(&ask.url, HTTP_TIMEOUT))
                }
                Work::Resolving { then: Then::Knock { host, port }, .. } => {
                    Outcome::Failed(format!("dial tcp {}: i/o timeout", host_port(host, *port)))
                }
            };
            let purpose = task.purpose;
            self.give_up(id, task.work, cx);
            self.report(purpose, outcome, cx);
        }
    }

    /// When [`Driver::expire_tasks`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.tasks.next_deadline()
    }

    pub(super) fn finish(&mut self, id: TaskId, outcome: Outcome, cx: &mut Context<'_>) {
        if let Some(task) = self.tasks.take(id) {
            self.report(task.purpose, outcome, cx);
        }
    }

    pub(super) fn report(&mut self, purpose: Purpose, outcome: Outcome, cx: &mut Context<'_>) {
        match purpose {
            Purpose::Nobody | Purpose::Abandoned => {}
            Purpose::Exec(client) => self.exec_ended(
                client,
                match outcome {
                    Outcome::Exited { status, .. } => Ok(status),
                    Outcome::Impossible(message) => Err(message),
                    _ => Err("the command was abandoned".to_owned()),
                },
            ),
            Purpose::Probe(instance, probe) => {
                let container = names::container(cx.plan, instance.container);
                let plan = container.and_then(|container| probe_plan(container, probe));
                let result = probe_result(outcome, plan);
                cx.tell(Event::ProbeFinished { instance, probe, result });
            }
            Purpose::Hook(instance, hook) => {
                let container = names::container(cx.plan, instance.container);
                let plan = container.and_then(|c| Some((c, hook_plan(c, hook)?)));
                let Some((container, plan)) = plan else { return };
                let pod = cx.plan.kubelet_name();
                let result = hook_result(outcome, &plan.handler, &container.name, &pod);
                cx.tell(Event::HookFinished { instance, hook, result });
            }
        }
    }
}

fn hook_plan(container: &ContainerPlan, hook: HookKind) -> Option<&HookPlan> {
    match hook {
        HookKind::PostStart => container.post_start.as_ref(),
        HookKind::PreStop => container.pre_stop.as_ref(),
    }
}

fn probe_plan(container: &ContainerPlan, kind: ProbeKind) -> Option<&ProbePlan> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

impl Run {
    /// The container as something to run processes in; read once.
    pub(super) fn commands(&mut self, cx: &Context<'_>) -> Result<&mut Commands, String> {
        if self.running().is_none() {
            return Err("container not running".to_owned());
        }
        match &mut self.commands {
            Some(commands) => Ok(commands),
            none => {
                let target = Target::of_pod(&cx.plan.roots.root, &self.id);
                let commands = target.and_then(Commands::new).map_err(|error| error.to_string())?;
                Ok(none.insert(Box::new(commands)))
            }
        }
    }
}
