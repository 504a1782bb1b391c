//! The process of a spec, resolved: everything create and exec have in common.

use std::ffi::CString;

use nix::errno::Errno;
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag, LinuxSchedulerPolicy, LinuxSeccomp, PosixRlimit, PosixRlimitType, Process,
    Scheduler,
};

use super::super::error::{Error, Result};
use super::super::stage::{Stage, StepError};
use super::placement;
use super::privileges::{CapabilityPlan, Identity};
use super::procfs::ProcDir;
use crate::seccomp::Filter;
use crate::sys::SyscallError;
use crate::sys::exec::ExecVector;
use crate::sys::numa::{self, MemoryPolicy};
use crate::sys::prctl::{self, Rlimit, SchedAttr};

/// What the process executes and as whom.
#[derive(Debug)]
pub(in super::super) struct ProcessPlan {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) identity: Identity,
    pub(super) capabilities: CapabilityPlan,
    pub(in super::super) rlimits: Vec<Rlimit>,
    pub(in super::super) oom_score_adj: Option<i32>,
    pub(super) no_new_privileges: bool,
    pub(super) seccomp: Option<Filter>,
    label: Option<Label>,
    scheduler: Option<SchedAttr>,
    io_priority: Option<(u8, u8)>,
    personality: Option<u64>,
    memory_policy: Option<MemoryPolicy>,
    pub(super) keyring: Option<CString>,
    pub(in super::super) terminal: bool,
    /// Rows and columns.
    pub(super) terminal_size: Option<(u16, u16)>,
    pub(super) preserve_fds: u32,
}

/// What a security module confines the program by, from its exec on.
#[derive(Debug)]
enum Label {
    AppArmor(String),
    Selinux(String),
}

/// What of a process plan the spec says elsewhere.
#[derive(Debug, Default)]
pub(in super::super) struct Surroundings<'a> {
    pub(in super::super) seccomp: Option<&'a LinuxSeccomp>,
    pub(in super::super) personality: Option<&'a LinuxPersonality>,
    pub(in super::super) memory_policy: Option<&'a LinuxMemoryPolicy>,
    /// Name of the session keyring; `None` keeps the caller's.
    pub(in super::super) keyring: Option<String>,
    pub(in super::super) preserve_fds: u32,
}

impl ProcessPlan {
    /// Resolves and checks `process`.
    pub(in super::super) fn new(process: &Process, around: &Surroundings) -> Result<Self> {
        let args = process.args().clone().unwrap_or_default();
        let env = process.env().clone().unwrap_or_default();
        check_args(&args)?;
        refuse_nul(&env)?;
        Ok(Self {
            args,
            env,
            cwd: absolute_cwd(process)?,
            identity: Identity::new(process.user()),
            capabilities: CapabilityPlan::new(process.capabilities().as_ref()),
            rlimits: rlimits(process.rlimits().as_deref().unwrap_or_default())?,
            oom_score_adj: process.oom_score_adj(),
            no_new_privileges: process.no_new_privileges() == Some(true),
            seccomp: around.seccomp.map(compile).transpose()?.flatten(),
            label: label(process)?,
            scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
            io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
            personality: around.personality.map(personality).transpose()?,
            memory_policy: around.memory_policy.map(placement::memory_policy).transpose()?,
            keyring: around
                .keyring
                .as_deref()
                .map(CString::new)
                .transpose()
                .map_err(|_| spec("the container's id must not contain NUL bytes"))?,
            terminal: process.terminal() == Some(true),
            terminal_size: process.console_size().map(|size| {
                let clamp = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
                (clamp(size.height()), clamp(size.width()))
            }),
            preserve_fds: around.preserve_fds,
        })
    }

    /// The same process with another command.
    pub(in super::super) fn set_args(&mut self, args: Vec<String>) -> Result<()> {
        check_args(&args)?;
        self.args = args;
        Ok(())
    }

