//! The shim: one thread that waits for the kernel, tells the machine what
//! happened, and carries out what it orders.
//!
//! ```text
//!            ┌────────────────────────────────────────────────┐
//! epoll ───► dispatch ───► events ───► machine ───► orders ───► driver
//!            │                 ▲                                │
//!            │                 └────────── what failed at once ─┘
//!            └─► commit: snapshot, records; then reap, reply, publish
//! ```
//!
//! Nothing is told to the outside before it is on record: a client's answer, a
//! reaped child, a published status. A kill at any point before the commit
//! leaves the old record and the facts to be met again.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::protocol::{Reply, Request, StopOrder};
use super::control::server::{Incoming, Server};
use super::driver::{Context, Driver, DriverRecord};
use super::error::{Error, Result};
use super::kept::{self, Kept};
use super::token::{ClientId, Token};
use crate::lifecycle::event::{StopReason, StopRequest};
use crate::lifecycle::{Event, PodMachine, Snapshot};
use crate::model::Now;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;
use crate::store::{PodRecord, StatusRecord};
use crate::sys::event::{Epoll, Ready, TimerFd};
use crate::sys::exit_log::ExitLog;
use crate::sys::fault::{self, Point};
use crate::sys::keeper::{Link, Notice};
use crate::sys::{clock, residency};

/// After a change of the pod followed by so much quiet, the code that it took
/// is given back: most of it serves starts and ends only.
const QUIET: Duration = Duration::from_millis(250);

/// The format of [`Memory`].
pub(super) const MEMORY_VERSION: u32 = 2;

/// All that a shim that comes after a kill must know, beside what the keeper
/// holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub machine: Snapshot,
    pub driver: DriverRecord,
}

/// A pod's shim.
#[derive(Debug)]
pub struct Shim {
    pub(super) record: PodRecord,
    pub(super) machine: PodMachine,
    pub(super) driver: Driver,
    pub(super) server: Server,
    pub(super) epoll: Epoll<Token>,
    pub(super) timer: TimerFd,
    pub(super) keeper: Link,
    pub(super) exits: ExitLog,
    pub(super) events: VecDeque<Event>,
    pub(super) now: Now,
    /// The revision that was published last.
    pub(super) published: Option<u64>,
    /// The facts that were written last.
    pub(super) committed: Option<u64>,
    /// What the status that outlives the machine tells of containers.
    pub(super) kept: Option<Kept>,
    /// What the keeper need not hold any more after the next commit.
    pub(super) releases: Vec<String>,
    /// Clients whose orders are on record with the next commit.
    pub(super) to_accept: Vec<ClientId>,
    pub(super) armed: Option<u64>,
}

/// Why the loop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing of the pod is left but its records.
    Finished,
    /// The keeper is dead: this process is to become one.
    KeeperGone,
}

impl Shim {
    /// Runs the pod to its end.
    ///
    /// # Errors
    /// A failure of the loop itself; the keeper then starts a new shim.
    pub fn run(&mut self) -> Result<End> {
        let mut ready = Vec::new();
        let mut released = None;
        loop {
            self.settle()?;
            if self.machine.is_finished() {
                return Ok(End::Finished);
            }
            self.arm()?;
            let timeout = match self.driver.has_busy_streams() {
                true => Some(Duration::ZERO),
                false => (released != self.published).then_some(QUIET),
            };
            self.epoll.wait(&mut ready, timeout).map_err(failed("wait"))?;
            if ready.is_empty() && timeout == Some(QUIET) {
                released = self.published;
                residency::release().map_err(failed("release memory"))?;
                self.epoll.wait(&mut ready, None).map_err(failed("wait"))?;
            }
            self.now = clock::now();
            for ready in &ready {
                if self.dispatch(*ready)? == Some(End::KeeperGone) {
                    return Ok(End::KeeperGone);
                }
            }
            self.effects(|driver, cx| driver.busy_turns(cx));
            self.expire();
        }
    }

    /// Hands one report of the kernel to whom it concerns.
    fn dispatch(&mut self, ready: Ready<Token>) -> Result<Option<End>> {
        match ready.token {
            Token::Timer => self.timer.clear(),
            Token::Keeper => return self.hear_keeper(),
            Token::Listener => self.server.accept(&self.epoll)?,
            Token::Client(id) => self.serve(id, ready),
            Token::Pause(attempt) => self.effects(|d, cx| d.pause_ended(attempt, cx)),
            Token::Creation(id) => self.effects(|d, cx| d.creation_ready(id, cx)),
            Token::Execution(id) => self.effects(|d, cx| d.execution_ready(id, cx)),
            Token::Exit(id) => self.effects(|d, cx| d.exit_ready(id, cx)),
            Token::Output(id, stream) => self.effects(|d, cx| d.output_ready(id, stream, cx)),
            Token::Inputs => self.effects(|driver, cx| driver.inputs_changed(cx)),
            Token::TaskProcess(id) => self.effects(|d, cx| d.process_ready(id, cx)),
            Token::TaskData(id) | Token::TaskError(id) => {
                self.effects(|d, cx| d.data_ready(id, cx));
            }
        }
        Ok(None)
    }

