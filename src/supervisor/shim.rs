//! A shim's start and end.

use std::collections::VecDeque;
use std::env;
use std::path::Path;
use std::process::ExitCode;

use super::control::server::Server;
use super::driver::{Driver, DriverRecord};
use super::error::{Error, Result};
use super::event_loop::{End, MEMORY_VERSION, Memory, Shim};
use super::log::journal::Journal;
use super::shims_cgroup::ShimsCgroup;
use super::spawn::LISTENER_KEY;
use super::{kept, teardown, trace};
use crate::lifecycle::event::{StopReason, StopRequest};
use crate::lifecycle::{Event, PodMachine};
use crate::model::PodUid;
use crate::model::plan::PodPlan;
use crate::store::{self, ObjectKey, ObjectStore, PodRecord, PodStore};
use crate::sys::event::{Epoll, TimerFd};
use crate::sys::exit_log::ExitLog;
use crate::sys::fault::{self, Point};
use crate::sys::keeper::{self, Link};
use crate::sys::{SyscallError, clock};

/// The keeper holds the journal of logs under this key.
const JOURNAL_KEY: &str = "logs";

/// `podrt-shim ROOT UID`: runs the pod of that record. Only a keeper starts
/// it, and starts it again unless it says that the pod is finished.
#[must_use]
pub fn run() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let link = match Link::adopt() {
        Ok(link) => link,
        Err(error) => {
            eprintln!("podrt-shim: {error}; a shim is started by its keeper");
            return ExitCode::from(2);
        }
    };
    match supervise(&args, link) {
        Ok(()) => ExitCode::from(keeper::FINISHED),
        Err(error) => {
            tracing::error!(error = %error, "shim failed");
            ExitCode::FAILURE
        }
    }
}

fn supervise(args: &[String], link: Link) -> Result<()> {
    let [_, root, uid] = args else {
        return Err(Error::Garbled { cause: "usage: podrt-shim ROOT UID".to_owned() });
    };
    let uid =
        PodUid::new(uid.as_str()).map_err(|error| Error::Garbled { cause: error.to_string() })?;
    fault::at(Point::OpenPodRecord).map_err(failed("open the pod's record"))?;
    let store = PodStore::new(Path::new(root));
    let record = match store.open(&uid) {
        // An earlier shim removed the record and was killed before it ended.
        Err(store::Error::NoSuchPod { .. }) => {
            leave_shims();
            return Ok(());
        }
        result => result?,
    };
    trace::install(record.dir());
    let _lock = record.supervise()?;
    let mut shim = Shim::open(record, link)?;
    match shim.run()? {
        End::Finished => shim.finish(),
        End::KeeperGone => {
            let env: Vec<String> =
                env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            let cause = shim.keeper.become_keeper(args, &env);
            Err(Error::Launch { step: "take the keeper's place", cause })
        }
    }
}

impl Shim {
    /// Takes up a pod: a new one, or where an earlier shim left it.
    fn open(record: PodRecord, mut keeper: Link) -> Result<Self> {
        let plan = record.plan()?;
        let (journal, fresh) = open_journal(&keeper).map_err(failed("open journal"))?;
        let epoll = Epoll::new().map_err(failed("make event loop"))?;
        let listener = keeper.held(LISTENER_KEY).and_then(|fd| fd.try_clone().ok());
        let listener = listener.ok_or_else(|| Error::Garbled {
            cause: "the keeper holds no control socket".to_owned(),
        })?;
        let server = Server::new(listener, &epoll)?;
        if fresh {
            hold_journal(&journal, &mut keeper).map_err(failed("keep journal"))?;
        }
        let driver = Driver::new(&plan, journal).map_err(failed("prepare driver"))?;
        let exits = ExitLog::open(record.dir()).map_err(failed("open noted exits"))?;
        let Past { machine, driver: earlier, begin } = Past::read(&record, plan)?;
        let mut shim = Self {
            record,
            machine,
            driver,
            server,
            epoll,
            timer: TimerFd::new().map_err(failed("make timer"))?,
            keeper,
            exits,
            events: VecDeque::new(),
            now: clock::now(),
            published: None,
            committed: None,
            kept: None,
            releases: Vec::new(),
            to_accept: Vec::new(),
            armed: None,
        };
        shim.watch_sources()?;
        shim.effects(|driver, cx| driver.watch_objects(cx));
        match (begin, earlier) {
            (Some(event), _) => shim.events.push_back(event),
            (None, earlier) => shim.take_up(earlier)?,
        }
        fault::at(Point::GreetKeeper).map_err(failed("greet keeper"))?;
        shim.keeper.alive().map_err(failed("greet keeper"))?;
        Ok(shim)
    }

