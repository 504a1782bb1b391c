//! Probes and hooks: an order becomes a task, a task's end an event.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::connection::{Asked, Connection, Step, Talk, host_port};
use super::context::Context;
use super::run::Run;
use super::tasks::{self, Ask, Capture, Check, Purpose, Task, Then, Work};
use super::{Driver, names};
use crate::container::Target;
use crate::lifecycle::Event;
use crate::lifecycle::event::{HookKind, Instance, ProbeKind, ProbeResult};
use crate::model::ExitStatus;
use crate::model::plan::{ContainerPlan, Handler, PortRef, ProbePlan};
use crate::model::time::go_duration;
use crate::supervisor::probe::grpc::{Health, code_name};
use crate::supervisor::probe::http::{Agent, Answer};
use crate::supervisor::probe::url::Url;
use crate::supervisor::process::env;
use crate::supervisor::token::{TaskId, Token};
use crate::sys::process::{Clone, exit_now, fork_with_pidfd};
use crate::sys::{SyscallError, fd};

/// As Go's client, which the kubelet leaves at its default.
const MAX_REDIRECTS: u32 = 10;

/// gRPC's first wait before a refused connection is tried again.
const GRPC_RETRY: Duration = Duration::from_secs(1);

/// How a handler ended, before it is known what that means for a probe or a
/// hook.
#[derive(Debug)]
enum Outcome {
    /// A process ended by itself.
    Exited {
        status: ExitStatus,
        output: String,
        errors: String,
    },
    Connected,
    Answered {
        answer: Answer,
    },
    /// A redirect to another host, which is not followed.
    Elsewhere {
        answer: Answer,
    },
    /// It was tried, and the other side or the network did not play along.
    Failed(String),
    /// A health check was answered.
    Checked(Health),
    /// A health check was not answered in time.
    CheckTimedOut {
        address: SocketAddr,
        connected: bool,
    },
    /// Time ran out.
    TimedOut(String),
    /// It could not even be tried.
    Impossible(String),
    /// A sleep is over.
    Slept,
}

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
        let plan = match hook {
            HookKind::PostStart => &container.post_start,
            HookKind::PreStop => &container.pre_stop,
        };
        let purpose = Purpose::Hook(instance, hook);
        let Some(plan) = plan else { return };
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

    /// Ends a task whose result nobody wants; a process stays until reaped.
    pub(super) fn give_up(&mut self, id: TaskId, work: Work, cx: &mut Context<'_>) {
        work.kill();
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

    fn begin_check(&self, port: u16, service: &str, until_ns: u64) -> Result<Work, Outcome> {
        let own = self.sandbox.as_ref().and_then(|sandbox| sandbox.pod_ips.first());
        let ip = own.and_then(|ip| ip.parse().ok());
        let check = Check {
            address: SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), port),
            inside: ip.is_none(),
            service: service.to_owned(),
            until_ns,
        };
        Ok(Work::Grpc { connection: None, check: Box::new(check) })
    }

    /// Connects for a health check, or sets the time to try again: a refused
    /// connection is no answer before the time is over.
    fn try_check(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(Task { work: Work::Grpc { check, .. }, .. }) = self.tasks.get_mut(id) else {
            return;
        };
        let (address, inside, until_ns) = (check.address, check.inside, check.until_ns);
        let service = check.service.clone();
        let talk = Talk::Grpc(&service);
        let made = self.connect(id, address, talk, inside, cx).ok();
        if let Some(task) = self.tasks.get_mut(id)
            && let Work::Grpc { connection, .. } = &mut task.work
        {
            let again_ns = cx.now.boot_after(GRPC_RETRY);
            task.deadline_ns = Some(if made.is_some() { until_ns } else { until_ns.min(again_ns) });
            *connection = made;
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
        let target = run.exec_target(cx).map_err(Outcome::Impossible)?;
        let (executing, capture) =
            tasks::begin_captured(target, &command).map_err(Outcome::Impossible)?;
        let watched = cx.wait_for(executing.fd(), Token::TaskProcess(id));
        watched.map_err(|error| Outcome::Impossible(error.to_string()))?;
        Ok(Work::Entering { executing: Box::new(executing), capture })
    }

    /// Host, port, and whether to connect from within the pod: a pod without
    /// an address has only its own loopback.
    fn target(
        &self,
        container: &ContainerPlan,
        host: Option<&str>,
        port: &PortRef,
    ) -> Result<(String, u16, bool), Outcome> {
        let port = resolve_port(container, port).map_err(Outcome::Impossible)?;
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            return Ok((host.to_owned(), port, false));
        }
        let own = self.sandbox.as_ref().and_then(|sandbox| sandbox.pod_ips.first());
        Ok(match own {
            Some(address) => (address.clone(), port, false),
            None => (Ipv4Addr::LOCALHOST.to_string(), port, true),
        })
    }

    fn begin_knock(
        &self,
        id: TaskId,
        host: String,
        port: u16,
        inside: bool,
        cx: &Context<'_>,
    ) -> Result<Work, Outcome> {
        let Some(ip) = literal(&host) else {
            return resolve(id, Then::Knock { host, port }, cx);
        };
        let address = SocketAddr::new(ip, port);
        self.connect(id, address, Talk::Knock, inside, cx).map(Work::Knock)
    }

    fn begin_ask(&self, id: TaskId, ask: Box<Ask>, cx: &Context<'_>) -> Result<Work, Outcome> {
        if ask.url.https {
            let url = &ask.url;
            return Err(Outcome::Impossible(format!(
                "Get \"{url}\": this podrt cannot probe over https"
            )));
        }
        let Some(ip) = literal(&ask.url.host) else {
            return resolve(id, Then::Ask(ask), cx);
        };
        self.ask_at(id, ip, ask, cx)
    }

    fn ask_at(
        &self,
        id: TaskId,
        ip: IpAddr,
        ask: Box<Ask>,
        cx: &Context<'_>,
    ) -> Result<Work, Outcome> {
        let address = SocketAddr::new(ip, ask.url.port());
        let asked = Asked { url: &ask.url, headers: &ask.headers, agent: ask.agent };
        let connection = self.connect(id, address, Talk::Http(asked), ask.inside, cx);
        match connection {
            Ok(connection) => Ok(Work::Http { connection, ask }),
            Err(Outcome::Failed(cause)) => Err(Outcome::Failed(get_error(&ask.url, &cause))),
            Err(outcome) => Err(outcome),
        }
    }

    fn connect(
        &self,
        id: TaskId,
        address: SocketAddr,
        talk: Talk<'_>,
        inside: bool,
        cx: &Context<'_>,
    ) -> Result<Connection, Outcome> {
        let begin = || Connection::begin(address, talk).map_err(Outcome::Failed);
        let connection = match (&self.sandbox, inside) {
            (Some(sandbox), true) => {
                sandbox.inside_network(begin).map_err(Outcome::Impossible)??
            }
            _ => begin()?,
        };
        cx.epoll
            .add(&connection, crate::sys::event::Interest::Write, Token::TaskData(id))
            .map_err(|error| Outcome::Impossible(error.to_string()))?;
        Ok(connection)
    }

    /// A process has ended, or one on its way into a container has something
    /// to say.
    pub fn process_ready(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        match &mut task.work {
            Work::Entering { executing, .. } => match executing.advance() {
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
        self.tasks.insert(id, Task { work, ..task });
    }

    /// A connection or a pipe of a task has something.
    pub fn data_ready(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let step = match &mut task.work {
            Work::Process { capture, .. } | Work::Entering { capture, .. } => {
                capture.read();
                return;
            }
            Work::Resolving { .. } => return self.resolved(id, cx),
            Work::Knock(connection) => (connection.step(), None),
            Work::Grpc { connection: Some(connection), .. } => (connection.step(), None),
            Work::Grpc { connection: None, .. } => return,
            Work::Http { connection, ask } => (connection.step(), Some(ask.url.clone())),
            Work::Sleep => return,
        };
        let outcome = match step {
            (Step::Wait(interest), _) => {
                if let Work::Knock(connection)
                | Work::Http { connection, .. }
                | Work::Grpc { connection: Some(connection), .. } = &task.work
                {
                    // It was added when it was made, and lives.
                    let _ = cx.epoll.modify(connection, interest, Token::TaskData(id));
                }
                return;
            }
            (Step::Connected, _) => Outcome::Connected,
            (Step::Answered(answer), Some(url)) => return self.answered(id, answer, url, cx),
            (Step::Answered(_), None) => return,
            (Step::Health(health), _) => Outcome::Checked(health),
            (Step::Failed(_), None) if matches!(task.work, Work::Grpc { .. }) => {
                return self.refused_check(id, cx);
            }
            (Step::Failed(cause), Some(url)) => Outcome::Failed(get_error(&url, &cause)),
            (Step::Failed(cause), None) => Outcome::Failed(cause),
        };
        self.finish(id, outcome, cx);
    }

    /// The server of a health check is not there yet.
    fn refused_check(&mut self, id: TaskId, cx: &mut Context<'_>) {
        if let Some(task) = self.tasks.get_mut(id)
            && let Work::Grpc { connection, check } = &mut task.work
        {
            *connection = None;
            task.deadline_ns = Some(check.until_ns.min(cx.now.boot_after(GRPC_RETRY)));
        }
    }

    /// Follows a redirect to the same host; everything else is the end.
    fn answered(&mut self, id: TaskId, answer: Answer, url: Url, cx: &mut Context<'_>) {
        let redirect = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
        let next = answer.location.as_deref().filter(|_| redirect).and_then(|to| url.join(to));
        let Some(next) = next else {
            return self.finish(id, Outcome::Answered { answer }, cx);
        };
        if !next.host.eq_ignore_ascii_case(&url.host) {
            return self.finish(id, Outcome::Elsewhere { answer }, cx);
        }
        let Some(Task { purpose, work: Work::Http { mut ask, .. }, deadline_ns }) =
            self.tasks.take(id)
        else {
            return;
        };
        ask.redirects += 1;
        if ask.redirects > MAX_REDIRECTS {
            let cause = format!("stopped after {MAX_REDIRECTS} redirects");
            return self.report(purpose, Outcome::Failed(get_error(&next, &cause)), cx);
        }
        ask.url = next;
        match self.begin_ask(id, ask, cx) {
            Ok(work) => {
                self.tasks.insert(id, Task { purpose, work, deadline_ns });
                self.data_ready(id, cx);
            }
            Err(outcome) => self.report(purpose, outcome, cx),
        }
    }

    /// The process that looked a name up has answered.
    fn resolved(&mut self, id: TaskId, cx: &mut Context<'_>) {
        let Some(task) = self.tasks.take(id) else { return };
        let Work::Resolving { process, answer, then } = task.work else { return };
        cx.epoll.remove(&answer);
        let mut text = String::new();
        // A process that died has said nothing, which is no address.
        let _ = File::from(answer).read_to_string(&mut text);
        self.reap_when_ended(process, cx);
        let host = match &then {
            Then::Knock { host, .. } => host.clone(),
            Then::Ask(ask) => ask.url.host.clone(),
        };
        let begun = match (text.trim().parse::<IpAddr>(), then) {
            (Ok(ip), Then::Knock { port, .. }) => {
                self.connect(id, SocketAddr::new(ip, port), Talk::Knock, false, cx).map(Work::Knock)
            }
            (Ok(ip), Then::Ask(ask)) => self.ask_at(id, ip, ask, cx),
            (Err(_), Then::Knock { .. }) => Err(Outcome::Failed(no_such_host(&host))),
            (Err(_), Then::Ask(ask)) => {
                Err(Outcome::Failed(get_error(&ask.url, &no_such_host(&host))))
            }
        };
        match begun {
            Ok(work) => self.tasks.insert(id, Task { work, ..task }),
            Err(outcome) => self.report(task.purpose, outcome, cx),
        }
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
                Work::Sleep => Outcome::Slept,
                Work::Entering { .. } | Work::Process { .. } => Outcome::TimedOut(String::new()),
                Work::Knock(connection) => Outcome::Failed(connection.dial_timeout()),
                Work::Grpc { connection, check } => Outcome::CheckTimedOut {
                    address: check.address,
                    connected: connection.as_ref().is_some_and(Connection::is_connected),
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

    fn finish(&mut self, id: TaskId, outcome: Outcome, cx: &mut Context<'_>) {
        if let Some(task) = self.tasks.take(id) {
            self.report(task.purpose, outcome, cx);
        }
    }

    fn report(&mut self, purpose: Purpose, outcome: Outcome, cx: &mut Context<'_>) {
        match purpose {
            Purpose::Nobody => {}
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
                let result = hook_result(outcome, instance, hook, cx);
                cx.tell(Event::HookFinished { instance, hook, result });
            }
        }
    }
}

const HTTP_TIMEOUT: &str =
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

fn get_error(url: &Url, cause: &str) -> String {
    format!("Get \"{url}\": {cause}")
}

fn no_such_host(host: &str) -> String {
    format!("dial tcp: lookup {host}: no such host")
}

/// An address that needs no look-up.
fn literal(host: &str) -> Option<IpAddr> {
    match host {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    }
}

/// Looks a name up in a process of its own: it may take as long as the name
/// servers like.
fn resolve(id: TaskId, then: Then, cx: &Context<'_>) -> Result<Work, Outcome> {
    let host = match &then {
        Then::Knock { host, .. } => host.clone(),
        Then::Ask(ask) => ask.url.host.clone(),
    };
    let failed = |error: SyscallError| Outcome::Impossible(error.to_string());
    let (answer, report) = fd::pipe().map_err(failed)?;
    match fork_with_pidfd().map_err(failed)? {
        Clone::Child => look_up(&host, report),
        Clone::Parent { pidfd, .. } => {
            drop(report);
            cx.wait_for(&answer, Token::TaskData(id)).map_err(failed)?;
            Ok(Work::Resolving { process: pidfd, answer, then })
        }
    }
}

fn look_up(host: &str, report: OwnedFd) -> ! {
    let found = (host, 0).to_socket_addrs().ok().and_then(|mut list| list.next());
    if let Some(address) = found {
        let _ = write!(File::from(report), "{}", address.ip());
    }
    exit_now(0)
}

fn probe_plan(container: &ContainerPlan, kind: ProbeKind) -> Option<&ProbePlan> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// A port's number; a name that no port has may itself be a number.
fn resolve_port(container: &ContainerPlan, port: &PortRef) -> Result<u16, String> {
    match port {
        PortRef::Number(number) => Ok(*number),
        PortRef::Name(name) => {
            let named = container.ports.iter().find(|port| port.name.as_ref() == Some(name));
            match (named, name.parse()) {
                (Some(port), _) => Ok(port.container_port),
                (None, Ok(number)) => Ok(number),
                (None, Err(_)) => Err(format!("strconv.Atoi: parsing \"{name}\": invalid syntax")),
            }
        }
    }
}

fn probe_result(outcome: Outcome, probe: Option<&ProbePlan>) -> ProbeResult {
    match outcome {
        Outcome::Exited { status, .. } if status.success() => ProbeResult::Success,
        Outcome::Exited { output, .. } => ProbeResult::Failure(output),
        Outcome::Connected | Outcome::Slept => ProbeResult::Success,
        Outcome::Answered { answer, .. } => match answer.status {
            200..300 => ProbeResult::Success,
            300..400 => ProbeResult::Warning(redirect_warning(&answer)),
            status => ProbeResult::Failure(format!("HTTP probe failed with statuscode: {status}")),
        },
        Outcome::Elsewhere { answer } => ProbeResult::Warning(redirect_warning(&answer)),
        Outcome::Failed(message) => ProbeResult::Failure(message),
        Outcome::Checked(health) => health_result(health),
        Outcome::CheckTimedOut { address, connected } => {
            let seconds = probe.map_or(1, |probe| probe.timeout_seconds);
            let within = go_duration(Duration::from_secs(u64::from(seconds)));
            ProbeResult::Failure(if connected {
                format!("timeout: health rpc did not complete within {within}")
            } else {
                format!(
                    "timeout: failed to connect service \"{address}\" within {within}: \
                     context deadline exceeded"
                )
            })
        }
        Outcome::TimedOut(_) => ProbeResult::Failure(timeout_text(probe)),
        Outcome::Impossible(message) => ProbeResult::Error(message),
    }
}

/// In the words of the kubelet's grpc probe.
fn health_result(health: Health) -> ProbeResult {
    const UNIMPLEMENTED: u32 = 12;
    ProbeResult::Failure(match health {
        Health::Serving => return ProbeResult::Success,
        Health::Other(status) => format!("service unhealthy (responded with \"{status}\")"),
        Health::Status { code: UNIMPLEMENTED, message } => format!(
            "error: this server does not implement the grpc health protocol \
             (grpc.health.v1.Health): {message}"
        ),
        Health::Status { code, message } => format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {message}",
            code_name(code)
        ),
        Health::Broken(problem) => format!(
            "error: health rpc probe failed: rpc error: code = Unavailable desc = {problem}"
        ),
    })
}

fn redirect_warning(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!("Probe terminated redirects, Response body: {body}")
}

fn timeout_text(probe: Option<&ProbePlan>) -> String {
    let Some(ProbePlan { handler: Handler::Exec { command }, timeout_seconds, .. }) = probe else {
        return "timeout".to_owned();
    };
    let after = go_duration(Duration::from_secs(u64::from(*timeout_seconds)));
    format!("command timed out: \"{}\" timed out after {after}", command.join(" "))
}

fn hook_result(
    outcome: Outcome,
    instance: Instance,
    hook: HookKind,
    cx: &Context<'_>,
) -> Result<(), String> {
    let container = names::container(cx.plan, instance.container);
    let Some(container) = container else { return Ok(()) };
    let plan = match hook {
        HookKind::PostStart => &container.post_start,
        HookKind::PreStop => &container.pre_stop,
    };
    let command = match plan.as_ref().map(|plan| &plan.handler) {
        Some(Handler::Exec { command }) => command.clone(),
        _ => Vec::new(),
    };
    let (error, output) = match outcome {
        Outcome::Exited { status, .. } if status.success() => return Ok(()),
        Outcome::Exited { status, output, errors } => {
            let code = status.code();
            let command = command.join(" ");
            (format!("command '{command}' exited with {code}: {errors}"), output)
        }
        Outcome::Connected
        | Outcome::Slept
        | Outcome::Answered { .. }
        | Outcome::Elsewhere { .. }
        | Outcome::Checked(_)
        | Outcome::CheckTimedOut { .. } => return Ok(()),
        Outcome::Failed(error) | Outcome::Impossible(error) | Outcome::TimedOut(error) => {
            (error, String::new())
        }
    };
    let place = format!(
        "for Container \"{}\" in Pod \"{}\" failed - error: {error}",
        container.name,
        cx.plan.kubelet_name()
    );
    Err(match plan.as_ref().map(|plan| &plan.handler) {
        Some(Handler::HttpGet(get)) => format!("HTTP lifecycle hook ({}) {place}", get.path),
        Some(Handler::Sleep { seconds }) => format!("Sleep lifecycle hook ({seconds}) {place}"),
        Some(Handler::Exec { .. }) => {
            format!("Exec lifecycle hook ([{}]) {place}, message: {output:?}", command.join(" "))
        }
        _ => format!("invalid handler: {}", container.name),
    })
}

impl Run {
    /// The container as something to run processes in; read once.
    pub(super) fn exec_target(&mut self, cx: &Context<'_>) -> Result<&Target, String> {
        if self.running().is_none() {
            return Err("container not running".to_owned());
        }
        match &mut self.target {
            Some(target) => Ok(target),
            none => {
                let target = Target::load(&cx.plan.roots.root, &self.id);
                Ok(none.insert(Box::new(target.map_err(|error| error.to_string())?)))
            }
        }
    }
}