    /// Must be done by the one who still has the host's privileges.
    pub(super) fn limit(&self, proc: &ProcDir) -> std::result::Result<(), StepError> {
        if let Some(adjustment) = self.oom_score_adj {
            proc.write("self/oom_score_adj", &adjustment.to_string())
                .map_err(|error| StepError::call(Stage::OomScore, &error))?;
        }
        for limit in &self.rlimits {
            prctl::set_rlimit(*limit).map_err(|error| StepError::call(Stage::Rlimits, &error))?;
        }
        Ok(())
    }

    /// Scheduling, personality, memory policy and label: inherited by whatever is executed.
    pub(super) fn attribute(&self, proc: &ProcDir) -> std::result::Result<(), StepError> {
        let scheduling = |error: SyscallError| StepError::call(Stage::Scheduler, &error);
        if let Some(attributes) = self.scheduler {
            prctl::set_scheduler(attributes).map_err(scheduling)?;
        }
        if let Some((class, level)) = self.io_priority {
            prctl::set_io_priority(class, level).map_err(scheduling)?;
        }
        if let Some(persona) = self.personality {
            prctl::set_personality(persona).map_err(scheduling)?;
        }
        if let Some(policy) = &self.memory_policy {
            numa::set_memory_policy(policy).map_err(scheduling)?;
        }
        self.write_label(proc)
    }

    fn write_label(&self, proc: &ProcDir) -> std::result::Result<(), StepError> {
        let result = match &self.label {
            None => return Ok(()),
            Some(Label::Selinux(label)) => proc.write("thread-self/attr/exec", label),
            Some(Label::AppArmor(profile)) => {
                let text = format!("exec {profile}");
                match proc.write("thread-self/attr/apparmor/exec", &text) {
                    // Linux before 5.8 has one place for all modules.
                    Err(error) if error.errno == Errno::ENOENT => {
                        proc.write("thread-self/attr/exec", &text)
                    }
                    result => result,
                }
            }
        };
        result.map_err(|error| StepError::call(Stage::Labels, &error))
    }

    /// The vectors for exec; HOME is added where the spec is silent.
    pub(super) fn vectors(
        &self,
        home: &str,
    ) -> std::result::Result<(ExecVector, ExecVector), StepError> {
        let bad = |_| StepError::new(Stage::Exec, Errno::EINVAL, "NUL byte in an argument");
        let mut env = self.env.clone();
        if self.lacks_home() {
            env.push(format!("HOME={home}"));
        }
        Ok((ExecVector::new(&self.args).map_err(bad)?, ExecVector::new(&env).map_err(bad)?))
    }

    /// True if the environment has no HOME, or an empty one.
    pub(super) fn lacks_home(&self) -> bool {
        !self.env.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|v| !v.is_empty()))
    }

    /// The last PATH of the environment.
    pub(super) fn path(&self) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="))
    }
}

fn spec(problem: impl Into<String>) -> Error {
    Error::Spec { problem: problem.into() }
}

fn check_args(args: &[String]) -> Result<()> {
    if args.first().is_none_or(String::is_empty) {
        return Err(spec("process.args must not be empty"));
    }
    refuse_nul(args)
}

fn refuse_nul(texts: &[String]) -> Result<()> {
    match texts.iter().any(|text| text.contains('\0')) {
        true => Err(spec("process.args and process.env must not contain NUL bytes")),
        false => Ok(()),
    }
}

fn absolute_cwd(process: &Process) -> Result<String> {
    let cwd = process.cwd().to_str().ok_or_else(|| spec("process.cwd is not UTF-8"))?;
    match cwd {
        "" => Err(spec("process.cwd must not be empty")),
        cwd if !cwd.starts_with('/') => Err(spec(format!("process.cwd {cwd:?} is not absolute"))),
        cwd => Ok(cwd.to_owned()),
    }
}

/// A profile that allows everything is no filter.
fn compile(profile: &LinuxSeccomp) -> Result<Option<Filter>> {
    use oci_spec::runtime::LinuxSeccompAction::ScmpActAllow;
    let allows_all = profile.default_action() == ScmpActAllow
        && profile.syscalls().as_ref().is_none_or(Vec::is_empty);
    if allows_all {
        return Ok(None);
    }
    Filter::compile(profile).map(Some).map_err(|error| Error::Resource {
        what: "seccomp",
        kind: error.kind(),
        problem: error.to_string(),
    })
}

