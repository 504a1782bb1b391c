//! What the maker of a container does at each word of the new process.
//!
//! ```text
//! Working ── NeedsMappings ──▶ WriteMappings ─┐
//!    ▲  ├── NamespacesReady ─▶ RunHooks ──────┤ go
//!    │  ├── Begun ───────────▶ DropViewMounts │
//!    │  ├── Continued ───────▶ Adopt          │
//!    │  ├── Console, Listener▶ Forward        │
//!    └──┴────────────────────────────────────-┘
//! Working ── Ready (and Continued, if it hops) ─▶ Finish
//! Working ── Failed, end of the channel ────────▶ error
//! ```
//!
//! Pure: it knows nothing of descriptors' use, clocks or files.

use std::os::fd::OwnedFd;

use nix::unistd::Pid;

use super::error::{Error, Result};
use super::init::channel::Message;

/// What to do next.
#[derive(Debug)]
pub(super) enum Order {
    /// Nothing but wait.
    Wait,
    /// Take the time to drop what the child has no copies of any more.
    DropViewMounts,
    /// Write uid_map and gid_map, then let the child go on.
    WriteMappings,
    /// Run prestart and createRuntime hooks, then let the child go on.
    RunHooks,
    /// The container's process is now this one.
    Adopt {
        pid: Pid,
        pidfd: OwnedFd,
    },
    ForwardConsole(OwnedFd),
    ForwardListener(OwnedFd),
}

/// What the end of the channel means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Nothing good: the child says when it is ready.
    AfterReady,
    /// The program has been executed: the channel closed with it.
    WithExec,
}

/// The maker's knowledge.
#[derive(Debug)]
pub(super) struct Machine {
    ends: Ends,
    /// Another process takes over, and has not been heard of yet.
    awaits_hop: bool,
    ready: bool,
}

impl Machine {
    pub(super) fn new(ends: Ends, hops: bool) -> Self {
        Self { ends, awaits_hop: hops, ready: false }
    }

    /// Takes one message, `None` for the end of the channel.
    ///
    /// # Errors
    /// What the child failed with, or [`Error::Died`].
    pub(super) fn handle(&mut self, message: Option<Message>) -> Result<Order> {
        match message {
            Some(Message::Begun) => Ok(Order::DropViewMounts),
            Some(Message::NeedsMappings) => Ok(Order::WriteMappings),
            Some(Message::NamespacesReady) => Ok(Order::RunHooks),
            Some(Message::Continued { pid, pidfd }) => {
                self.awaits_hop = false;
                Ok(Order::Adopt { pid, pidfd })
            }
            Some(Message::Console(master)) => Ok(Order::ForwardConsole(master)),
            Some(Message::Listener(listener)) => Ok(Order::ForwardListener(listener)),
            Some(Message::Ready) => {
                self.ready = true;
                Ok(Order::Wait)
            }
            Some(Message::Failed(step)) => Err(step.into()),
            None if self.ends == Ends::WithExec && !self.awaits_hop => {
                self.ready = true;
                Ok(Order::Wait)
            }
            None => Err(Error::Died { what: "container process".to_owned() }),
        }
    }

    /// True while another process is to take over that has not been heard of.
    pub(super) fn awaits_hop(&self) -> bool {
        self.awaits_hop
    }

    /// True when all is done. The two processes of a hop speak over one
    /// channel, in no fixed order.
    pub(super) fn is_finished(&self) -> bool {
        self.ready && !self.awaits_hop
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::super::stage::{Stage, StepError};
    use super::*;

    fn continued() -> Message {
        let pidfd = std::fs::File::open("/dev/null").unwrap().into();
        Message::Continued { pid: Pid::from_raw(7), pidfd }
    }

    #[test]
    fn ready_before_the_hop_is_known_finishes_nothing() {
        let mut machine = Machine::new(Ends::AfterReady, true);
        machine.handle(Some(Message::Ready)).unwrap();
        assert!(!machine.is_finished());
        assert!(matches!(machine.handle(Some(continued())).unwrap(), Order::Adopt { .. }));
        assert!(machine.is_finished());
    }

    #[test]
    fn the_end_of_the_channel_is_success_only_where_it_means_exec() {
        assert!(Machine::new(Ends::AfterReady, false).handle(None).is_err());
        assert!(Machine::new(Ends::WithExec, true).handle(None).is_err(), "died before the hop");
        let mut machine = Machine::new(Ends::WithExec, true);
        machine.handle(Some(continued())).unwrap();
        assert!(!machine.is_finished());
        machine.handle(None).unwrap();
        assert!(machine.is_finished());
    }

    #[test]
    fn a_failure_in_any_stage_comes_out_as_it_is() {
        for stage in Stage::ALL {
            let step = StepError::new(stage, Errno::EPERM, "why");
            let mut machine = Machine::new(Ends::AfterReady, false);
            match machine.handle(Some(Message::Failed(step.clone()))) {
                Err(Error::Step(got)) => assert_eq!(got, step),
                other => panic!("{other:?}"),
            }
        }
    }
}