    /// Tells the machine all facts and carries out all orders, then puts the
    /// outcome on record and lets the outside know.
    fn settle(&mut self) -> Result<()> {
        while let Some(event) = self.events.pop_front() {
            tracing::debug!(event = ?event, "fact");
            for action in self.machine.handle(&event, self.now) {
                self.effects(|driver, cx| driver.carry_out(action, cx));
            }
        }
        self.commit()?;
        self.after_commit();
        for client in std::mem::take(&mut self.to_accept) {
            self.server.reply(client, &Reply::Accepted, Vec::new(), &self.epoll);
        }
        for out in self.driver.take_replies() {
            self.server.reply(out.client, &out.reply, out.fds, &self.epoll);
        }
        Ok(())
    }

    /// Writes what has changed. Machine and driver go into one file, so that no
    /// kill comes between what the one and the other know.
    fn commit(&mut self) -> Result<()> {
        let facts = Some(self.machine.facts());
        if self.committed != facts || self.driver.waits_for_commit() {
            fault::at(Point::CommitMemory).map_err(failed("write the pod's memory"))?;
            let memory = Memory { machine: self.machine.snapshot(), driver: self.driver.record() };
            self.record.write_machine(MEMORY_VERSION, &memory)?;
            self.committed = facts;
        }
        let revision = Some(self.machine.revision());
        if self.published != revision {
            self.published = revision;
            fault::at(Point::CommitStatus).map_err(failed("write the status"))?;
            let status = self.status();
            self.record.write_status(&status)?;
            self.keep(&status.status);
            self.server.publish(&status, &self.epoll);
        }
        Ok(())
    }

    /// Writes what a pod must be known by after a reboot, when it changed.
    fn keep(&mut self, status: &PodStatus) {
        let kept = Kept::of(status);
        if self.kept.as_ref() == Some(&kept) || self.machine.is_finished() {
            return;
        }
        if let Err(error) = kept::write(self.machine.plan(), status) {
            tracing::warn!(%error, "cannot keep the status for a reboot, ignoring");
        }
        self.kept = Some(kept);
    }

    /// What was put off until it is on record.
    fn after_commit(&mut self) {
        self.driver.open_gates();
        self.driver.reap_now();
        for key in std::mem::take(&mut self.releases) {
            if let Err(error) = self.keeper.release(&key) {
                tracing::warn!(error = %error, key, "cannot release descriptor, ignoring");
            }
        }
        self.driver.remove_in_background();
    }

    /// The status as clients and files have it.
    pub(super) fn status(&self) -> StatusRecord {
        let (status, events) = (self.machine.status().clone(), self.machine.events().to_vec());
        let mut record = StatusRecord::new(status, events);
        if let Some(deletion) = self.machine.deletion() {
            record.deletion_timestamp = Some(deletion.timestamp);
            record.deletion_grace_period_seconds = Some(deletion.grace_seconds);
        }
        record.last_error.clone_from(&self.driver.last_error);
        record
    }

