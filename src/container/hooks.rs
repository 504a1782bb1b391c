//! OCI hooks: programs of the caller's that run at set moments, with the
//! container's state on their standard input.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::Pid;
use oci_spec::runtime::{Hook, Hooks, Spec};
use serde::Serialize;

use super::error::{Error, Result};
use super::state::Status;
use crate::sys::process::{pidfd_open, pidfd_wait_exit};

/// The moments, as the specification names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// The hooks of one moment.
#[derive(Debug, Clone)]
pub(super) struct HookList {
    moment: Moment,
    hooks: Vec<Hook>,
}

/// What hooks read: the specification's state, nothing of ours.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookState<'a> {
    pub(super) oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) pid: i32,
    pub(super) bundle: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: &'a Option<std::collections::HashMap<String, String>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl HookList {
    pub(super) fn of(moment: Moment, spec: &Spec) -> Self {
        let hooks = spec.hooks().as_ref().map(|hooks| moment.of(hooks).to_vec());
        Self { moment, hooks: hooks.unwrap_or_default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Runs them in order and stops at the first that fails.
    pub(super) fn run(&self, state: &HookState) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let state = serde_json::to_vec(state)
            .map_err(|error| Error::Spec { problem: format!("state for hooks: {error}") })?;
        self.hooks.iter().try_for_each(|hook| {
            run(hook, &state).map_err(|problem| Error::Hook {
                kind: self.moment.name(),
                path: hook.path().clone(),
                problem,
            })
        })
    }
}

fn run(hook: &Hook, state: &[u8]) -> std::result::Result<(), String> {
    if !hook.path().is_absolute() {
        return Err("path is not absolute".to_owned());
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Some(Duration::from_secs(seconds)),
            _ => return Err(format!("timeout {seconds} is not positive")),
        },
    };
    let mut output = output_file();
    let mut child = command(hook, output.as_ref()).spawn().map_err(|e| describe_io(&e))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input is free not to.
        let _ = input.write_all(state);
    }
    let ended = wait(&mut child, timeout)?;
    if ended.success() { Ok(()) } else { Err(format!("{ended}{}", said(output.as_mut()))) }
}

fn command(hook: &Hook, output: Option<&File>) -> Command {
    let sink = || match output.and_then(|file| file.try_clone().ok()) {
        Some(file) => Stdio::from(file),
        None => Stdio::null(),
    };
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    let env = hook.env().iter().flatten().filter_map(|entry| entry.split_once('='));
    command.env_clear().envs(env).stdin(Stdio::piped()).stdout(sink()).stderr(sink());
    command
}

/// A memory file: unlike a pipe it keeps nobody waiting when the hook leaves a
/// process behind.
fn output_file() -> Option<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    memfd_create(c"hook", MFdFlags::MFD_CLOEXEC).ok().map(File::from)
}

fn said(output: Option<&mut File>) -> String {
    let mut bytes = Vec::new();
    if let Some(file) = output {
        let _ = file.rewind().and_then(|()| file.take(512).read_to_end(&mut bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
}

fn wait(
    child: &mut Child,
    timeout: Option<Duration>,
) -> std::result::Result<std::process::ExitStatus, String> {
    if let Some(limit) = timeout {
        let pid = Pid::from_raw(child.id().cast_signed());
        let pidfd: OwnedFd = pidfd_open(pid).map_err(|error| error.to_string())?;
        if !pidfd_wait_exit(pidfd.as_fd(), Some(limit)).map_err(|error| error.to_string())? {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("timed out after {} s", limit.as_secs()));
        }
    }
    child.wait().map_err(|error| describe_io(&error))
}

fn describe_io(error: &std::io::Error) -> String {
    crate::sys::error::describe(nix::errno::Errno::from_raw(
        error.raw_os_error().unwrap_or(libc::EIO),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(script: &str, timeout: Option<i64>) -> Hook {
        let mut hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"]});
        if let Some(seconds) = timeout {
            hook["timeout"] = json!(seconds);
        }
        serde_json::from_value(hook).unwrap()
    }

    #[test]
    fn a_hook_gets_the_state_and_only_its_own_environment() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!("cat >{0}; /usr/bin/env >>{0}", out.display());
        run(&hook(&script, Some(10)), b"{\"id\":\"x\"}\n").unwrap();
        let text = std::fs::read_to_string(out).unwrap();
        assert!(text.starts_with("{\"id\":\"x\"}\n") && text.contains("A=b"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn a_failing_hook_tells_its_status_and_its_words() {
        let error = run(&hook("echo no; echo way >&2; exit 3", None), b"").unwrap_err();
        assert_eq!(error, "exit status: 3: no; way");
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = run(&hook("sleep 100", Some(1)), b"").unwrap_err();
        assert_eq!(error, "timed out after 1 s");
        assert!(run(&hook("true", Some(0)), b"").is_err());
    }
}
