//! Probes and hooks that go over the network: where they go, their connections,
//! redirects and names.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::Driver;
use super::connection::{Asked, Connection, Step, Talk};
use super::context::Context;
use super::outcome::{Outcome, get_error, no_such_host};
use super::tasks::{Ask, Check, Task, Then, Work};
use crate::model::plan::{ContainerPlan, PortRef};
use crate::supervisor::probe::grpc::Health;
use crate::supervisor::probe::http::Answer;
use crate::supervisor::probe::url::Url;
use crate::supervisor::spawn::NET_KEY;
use crate::supervisor::token::{TaskId, Token};
use crate::sys::event::Interest;
use crate::sys::process::{Clone, exit_now, fork_with_pidfd};
use crate::sys::{SyscallError, fd};

/// As Go's client, which the kubelet leaves at its default.
const MAX_REDIRECTS: u32 = 10;

/// gRPC's first wait before a refused connection is tried again.
const GRPC_RETRY: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn begin_check(
        &self,
        port: u16,
        service: &str,
        until_ns: u64,
    ) -> Result<Work, Outcome> {
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
    pub(super) fn try_check(&mut self, id: TaskId, cx: &mut Context<'_>) {
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

    /// Host, port, and whether to connect from within the pod: a pod without
    /// an address has only its own loopback.
    pub(super) fn target(
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

    pub(super) fn begin_knock(
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

    pub(super) fn begin_ask(
        &self,
        id: TaskId,
        ask: Box<Ask>,
        cx: &Context<'_>,
    ) -> Result<Work, Outcome> {
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
            .add(&connection, Interest::Write, Token::TaskData(id))
            .map_err(|error| Outcome::Impossible(error.to_string()))?;
        Ok(connection)
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
            Work::Grpc { connection: Some(connection), .. } => {
                let step = connection.step();
                match (step, connection.is_greeted()) {
                    // No server yet, or none that speaks gRPC.
                    (Step::Failed(_) | Step::Health(Health::Broken(_)), false) => {
                        return self.refused_check(id, cx);
                    }
                    (Step::Failed(cause), true) => (Step::Health(Health::Broken(cause)), None),
                    (step, _) => (step, None),
                }
            }
            Work::Grpc { connection: None, .. } => return,
            Work::Http { connection, ask } => (connection.step(), Some(ask.url.clone())),
            Work::Left(_) => return self.left_ready(id, cx),
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
            (Step::Secure, Some(url)) => return self.secure(id, &url, cx),
            (Step::Secure, None) => return,
            (Step::Answered(answer), Some(url)) => return self.answered(id, answer, url, cx),
            (Step::Answered(_), None) => return,
            (Step::Health(health), _) => Outcome::Checked(health),
            (Step::Failed(cause), Some(url)) => Outcome::Failed(get_error(&url, &cause)),
            (Step::Failed(cause), None) => Outcome::Failed(cause),
        };
        self.finish(id, outcome, cx);
    }

    /// Hands a connection that has come up to `podrt-net`, which speaks TLS.
    fn secure(&mut self, id: TaskId, url: &Url, cx: &mut Context<'_>) {
        let Some(Task { work: Work::Http { connection, .. }, .. }) = self.tasks.get_mut(id) else {
            return;
        };
        cx.epoll.remove(&*connection);
        let program = cx.keeper.held(NET_KEY);
        let handed = match program {
            Some(program) => connection.secure(program.as_fd(), &url.host).and_then(|handed| {
                cx.epoll.add(&*connection, Interest::Write, Token::TaskData(id))?;
                Ok(handed)
            }),
            None => Err(SyscallError::new("find", "\"podrt-net\"", Errno::ENOENT)),
        };
        match handed {
            Ok(handed) => {
                self.reap_when_ended(handed.process, cx);
                self.data_ready(id, cx);
            }
            Err(error) => {
                self.finish(id, Outcome::Impossible(get_error(url, &error.to_string())), cx);
            }
        }
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
            // Go names the location as it was given.
            let to = answer.location.unwrap_or_default();
            let cause = format!("Get \"{to}\": stopped after {MAX_REDIRECTS} redirects");
            return self.report(purpose, Outcome::Failed(cause), cx);
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
