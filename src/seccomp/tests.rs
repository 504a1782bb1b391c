//! Compiled filters against the profile itself, in an interpreter and in the
//! kernel.

use libc::sock_filter;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompOperator as Operator,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::syscall_table::TABLE;
use super::syscalls::{Abi, Syscall, X32_BIT};
use super::{Error, Filter, profiles};

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

/// A call as a filter sees it.
#[derive(Debug, Clone)]
struct Call {
    audit: u32,
    number: u32,
    args: [u64; 6],
}

impl Call {
    fn new(audit: u32, number: u32, first: u64) -> Self {
        Self { audit, number, args: [first, 0, 0, 0, 0, 0] }
    }

    /// The word at an offset of `struct seccomp_data`, little endian.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8].to_le_bytes();
                let half = offset as usize % 8;
                u32::from_le_bytes(arg[half..half + 4].try_into().unwrap())
            }
            _ => panic!("load at {offset}"),
        }
    }
}

/// The instructions of classic BPF that the assembler and seccompiler use.
fn run(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut a) = (0, 0_u32);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => a = call.word(k),
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(a == k),
            0x25 => at += branch(a > k),
            0x35 => at += branch(a >= k),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

fn decide(profile: &LinuxSeccomp, call: &Call) -> u32 {
    run(Filter::compile(profile).unwrap().program(), call)
}

/// What the documents say, rule by rule, without tables or trees.
mod naive {
    use super::*;

    pub fn decide(profile: &LinuxSeccomp, call: &Call) -> u32 {
        let Some((abi, number)) = abi_of(profile, call) else {
            return libc::SECCOMP_RET_KILL_THREAD;
        };
        let default = verdict(profile.default_action(), profile.default_errno_ret());
        if hidden(profile, call, abi, number) {
            return errno(libc::ENOSYS);
        }
        let rules = || {
            profile.syscalls().iter().flatten().filter(|rule| {
                let verdict = verdict(rule.action(), rule.errno_ret());
                verdict != default && rule.names().iter().any(|name| is(name, abi, number))
            })
        };
        let args = |rule: &oci_spec::runtime::LinuxSyscall| rule.args().clone().unwrap_or_default();
        rules()
            .find(|rule| args(rule).is_empty())
            .or_else(|| rules().find(|rule| matches(&args(rule), abi, &call.args)))
            .map_or(default, |rule| verdict(rule.action(), rule.errno_ret()))
    }

    fn lists(profile: &LinuxSeccomp, arch: Arch) -> bool {
        profile.architectures().iter().flatten().any(|known| *known == arch)
    }

    fn abi_of(profile: &LinuxSeccomp, call: &Call) -> Option<(Abi, u32)> {
        match call.audit {
            X86_64 if call.number < X32_BIT => Some((Abi::X86_64, call.number)),
            X86_64 if lists(profile, Arch::ScmpArchX32) => Some((Abi::X32, call.number - X32_BIT)),
            X86_64 if call.number == u32::MAX || hides(profile, Abi::X86_64) => {
                Some((Abi::X86_64, call.number))
            }
            I386 if lists(profile, Arch::ScmpArchX86) => Some((Abi::I386, call.number)),
            _ => None,
        }
    }

    fn hides(profile: &LinuxSeccomp, abi: Abi) -> bool {
        let arch = match abi {
            Abi::X86_64 => Arch::ScmpArchX86_64,
            Abi::X32 => Arch::ScmpArchX32,
            _ => Arch::ScmpArchX86,
        };
        let permissive = [Action::ScmpActAllow, Action::ScmpActLog, Action::ScmpActTrace]
            .contains(&profile.default_action());
        let enosys = profile.default_errno_ret() == Some(38);
        !permissive && !enosys && lists(profile, arch) && highest(profile, abi) > 0
    }

    fn hidden(profile: &LinuxSeccomp, _: &Call, abi: Abi, number: u32) -> bool {
        hides(profile, abi) && number > highest(profile, abi)
    }

    fn highest(profile: &LinuxSeccomp, abi: Abi) -> u32 {
        let rules = profile.syscalls().iter().flatten();
        let calls = rules.flat_map(|rule| rule.names()).filter_map(|name| Syscall::by_name(name));
        calls.filter_map(|call| call.number(abi)).max().map_or(0, u32::from)
    }

    fn is(name: &str, abi: Abi, number: u32) -> bool {
        Syscall::by_name(name).and_then(|call| call.number(abi)).map(u32::from) == Some(number)
    }