fn label(process: &Process) -> Result<Option<Label>> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(process.apparmor_profile()), given(process.selinux_label())) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(spec("apparmorProfile and selinuxLabel exclude each other")),
        (Some(profile), None) => {
            let state = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
            if state.is_ok_and(|text| text.starts_with('Y')) {
                Ok(Some(Label::AppArmor(profile)))
            } else {
                Err(spec(format!("apparmor profile {profile:?}: apparmor is not enabled")))
            }
        }
        // Refused before where the kernel has no SELinux.
        (None, Some(label)) => Ok(Some(Label::Selinux(label))),
    }
}

fn rlimits(limits: &[PosixRlimit]) -> Result<Vec<Rlimit>> {
    let mut seen = Vec::new();
    for limit in limits {
        let resource = rlimit_number(limit.typ());
        if seen.iter().any(|known: &Rlimit| known.resource == resource) {
            return Err(spec(format!("rlimit {:?} is given twice", limit.typ())));
        }
        seen.push(Rlimit { resource, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(seen)
}

/// `RLIMIT_*` of x86_64 and aarch64 (asm-generic/resource.h).
fn rlimit_number(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}

/// Numbers of linux/sched.h.
fn scheduler(wish: &Scheduler) -> Result<SchedAttr> {
    let policy = match wish.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = wish.priority().unwrap_or(0);
    Ok(SchedAttr {
        size: 0,
        policy,
        flags: wish.flags().iter().flatten().map(flag).fold(0, |all, one| all | one),
        nice: wish.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_| spec(format!("scheduler priority {priority} is negative")))?,
        runtime: wish.runtime().unwrap_or(0),
        deadline: wish.deadline().unwrap_or(0),
        period: wish.period().unwrap_or(0),
    })
}

fn io_priority(wish: &LinuxIOPriority) -> Result<(u8, u8)> {
    let class = match wish.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u8::try_from(wish.priority()) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => Err(spec(format!("io priority {} is not in 0 to 7", wish.priority()))),
    }
}

fn personality(wish: &LinuxPersonality) -> Result<u64> {
    if wish.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(spec("linux.personality.flags: no flag is supported"));
    }
    Ok(match wish.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(change: impl FnOnce(&mut serde_json::Value)) -> Result<ProcessPlan> {
        let mut process = json!({
            "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
            "args": ["true"], "cwd": "/",
            "env": ["PATH=/a", "X=1", "PATH=/b"],
        });
        change(&mut process);
        ProcessPlan::new(&serde_json::from_value(process).unwrap(), &Surroundings::default())
    }

    #[test]
    fn the_last_path_counts_and_a_missing_home_is_added() {
        let plan = plan(|_| ()).unwrap();
        assert_eq!(plan.path(), Some("/b"));
        let (_, env) = plan.vectors("/root").unwrap();
        assert_eq!(env.strings().last().unwrap().to_str(), Ok("HOME=/root"));
    }

    #[test]
    fn what_cannot_be_executed_is_refused_before_anything_is_made() {
        for (field, value) in [
            ("args", json!([])),
            ("args", json!([""])),
            ("args", json!(["a\u{0}b"])),
            ("env", json!(["A=\u{0}"])),
            ("cwd", json!("")),
            ("cwd", json!("relative")),
            ("apparmorProfile", json!("no-such-lsm-here-or-profile\u{0}")),
            ("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})),
        ] {
            let result = plan(|process| process[field] = value.clone());
            if field != "apparmorProfile" {
                assert!(matches!(result, Err(Error::Spec { .. })), "{field} {value}");
            }
        }
    }

    #[test]
    fn a_limit_given_twice_is_refused() {
        let nofile = json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2});
        let one = plan(|process| process["rlimits"] = json!([nofile])).unwrap();
        assert_eq!(one.rlimits, [Rlimit { resource: 7, soft: 1, hard: 2 }]);
        assert!(plan(|process| process["rlimits"] = json!([nofile, nofile])).is_err());
    }
}
