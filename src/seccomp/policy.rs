//! What a profile says about each system call of an ABI.
//!
//! The rules are those of libseccomp with runc's additions, which profiles are
//! written for: a rule without arguments outweighs all with arguments; of
//! several that match, the first counts; two checks of one argument in one
//! rule are alternatives; a rule that says what the default says is none; and
//! calls above the highest one a restrictive profile names do not exist
//! (ENOSYS), so that programs fall back as on an older kernel.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSyscall,
};

use super::syscalls::{Abi, NATIVE, Syscall, multiplexed};
use super::{Error, Result};

/// `SECCOMP_RET_KILL_THREAD`: what libseccomp answers to an ABI that the
/// profile does not name.
pub(super) const FOREIGN: u32 = libc::SECCOMP_RET_KILL_THREAD;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// All checks must hold for `verdict`.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub arguments: Vec<LinuxSeccompArg>,
    /// `SECCOMP_RET_*` with its data.
    pub verdict: u32,
}

/// What happens to one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// What happens to those no rule names.
    Default,
    /// Whatever the arguments.
    Always(u32),
    /// The first of `Policy::checked` at this index that holds, or the default.
    Checked(u16),
}

/// All system calls of one ABI.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub abi: Abi,
    /// By number, without the x32 bit; [`Ruling::Default`] above the last.
    pub rulings: Vec<Ruling>,
    pub checked: Vec<Vec<Checked>>,
    /// For calls without a ruling.
    pub default: u32,
    /// For calls above the highest that the profile names, and which one that
    /// is; `None` where these get `default` too.
    pub beyond: Option<(u16, u32)>,
}

/// The policies of a profile, the native ABI first.
///
/// # Errors
/// What cannot be carried out, see [`Error`].
pub(super) fn policies(profile: &LinuxSeccomp) -> Result<Vec<Policy>> {
    check(profile)?;
    let default = verdict(profile.default_action(), profile.default_errno_ret());
    let listed: Vec<Abi> =
        profile.architectures().iter().flatten().filter_map(|arch| Abi::of(*arch)).collect();
    let mut abis = vec![NATIVE];
    abis.extend([Abi::X32, Abi::I386].iter().filter(|abi| listed.contains(abi)));
    let mut policies: Vec<Policy> = abis.into_iter().map(|abi| Policy::new(abi, default)).collect();
    let hides_newer = hides_newer(profile);
    let mut highest = [None; 3];
    for rule in profile.syscalls().iter().flatten() {
        let verdict = verdict(rule.action(), rule.errno_ret());
        for name in rule.names() {
            let Some(call) = Syscall::by_name(name) else { continue };
            for (policy, highest) in policies.iter_mut().zip(&mut highest) {
                if let Some(number) = call.number(policy.abi) {
                    *highest = (*highest).max(Some(number));
                }
                policy.add(name, call, rule, verdict);
            }
        }
    }
    for (policy, highest) in policies.iter_mut().zip(highest) {
        let known = highest.filter(|_| hides_newer && listed.contains(&policy.abi));
        policy.beyond = known.filter(|number| *number > 0).map(|number| (number, ENOSYS));
    }
    Ok(policies)
}

fn check(profile: &LinuxSeccomp) -> Result<()> {
    if profile.default_action() == Action::ScmpActNotify {
        return Err(Error::NotifyByDefault);
    }
    for rule in profile.syscalls().iter().flatten() {
        let notifies = rule.action() == Action::ScmpActNotify;
        if notifies && rule.names().iter().any(|name| name == "write") {
            return Err(Error::NotifyOnWrite);
        }
        if let Some(arg) = rule.args().iter().flatten().find(|arg| arg.index() > 5) {
            let syscall = rule.names().first().cloned().unwrap_or_default();
            return Err(Error::ArgumentIndex { syscall, index: arg.index() });
        }
    }
    Ok(())
}

