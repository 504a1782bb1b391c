//! A pod whose life one command follows.

use crate::cli::error::CliError;
use crate::model::event::EventType;
use crate::model::plan::PodPlan;
use crate::model::status::PodStatus;
use crate::store::StatusRecord;
use crate::supervisor::client::Watch;

use super::start::Started;

/// A pod that is being watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub plan: PodPlan,
    pub watch: Watch,
    pub record: Option<StatusRecord>,
    /// Events already told.
    told: usize,
    pub has_ended: bool,
}

impl Watched {
    pub fn new(started: Started) -> Result<Self, CliError> {
        let watch = started.client.watch().map_err(|e| CliError::room(&e, e.kind()))?;
        Ok(Self { plan: started.plan, watch, record: None, told: 0, has_ended: false })
    }

    /// Takes in one message of the shim.
    pub fn advance(&mut self) -> Result<(), CliError> {
        match self.watch.next().map_err(|e| CliError::room(&e, e.kind()))? {
            Some(record) => self.record = Some(record),
            None => self.has_ended = true,
        }
        Ok(())
    }

    pub fn status(&self) -> Option<&PodStatus> {
        self.record.as_ref().map(|record| &record.status)
    }

    /// Tells the user of warnings since the last time; not of the missing
    /// cluster DNS, which is a machine's normal state without a cluster.
    pub fn tell(&mut self) {
        let Some(record) = &self.record else { return };
        for event in record.events.iter().skip(self.told) {
            if event.r#type == EventType::Warning && event.reason != "MissingClusterDNS" {
                let container = event
                    .field_path
                    .as_deref()
                    .and_then(|path| path.split_once('{'))
                    .map(|(_, name)| format!(" container {:?}:", name.trim_end_matches('}')));
                let container = container.unwrap_or_default();
                eprintln!("pod/{}:{container} {}: {}", self.plan.name, event.reason, event.message);
            }
        }
        self.told = record.events.len();
    }
}

pub(super) fn poll_error(errno: nix::errno::Errno) -> CliError {
    let error = crate::sys::SyscallError::new("poll", "", errno);
    CliError::room(&error, error.kind())
}
