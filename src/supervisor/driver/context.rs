//! What every effect needs: the pod, and where its outcome goes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::lifecycle::Event;
use crate::model::Now;
use crate::model::plan::PodPlan;
use crate::store::PodRecord;
use crate::supervisor::token::Token;
use crate::sys::SyscallError;
use crate::sys::event::{Epoll, Interest};
use crate::sys::keeper::Link;

/// Handed to each effect for the length of a call.
#[derive(Debug)]
pub struct Context<'a> {
    pub plan: &'a PodPlan,
    pub record: &'a PodRecord,
    pub epoll: &'a Epoll<Token>,
    pub keeper: &'a mut Link,
    /// Facts for the machine, in the order they happened.
    pub events: &'a mut VecDeque<Event>,
    /// What the keeper need not hold any more, once that is on record.
    pub releases: &'a mut Vec<String>,
    pub now: Now,
}

impl Context<'_> {
    /// Reports a fact.
    pub fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Waits for `fd`.
    ///
    /// # Errors
    /// `epoll_ctl`.
    pub fn wait_for(&self, fd: impl AsFd, token: Token) -> Result<(), SyscallError> {
        self.epoll.add(fd, Interest::Read, token)
    }

    /// Gives a copy of `fd` to the keeper. A keeper that has just died is no
    /// failure: the descriptor is kept here, and handed over again when a new
    /// keeper is made.
    pub fn hold(&mut self, key: &str, fd: Arc<OwnedFd>) {
        self.releases.retain(|released| released != key);
        if let Err(error) = self.keeper.hold(key, fd) {
            tracing::warn!(error = %error, key, "cannot hand descriptor to keeper, ignoring");
        }
    }

    /// Lets the keeper close what it holds under `key`, after the next commit:
    /// until then a shim that comes after a kill needs it.
    pub fn let_go(&mut self, key: &str) {
        if self.keeper.held(key).is_some() {
            self.releases.push(key.to_owned());
        }
    }
}