    /// Meets what an earlier shim left: containers, exits, owed orders.
    fn take_up(&mut self, earlier: Option<DriverRecord>) -> Result<()> {
        tracing::info!("taking up the pod of an earlier shim");
        if let Some(record) = earlier {
            self.effects(|driver, cx| driver.restore(record, cx));
        }
        self.tell_exits()?;
        self.effects(|driver, cx| driver.tell_lost(cx));
        let alive = self.machine.alive_instances();
        self.effects(|driver, cx| driver.lose_unknown(&alive, cx));
        self.effects(|driver, cx| driver.tell_dead_sandbox(cx));
        while let Some(event) = self.events.pop_front() {
            for action in self.machine.handle(&event, self.now) {
                self.effects(|driver, cx| driver.carry_out(action, cx));
            }
        }
        for action in self.machine.resume(self.now) {
            self.effects(|driver, cx| driver.carry_out(action, cx));
        }
        Ok(())
    }

    /// Writes the status into the pod's object, which outlives the machine's
    /// running state: a pod that has ended does not begin again after a reboot.
    fn keep_final_status(&self) -> Result<()> {
        let plan = self.machine.plan();
        let objects = ObjectStore::new(plan.roots.objects());
        let key = ObjectKey::new(Some(&plan.namespace), "Pod", &plan.name)?;
        let status = serde_json::to_value(self.machine.status())
            .map_err(|error| Error::Garbled { cause: error.to_string() })?;
        objects.set_status(&key, plan.uid.as_str(), status)?;
        Ok(())
    }

    /// Nothing of the pod is left but its records; of a deleted one not those
    /// either.
    fn finish(mut self) -> Result<()> {
        fault::at(Point::FinishPod).map_err(failed("finish the pod"))?;
        if self.machine.deletion().is_some() {
            teardown::remove_ended(&self.machine.plan().roots, self.record.uid())?;
        } else if let Err(error) = self.keep_final_status() {
            tracing::error!(error = %error, "cannot keep the final status, ignoring");
        }
        // The keeper goes last: what it holds tells the clients when.
        for (number, client) in self.server.announce_end(&self.epoll).into_iter().enumerate() {
            if self.keeper.hold(&format!("client/{number}"), client.into()).is_err() {
                break;
            }
        }
        fault::at(Point::LeaveShimsCgroup).map_err(failed("leave the cgroup of shims"))?;
        leave_shims();
        Ok(())
    }
}

fn leave_shims() {
    // A keeper that was killed is no longer the parent.
    let own = [std::os::unix::process::parent_id(), std::process::id()];
    ShimsCgroup::of_machine().leave(&own.map(u32::cast_signed));
}

fn open_journal(keeper: &Link) -> std::result::Result<(Journal, bool), SyscallError> {
    let held = keeper.held(JOURNAL_KEY).map(|fd| {
        fd.try_clone().map_err(|e| SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &e))
    });
    match held.transpose()? {
        Some(fd) => Ok((Journal::adopt(fd)?, false)),
        None => Ok((Journal::new()?, true)),
    }
}

fn hold_journal(journal: &Journal, keeper: &mut Link) -> std::result::Result<(), SyscallError> {
    use std::os::fd::AsFd;
    let copy = journal.as_fd().try_clone_to_owned();
    let copy = copy.map_err(|e| SyscallError::from_io("fcntl", "F_DUPFD_CLOEXEC", &e))?;
    keeper.hold(JOURNAL_KEY, copy.into())
}

/// What an earlier shim has left on record.
struct Past {
    machine: PodMachine,
    driver: Option<DriverRecord>,
    /// What a machine that knows nothing begins with.
    begin: Option<Event>,
}

impl Past {
    fn read(record: &PodRecord, plan: PodPlan) -> Result<Self> {
        let begun = |machine, event| Self { machine, driver: None, begin: Some(event) };
        let memory = match record.machine::<Memory>(MEMORY_VERSION) {
            Ok(Some(memory)) => memory,
            Ok(None) => {
                let machine = match kept::read(&plan) {
                    Some(past) => PodMachine::after_reboot(plan, &past, clock::now()),
                    None => PodMachine::new(plan),
                };
                return Ok(begun(machine, Event::Begin));
            }
            // What ran cannot be known any more: running it again might do
            // twice what was to be done once.
            Err(error @ (store::Error::Garbled { .. } | store::Error::TooLarge { .. })) => {
                tracing::error!(error = %error, "the pod's memory is damaged");
                return Ok(begun(PodMachine::new(plan), memory_lost(&error)));
            }
            Err(error) => return Err(error.into()),
        };
        let machine = PodMachine::restore(plan, memory.machine)
            .map_err(|error| Error::Garbled { cause: format!("{error:?}") })?;
        Ok(Self { machine, driver: Some(memory.driver), begin: None })
    }
}

/// Ends a pod whose memory is damaged, and says why.
fn memory_lost(error: &store::Error) -> Event {
    let message = format!("The pod's state cannot be read, so that it was ended: {error}");
    let reason = StopReason::Evicted { reason: "StateLost".to_owned(), message, disruption: false };
    Event::Stop(StopRequest { grace_seconds: None, force: true, reason })
}

fn failed(step: &'static str) -> impl FnOnce(SyscallError) -> Error {
    move |cause| Error::Launch { step, cause }
}