/// Restrictive profiles only, and not where the default is ENOSYS anyway.
fn hides_newer(profile: &LinuxSeccomp) -> bool {
    let permissive = matches!(
        profile.default_action(),
        Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
    );
    !permissive && profile.default_errno_ret() != Some(libc::ENOSYS.unsigned_abs())
}

impl Policy {
    fn new(abi: Abi, default: u32) -> Self {
        // As many numbers as any ABI has, in one piece.
        let rulings = Vec::with_capacity(560);
        Self { abi, rulings, checked: Vec::new(), default, beyond: None }
    }

    fn add(&mut self, name: &str, call: Syscall, rule: &LinuxSyscall, verdict: u32) {
        if verdict == self.default {
            return;
        }
        let arguments = rule.args().as_deref().unwrap_or_default();
        if let Some(number) = call.number(self.abi) {
            self.rule(number, arguments, verdict);
        }
        if self.abi == Abi::I386
            && let Some((all, first)) = multiplexed(name)
            && let Some(number) = Syscall::by_name(all).and_then(|all| all.number(self.abi))
        {
            self.rule(number, &with_first(arguments, first), verdict);
        }
    }

    fn rule(&mut self, number: u16, arguments: &[LinuxSeccompArg], verdict: u32) {
        let number = usize::from(number);
        if number >= self.rulings.len() {
            self.rulings.resize(number + 1, Ruling::Default);
        }
        let at = match self.rulings[number] {
            Ruling::Always(_) => return,
            _ if arguments.is_empty() => {
                self.rulings[number] = Ruling::Always(verdict);
                return;
            }
            Ruling::Checked(at) => at,
            Ruling::Default => {
                self.checked.push(Vec::new());
                // At most one for each number.
                u16::try_from(self.checked.len() - 1).unwrap_or(u16::MAX)
            }
        };
        self.rulings[number] = Ruling::Checked(at);
        add_checks(&mut self.checked[usize::from(at)], arguments, verdict);
    }
}

fn add_checks(checked: &mut Vec<Checked>, arguments: &[LinuxSeccompArg], verdict: u32) {
    let twice = arguments.iter().enumerate().any(|(at, argument)| {
        arguments[..at].iter().any(|earlier| earlier.index() == argument.index())
    });
    if twice {
        let alone = |arg: &LinuxSeccompArg| Checked { arguments: vec![*arg], verdict };
        checked.extend(arguments.iter().map(alone));
    } else {
        checked.push(Checked { arguments: arguments.to_vec(), verdict });
    }
}

/// The first argument of a multiplexed call says which call it is.
fn with_first(arguments: &[LinuxSeccompArg], first: u64) -> Vec<LinuxSeccompArg> {
    let is_call = LinuxSeccompArgBuilder::default().index(0_usize).value(first);
    let is_call = is_call.build().expect("every field has a value or a default");
    let others = arguments.iter().filter(|arg| arg.index() != 0).copied();
    std::iter::once(is_call).chain(others).collect()
}

/// The filter's return value for an action; EPERM where no errno is given.
fn verdict(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(libc::EPERM.unsigned_abs()) & libc::SECCOMP_RET_DATA;
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        Action::ScmpActErrno => libc::SECCOMP_RET_ERRNO | data,
        Action::ScmpActTrace => libc::SECCOMP_RET_TRACE | data,
        Action::ScmpActNotify => libc::SECCOMP_RET_USER_NOTIF,
        Action::ScmpActLog => libc::SECCOMP_RET_LOG,
        Action::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
    }
}

/// True when the profile asks somebody else about a call.
pub(super) fn notifies(profile: &LinuxSeccomp) -> bool {
    profile.syscalls().iter().flatten().any(|rule| rule.action() == Action::ScmpActNotify)
}

/// The ABIs that profiles for this machine name.
#[must_use]
pub fn native_architectures() -> Vec<Arch> {
    match NATIVE {
        Abi::Aarch64 => vec![Arch::ScmpArchArm, Arch::ScmpArchAarch64],
        _ => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
    }
}
