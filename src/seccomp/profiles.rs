//! Built-in profiles.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSyscall,
};
use serde::Deserialize;

use super::policy::native_architectures;

/// What `runtime_default.json` says: calls allowed to all, and rules that
/// depend on arguments, machine or capabilities.
#[derive(Deserialize)]
struct Profile {
    allow: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    names: Vec<String>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    /// Refused with this errno instead of allowed.
    errno: Option<u32>,
    /// Only on this machine (`x86_64`, `aarch64`).
    machine: Option<String>,
    /// Only with this capability.
    with: Option<String>,
    /// Only without this capability.
    without: Option<String>,
}

/// `RuntimeDefault`: the profile that containerd and Docker give a container
/// with these capabilities of the bounding set (`CAP_…`), on Linux 4.8 and
/// later. What it does not allow is EPERM.
#[must_use]
pub fn runtime_default<S: AsRef<str>>(capabilities: &[S]) -> LinuxSeccomp {
    let profile: Profile = serde_json::from_str(include_str!("runtime_default.json"))
        .expect("a test parses the file that is compiled in");
    let has = |name: &String| capabilities.iter().any(|cap| cap.as_ref() == name);
    let mut syscalls = vec![rule(profile.allow, Action::ScmpActAllow)];
    for part in profile.rules {
        let here = part.machine.as_ref().is_none_or(|machine| machine == std::env::consts::ARCH);
        let applies = part.with.as_ref().is_none_or(has) && !part.without.as_ref().is_some_and(has);
        if !here || !applies {
            continue;
        }
        let errno = part.errno;
        let action = errno.map_or(Action::ScmpActAllow, |_| Action::ScmpActErrno);
        let mut call = rule(part.names, action);
        call.set_args(part.args).set_errno_ret(errno);
        syscalls.push(call);
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(Action::ScmpActErrno)
        .set_architectures(Some(native_architectures()))
        .set_syscalls(Some(syscalls));
    seccomp
}

fn rule(names: Vec<String>, action: Action) -> LinuxSyscall {
    let mut call = LinuxSyscall::default();
    call.set_names(names).set_action(action);
    call
}