    /// Sets the timer to the next thing that is due.
    fn arm(&mut self) -> Result<()> {
        let due = [self.machine.next_deadline(), self.driver.next_deadline()];
        let due = due.into_iter().flatten().min();
        if due != self.armed {
            self.timer.set(due).map_err(failed("set timer"))?;
            self.armed = due;
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now_ns = self.now.boot_ns;
        if self.armed.is_some_and(|due| due <= now_ns) {
            self.armed = None;
        }
        if self.machine.next_deadline().is_some_and(|due| due <= now_ns) {
            self.events.push_back(Event::Deadline);
        }
        if self.driver.next_deadline().is_some_and(|due| due <= now_ns) {
            self.effects(|driver, cx| driver.expire_tasks(cx));
        }
    }

    /// Calls the driver with everything it works on.
    pub(super) fn effects(&mut self, work: impl FnOnce(&mut Driver, &mut Context<'_>)) {
        let mut context = Context {
            plan: self.machine.plan(),
            record: &self.record,
            epoll: &self.epoll,
            keeper: &mut self.keeper,
            events: &mut self.events,
            releases: &mut self.releases,
            now: self.now,
        };
        work(&mut self.driver, &mut context);
    }

    fn hear_keeper(&mut self) -> Result<Option<End>> {
        while let Some(notice) = self.keeper.receive().map_err(failed("hear keeper"))? {
            match notice {
                Notice::Gone => return Ok(Some(End::KeeperGone)),
                Notice::Exits => self.tell_exits()?,
                Notice::Refused(key) => {
                    tracing::error!(key, "the keeper cannot hold a descriptor");
                }
            }
        }
        Ok(None)
    }

    /// Exits that the keeper has noted since the last look.
    pub(super) fn tell_exits(&mut self) -> Result<()> {
        let exits = self.exits.read_new().map_err(failed("read noted exits"))?;
        self.effects(|driver, cx| driver.exits_noted(&exits, cx));
        Ok(())
    }

    fn serve(&mut self, id: ClientId, ready: Ready<Token>) {
        if ready.writable {
            let newest = self.server.has_watchers().then(|| self.status());
            self.server.flush(id, newest.as_ref(), &self.epoll);
        }
        while let Some(incoming) = self.server.receive(id, &self.epoll) {
            match incoming {
                Incoming::Closed => {
                    return self.effects(|driver, cx| driver.client_gone(id, cx));
                }
                Incoming::Request(request, fds) => self.obey(id, request, fds),
            }
        }
    }

    fn obey(&mut self, id: ClientId, request: Request, fds: Vec<std::os::fd::OwnedFd>) {
        let mut result = Ok(());
        match request {
            Request::Status => {
                let reply = Reply::Status(Box::new(self.status()));
                self.server.reply(id, &reply, Vec::new(), &self.epoll);
            }
            Request::Watch => {
                let status = self.status();
                self.server.watch(id, &status, &self.epoll);
            }
            Request::Stop(order) => {
                self.events.push_back(Event::Stop(stop_request(order)));
                self.to_accept.push(id);
            }
            Request::StopAndWait(order) => {
                self.events.push_back(Event::Stop(stop_request(order)));
                self.server.wait_for_end(id);
            }
            Request::Exec(order) => {
                self.effects(|driver, cx| result = driver.exec(id, &order, fds, cx));
            }
            Request::Detach => {
                self.effects(|driver, cx| result = driver.keep_terminal(fds, cx));
                if result.is_ok() {
                    self.to_accept.push(id);
                }
            }
            Request::Attach(order) => {
                self.effects(|driver, cx| result = driver.attach(id, order, fds, cx));
            }
            Request::InputEnded => self.effects(|driver, cx| driver.input_ended(id, cx)),
            Request::Amend(plan) => match self.amend(plan) {
                Ok(()) => self.to_accept.push(id),
                Err(error) => self.server.refuse(id, error.kind(), error.to_string(), &self.epoll),
            },
            Request::Signal { container, signal } => {
                self.effects(|d, cx| result = d.signal_by_name(&container, signal, cx));
                if result.is_ok() {
                    self.to_accept.push(id);
                }
            }
        }
        if let Err(refused) = result {
            self.server.refuse(id, refused.kind, refused.message, &self.epoll);
        }
    }
}

impl Shim {
    /// Changes the plan, also on disk, and what follows from it at once: files
    /// made of the pod's labels and annotations.
    fn amend(&mut self, plan: Box<PodPlan>) -> Result<()> {
        for action in self.machine.handle(&Event::Amended { plan }, self.now) {
            self.effects(|driver, cx| driver.carry_out(action, cx));
        }
        self.record.write_plan(self.machine.plan())?;
        self.effects(|driver, cx| driver.update_volumes(cx));
        Ok(())
    }
}

/// What a client's order means to the machine.
fn stop_request(order: StopOrder) -> StopRequest {
    let reason = match (order.delete, order.reason) {
        (true, _) => StopReason::Deleted,
        (false, None) => StopReason::Interrupted,
        (false, Some(reason)) => StopReason::Evicted {
            reason,
            message: order.message.unwrap_or_default(),
            disruption: false,
        },
    };
    StopRequest { grace_seconds: order.grace_seconds, force: order.force, reason }
}

fn failed(step: &'static str) -> impl FnOnce(crate::sys::SyscallError) -> Error {
    move |cause| Error::Launch { step, cause }
}

impl Shim {
    /// Waits for the sources that every shim has.
    ///
    /// # Errors
    /// `epoll_ctl`.
    pub(super) fn watch_sources(&self) -> Result<()> {
        let read = crate::sys::event::Interest::Read;
        self.epoll.add(self.timer.as_fd(), read, Token::Timer).map_err(failed("watch timer"))?;
        self.epoll.add(self.keeper.control(), read, Token::Keeper).map_err(failed("watch keeper"))
    }
}
