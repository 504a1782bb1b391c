//! One run of a container, from its making to its removal.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::container::{Commands, Creation};
use crate::lifecycle::event::{Instance, StartedFrom};
use crate::model::ContainerId;
use crate::supervisor::log::pump::ContainerLog;
use crate::supervisor::token::ClientId;

/// A container that was ordered to start and has not been removed.
#[derive(Debug)]
pub struct Run {
    pub instance: Instance,
    pub id: ContainerId,
    /// The container's name.
    pub name: String,
    pub stage: Stage,
    /// What it was made from.
    pub from: Option<StartedFrom>,
    /// `None` once both outputs have ended.
    pub log: Option<ContainerLog>,
    /// The writing end of its input, while it has one.
    pub input: Option<Arc<OwnedFd>>,
    /// The master side of its terminal.
    pub terminal: Option<Arc<OwnedFd>>,
    pub viewers: Vec<Viewer>,
    /// Loaded when the first process is run in it.
    pub commands: Option<Box<Commands>>,
}

/// How far a run is.
#[derive(Debug)]
pub enum Stage {
    /// Its process is being set up.
    Creating(Box<Creation>),
    /// Its process is complete and executes the program once the gate is open,
    /// which is when all of this is on record.
    Starting {
        process: Process,
        gate: Option<Arc<OwnedFd>>,
        exec_status: Arc<OwnedFd>,
    },
    Running {
        process: Process,
    },
    /// Reported, and not removed yet.
    Ended,
}

/// A container's process 1.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    pub pidfd: Arc<OwnedFd>,
    /// Clock ticks after boot; with the pid a unique name.
    pub start_time: u64,
    pub parent: Parent,
}

/// Who reaps a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    Shim,
    /// It was started by an earlier shim: the keeper notes its exit.
    Keeper,
    /// Shim and keeper that were its parents are gone, and somebody else reaps
    /// it: its pidfd tells its exit, if the kernel can.
    Stranger,
}

/// A client that is shown the container's output.
#[derive(Debug)]
pub struct Viewer {
    pub client: ClientId,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    /// It can write to the container's input.
    pub gave_input: bool,
}

impl Run {
    /// The process, while it lives.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        match &self.stage {
            Stage::Starting { process, .. } | Stage::Running { process } => Some(process),
            Stage::Creating(_) | Stage::Ended => None,
        }
    }

    /// The process of a container that has been started.
    #[must_use]
    pub fn running(&self) -> Option<&Process> {
        match &self.stage {
            Stage::Running { process } => Some(process),
            _ => None,
        }
    }
}