    fn matches(checks: &[LinuxSeccompArg], abi: Abi, args: &[u64; 6]) -> bool {
        let one = |check: &LinuxSeccompArg| {
            let width = if abi.is_32_bit() { u64::from(u32::MAX) } else { u64::MAX };
            let arg = args[check.index()] & width;
            let value = check.value() & width;
            let two = check.value_two().unwrap_or(0) & width;
            match check.op() {
                Operator::ScmpCmpNe => arg != value,
                Operator::ScmpCmpLt => arg < value,
                Operator::ScmpCmpLe => arg <= value,
                Operator::ScmpCmpEq => arg == value,
                Operator::ScmpCmpGe => arg >= value,
                Operator::ScmpCmpGt => arg > value,
                Operator::ScmpCmpMaskedEq => arg & value == two & value,
            }
        };
        let twice =
            checks.iter().any(|a| checks.iter().filter(|b| a.index() == b.index()).count() > 1);
        if twice { checks.iter().any(one) } else { checks.iter().all(one) }
    }

    fn verdict(action: Action, errno: Option<u32>) -> u32 {
        let data = errno.unwrap_or(1) & 0xffff;
        match action {
            Action::ScmpActKill | Action::ScmpActKillThread => 0,
            Action::ScmpActKillProcess => 0x8000_0000,
            Action::ScmpActTrap => 0x0003_0000,
            Action::ScmpActErrno => 0x0005_0000 | data,
            Action::ScmpActNotify => 0x7fc0_0000,
            Action::ScmpActTrace => 0x7ff0_0000 | data,
            Action::ScmpActLog => 0x7ffc_0000,
            Action::ScmpActAllow => 0x7fff_0000,
        }
    }
}

fn an_action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    let actions = [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_LOG",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_NOTIFY",
    ];
    (proptest::sample::select(actions.to_vec()), proptest::option::of(0_u32..60))
}

/// Numbers around which comparisons change their mind.
fn a_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        (0_u64..3).prop_map(|n| 0xffff_ffff + n),
        (0_u64..3).prop_map(|n| 0x1_0000_0003 - n),
        Just(u64::MAX),
        Just(0x7E02_0000),
        any::<u64>(),
    ]
}

fn a_check() -> impl Strategy<Value = Value> {
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let operator = proptest::sample::select(operators.to_vec());
    (0_usize..6, a_value(), a_value(), operator).prop_map(|(index, value, two, operator)| {
        json!({"index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{operator}")})
    })
}

fn a_name() -> impl Strategy<Value = String> {
    // Not those that also have a multiplexed form on i386, nor write, which
    // must not notify.
    let plain = |name: &&str| {
        super::syscalls::multiplexed(name).is_none()
            && !["write", "socketcall", "ipc"].contains(name)
    };
    let names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).filter(plain).collect();
    let few = names.iter().copied().step_by(60).collect::<Vec<_>>();
    prop_oneof![
        proptest::sample::select(few),
        proptest::sample::select(names),
        Just("of_another_kernel"),
    ]
    .prop_map(str::to_owned)
}

fn a_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let rule = (
        proptest::collection::vec(a_name(), 1..6),
        an_action(),
        prop_oneof![Just(Vec::new()), proptest::collection::vec(a_check(), 1..4)],
    )
        .prop_map(|(names, (action, errno), args)| {
            json!({"names": names, "action": action, "errnoRet": errno, "args": args})
        });
    let arches = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_S390X"];
    let arches = proptest::sample::subsequence(arches.to_vec(), 0..=4);
    let default = an_action().prop_filter("no default", |(action, _)| *action != "SCMP_ACT_NOTIFY");
    (default, arches, proptest::collection::vec(rule, 0..30)).prop_map(
        |((action, errno), arches, rules)| {
            profile(json!({
                "defaultAction": action, "defaultErrnoRet": errno,
                "architectures": arches, "syscalls": rules,
            }))
        },
    )
}

