//! Carries out what the machine orders. Each order is a file of its own:
//!
//! | order | where |
//! |---|---|
//! | SetUpVolumes | [`volumes`] |
//! | CreateSandbox, StopSandbox | [`sandbox`] |
//! | StartContainer, CancelStart | [`start`], [`prepare`], with [`mounts`], [`security`], [`sources`] |
//! | Signal, RemoveContainer | [`end`] |
//! | RunProbe, RunHook and their cancelling | [`handlers`], [`asking`], [`outcome`], on [`tasks`] |
//! | TearDown | [`teardown`] |
//!
//! Nothing here decides: an order that was carried out already (by a shim that
//! was killed since) is answered from what is found.

mod asking;
mod attach;
mod connection;
mod context;
mod end;
mod handlers;
mod inputs;
mod left;
mod message;
mod mounts;
mod names;
mod outcome;
mod output;
mod prepare;
#[cfg(test)]
mod rate;
mod requests;
mod restore;
mod run;
mod sandbox;
mod security;
mod sources;
mod start;
mod tasks;
mod teardown;
mod volumes;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

pub use context::Context;
pub use restore::DriverRecord;
pub use teardown::{remove_remains, remove_running};

use nix::sys::inotify::Inotify;

use self::attach::Waiting;
use self::requests::Outgoing;
use self::run::Run;
use self::sandbox::PodSandbox;
use self::tasks::Tasks;
use super::log::entry::Stream;
use super::log::journal::Journal;
use super::log::pump::Pump;
use super::process::downward::{Facts, Node};
use super::token::RunId;
use crate::lifecycle::Action;
use crate::lifecycle::event::Instance;
use crate::model::plan::PodPlan;
use crate::store::ObjectStore;
use crate::sys::SyscallError;
use crate::volume::VolumeSet;

/// All that a pod is made of while it runs.
pub struct Driver {
    objects: ObjectStore,
    volumes: VolumeSet,
    sandbox: Option<PodSandbox>,
    runs: BTreeMap<RunId, Run>,
    next_run: u32,
    tasks: Tasks,
    pump: Pump,
    /// Streams that had more than one turn took.
    busy: VecDeque<(RunId, Stream)>,
    /// Processes whose programs run when they are on record.
    to_open: Vec<RunId>,
    /// Ended processes, reaped when their end is on record.
    to_reap: Vec<Arc<OwnedFd>>,
    /// Folders that are removed when nothing is more urgent.
    to_remove: Vec<PathBuf>,
    node: Node,
    /// Whether a pidfd tells the exit of a reaped process, once it was tried.
    pidfds_tell: Option<bool>,
    /// Tells of changes to what the pod refers to.
    inputs: Option<Inotify>,
    /// What clients are to be told.
    replies: Vec<Outgoing>,
    /// Clients that wait for their container.
    waiting: Vec<Waiting>,
    /// What went wrong last, for `describe`.
    pub last_error: Option<String>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl Driver {
    /// A pod of which nothing exists yet.
    ///
    /// # Errors
    /// `pipe2`.
    pub fn new(plan: &PodPlan, journal: Journal) -> Result<Self, SyscallError> {
        Ok(Self {
            objects: ObjectStore::new(plan.roots.objects()),
            volumes: VolumeSet::new(plan),
            sandbox: None,
            runs: BTreeMap::new(),
            next_run: 0,
            tasks: Tasks::default(),
            pump: Pump::new(journal)?,
            busy: VecDeque::new(),
            to_open: Vec::new(),
            to_reap: Vec::new(),
            to_remove: Vec::new(),
            pidfds_tell: None,
            inputs: None,
            replies: Vec::new(),
            waiting: Vec::new(),
            node: sources::node(&plan.roots.data_root),
            last_error: None,
        })
    }

    /// Carries out one order; the answer comes as an event, now or later.
    pub fn carry_out(&mut self, action: Action, cx: &mut Context<'_>) {
        tracing::debug!(action = ?action, "order");
        match action {
            Action::SetUpVolumes => self.set_up_volumes(cx),
            Action::CreateSandbox { attempt } => self.create_sandbox(attempt, cx),
            Action::StopSandbox { attempt } => self.stop_sandbox(attempt, cx),
            Action::StartContainer { instance, may_pull } => {
                self.start_container(instance, may_pull, cx);
            }
            Action::CancelStart { instance } => self.cancel_start(instance, cx),
            Action::RunProbe { instance, probe } => self.run_probe(instance, probe, cx),
            Action::CancelProbe { instance, probe } => self.cancel_probe(instance, probe, cx),
            Action::RunHook { instance, hook } => self.run_hook(instance, hook, cx),
            Action::CancelHook { instance, hook } => self.cancel_hook(instance, hook, cx),
            Action::Signal { instance, signal } => self.signal(instance, signal, cx),
            Action::RemoveContainer { instance } => self.remove_container(instance, cx),
            Action::TearDown => self.tear_down(cx),
        }
    }

    fn next_run_id(&mut self) -> RunId {
        let id = RunId(self.next_run);
        self.next_run += 1;
        id
    }

    fn run_of(&self, instance: Instance) -> Option<RunId> {
        self.runs.iter().find(|(_, run)| run.instance == instance).map(|(&id, _)| id)
    }

    /// What the pod can be told of itself now.
    fn facts<'a>(&'a self, plan: &'a PodPlan) -> Facts<'a> {
        let (pod_ips, host_ips) = sandbox::addresses(self.sandbox.as_ref());
        Facts { plan, pod_ips, host_ips, node: self.node }
    }

    fn remove_later(&mut self, path: PathBuf) {
        self.to_remove.push(path);
    }
}