fn a_call() -> impl Strategy<Value = Call> {
    let number = prop_oneof![
        0_u32..470,
        (0_u32..560).prop_map(|n| X32_BIT + n),
        proptest::sample::select(vec![X32_BIT - 1, u32::MAX, u32::MAX - 1, 1000]),
    ];
    let audit = proptest::sample::select(vec![X86_64, X86_64, I386, 0xc000_00b7]);
    (audit, number, proptest::array::uniform6(a_value())).prop_map(|(audit, number, args)| Call {
        audit,
        number,
        args,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_program_decides_as_the_profile_says(
        profile in a_profile(),
        calls in proptest::collection::vec(a_call(), 100),
    ) {
        let filter = Filter::compile(&profile).unwrap();
        let named: Vec<Call> = profile.syscalls().iter().flatten()
            .flat_map(|rule| rule.names()).filter_map(|name| Syscall::by_name(name))
            .flat_map(|call| [(X86_64, Abi::X86_64, 0), (I386, Abi::I386, 0), (X86_64, Abi::X32, X32_BIT)]
                .into_iter().filter_map(move |(audit, abi, bit)|
                    call.number(abi).map(|n| (audit, bit + u32::from(n)))))
            .zip(calls.iter().cycle())
            .map(|((audit, number), call)| Call { audit, number, args: call.args })
            .collect();
        for call in calls.iter().chain(&named) {
            prop_assert_eq!(run(filter.program(), call), naive::decide(&profile, call), "{:?}", call);
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_default_profile_decides_as_it_says_for_every_number() {
    let profile = profiles::runtime_default::<&str>(&[]);
    let filter = Filter::compile(&profile).unwrap();
    let numbers = || (0..480).chain(X32_BIT..X32_BIT + 560).chain([u32::MAX]);
    for (audit, number) in [X86_64, I386].into_iter().flat_map(|a| numbers().map(move |n| (a, n))) {
        for first in [0, 40, 0x0002_0000] {
            let call = Call::new(audit, number, first);
            let decided = run(filter.program(), &call);
            assert_eq!(decided, naive::decide(&profile, &call), "{call:?}");
        }
    }
}

#[test]
fn the_default_profile_depends_on_capabilities() {
    let number =
        |name| u32::from(Syscall::by_name(name).unwrap().number(super::syscalls::NATIVE).unwrap());
    let native = super::syscalls::NATIVE.audit();
    let verdict = |capabilities: &[&str], name, first| {
        let call = Call::new(native, number(name), first);
        decide(&profiles::runtime_default(capabilities), &call)
    };
    let (allow, eperm) = (libc::SECCOMP_RET_ALLOW, errno(libc::EPERM));
    assert_eq!(verdict(&[], "openat", 0), allow);
    assert_eq!(verdict(&[], "mount", 0), eperm);
    assert_eq!(verdict(&["CAP_SYS_ADMIN"], "mount", 0), allow);
    assert_eq!(verdict(&[], "chroot", 0), eperm);
    assert_eq!(verdict(&["CAP_SYS_CHROOT"], "chroot", 0), allow);
    assert_eq!(verdict(&[], "clone3", 0), errno(libc::ENOSYS));
    assert_eq!(verdict(&["CAP_SYS_ADMIN"], "clone3", 0), allow);
    assert_eq!(verdict(&[], "clone", 0x0011), allow);
    assert_eq!(verdict(&[], "clone", 0x1000_0000), eperm);
    assert_eq!(verdict(&[], "socket", 2), allow);
    assert_eq!(verdict(&[], "socket", 40), eperm);
    assert_eq!(verdict(&[], "io_uring_setup", 0), eperm);
    assert_eq!(verdict(&[], "personality", 8), allow);
    assert_eq!(verdict(&[], "personality", 1), eperm);
    assert_eq!(
        decide(&profiles::runtime_default::<&str>(&[]), &Call::new(native, 5000, 0)),
        errno(libc::ENOSYS)
    );
}

#[test]
fn every_name_of_the_default_profile_is_known() {
    let profile = profiles::runtime_default(&["CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_BPF"]);
    let unknown: Vec<_> = profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names())
        .filter(|name| Syscall::by_name(name).is_none())
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_rule_for_sockets_holds_for_both_ways_in_on_i386() {
    let profile = profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{"names": ["socket", "send", "shmget"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    }));
    let verdict = |number, first| decide(&profile, &Call::new(I386, number, first));
    let (socketcall, ipc) = (102, 117);
    assert_eq!(verdict(359, 0), errno(13));
    assert_eq!(verdict(socketcall, 1), errno(13));
    assert_eq!(verdict(socketcall, 9), errno(13));
    assert_eq!(verdict(socketcall, 2), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(ipc, 23), errno(13));
    assert_eq!(verdict(ipc, 24), libc::SECCOMP_RET_ALLOW);
}

#[test]
fn what_cannot_be_carried_out_is_refused_in_words() {
    let text = |json| Filter::compile(&profile(json)).unwrap_err().to_string();
    let rule = |action: &str, name: &str, index: usize| {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": [name], "action": action,
            "args": [{"index": index, "value": 0, "op": "SCMP_CMP_EQ"}],
        }]})
    };
    assert!(text(json!({"defaultAction": "SCMP_ACT_NOTIFY"})).ends_with("as default action"));
    assert!(text(rule("SCMP_ACT_NOTIFY", "write", 0)).ends_with("for the write syscall"));
    assert!(text(rule("SCMP_ACT_ERRNO", "read", 6)).contains("argument index 6"));
    let huge: Vec<Value> = (0..600)
        .map(|value| {
            json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "args":
            [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let huge = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": huge}));
    assert!(matches!(Filter::compile(&huge), Err(Error::TooLarge { .. })));
}

/// Compiling is part of every container's start.
#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture compile_time"]
fn compile_time() {
    let time = |work: &dyn Fn()| {
        let mut times: Vec<_> = (0..500)
            .map(|_| {
                let start = std::time::Instant::now();
                work();
                start.elapsed()
            })
            .collect();
        times.sort();
        (times[0], times[250])
    };
    let profile = profiles::runtime_default::<&str>(&[]);
    let filter = Filter::compile(&profile).unwrap();
    println!("runtime_default: {:?}", time(&|| drop(profiles::runtime_default::<&str>(&[]))));
    println!("compile: {:?}", time(&|| drop(Filter::compile(&profile))));
    println!("{} instructions", filter.instructions());
}

mod in_the_kernel {
    use std::os::fd::AsFd;

    use nix::errno::Errno;
    use nix::sys::stat::stat;

    use super::*;
    use crate::model::{ExitStatus, Signal};
    use crate::sys::process::{Clone, Wait, exit_now, fork_with_pidfd, wait_pidfd};

    /// A filter is its thread's own, so a thread can die with it.
    fn under<T: Send + 'static>(
        profile: &LinuxSeccomp,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let filter = Filter::compile(profile).unwrap();
        std::thread::spawn(move || {
            filter.install().unwrap();
            call()
        })
        .join()
        .unwrap()
    }

    fn on_chdir(action: &str, errno: Option<u32>) -> LinuxSeccomp {
        profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["chdir"], "action": action, "errnoRet": errno}]}))
    }

    fn chdir() -> Result<(), Errno> {
        nix::unistd::chdir("/")
    }

    #[test]
    fn errno_log_allow_and_trace_without_a_tracer() {
        let outcome = |action, errno| under(&on_chdir(action, errno), chdir);
        assert_eq!(outcome("SCMP_ACT_ERRNO", None), Err(Errno::EPERM));
        assert_eq!(outcome("SCMP_ACT_ERRNO", Some(42)), Err(Errno::from_raw(42)));
        assert_eq!(outcome("SCMP_ACT_LOG", None), Ok(()));
        assert_eq!(outcome("SCMP_ACT_ALLOW", None), Ok(()));
        assert_eq!(outcome("SCMP_ACT_TRACE", None), Err(Errno::ENOSYS));
    }

    #[test]
    fn trap_and_both_kills_end_with_sigsys() {
        for action in ["SCMP_ACT_TRAP", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"] {
            let filter = Filter::compile(&on_chdir(action, None)).unwrap();
            // Nothing in the child allocates: another test's thread may hold
            // the allocator's lock in it for ever.
            let pidfd = match fork_with_pidfd().unwrap() {
                Clone::Child => {
                    let installed = filter.install().is_ok();
                    let _ = chdir();
                    exit_now(if installed { 1 } else { 2 });
                }
                Clone::Parent { pidfd, .. } => pidfd,
            };
            let status = wait_pidfd(pidfd.as_fd(), Wait::Block).unwrap();
            let sigsys = Signal::new(libc::SIGSYS).unwrap();
            assert_eq!(status, Some(ExitStatus::Signaled(sigsys)), "{action}");
        }
    }

    #[test]
    fn notify_gives_a_listener() {
        let profile = profile(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{"names": ["chdir"], "action": "SCMP_ACT_NOTIFY"}],
        }));
        let filter = Filter::compile(&profile).unwrap();
        assert!(filter.notifies());
        let listener = std::thread::spawn(move || filter.install().unwrap()).join().unwrap();
        assert!(listener.is_some());
    }

    #[test]
    fn every_flag_is_taken() {
        for flags in [
            json!(null),
            json!([]),
            json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]),
            json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
        ] {
            let profile = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}));
            assert_eq!(under(&profile, chdir), Ok(()));
        }
    }

    #[test]
    fn the_default_profile_lets_work_and_stops_mounting() {
        let profile = profiles::runtime_default::<&str>(&[]);
        let outcome = under(&profile, || {
            let none = None::<&str>;
            let mounted = nix::mount::mount(none, "/", none, nix::mount::MsFlags::MS_PRIVATE, none);
            let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS);
            (stat("/").map(drop), mounted, unshared)
        });
        assert_eq!(outcome, (Ok(()), Err(Errno::EPERM), Err(Errno::EPERM)));
    }
}
