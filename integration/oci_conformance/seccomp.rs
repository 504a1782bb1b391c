//! `linux.seccomp`.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use super::case::{Case, Place, by, leaf, put, same};
use super::process::no_change;
use super::table::Row;

const ENOSPC: u32 = 28;

pub fn cases() -> Vec<Case> {
    [whole(), rules()].into_iter().flatten().collect()
}

fn profile(seccomp: Value) -> impl Fn(&mut Value) {
    move |config| put(config, "linux.seccomp", seccomp.clone())
}

fn whole() -> Vec<Case> {
    let case = |field: &str| leaf(&format!("linux.seccomp.{field}"), Value::Null);
    let arches = |list: &[&str]| {
        profile(json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": list,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
        }))
    };
    vec![
        leaf("linux.seccomp.defaultAction", "SCMP_ACT_LOG")
            .prints("grep Seccomp: /proc/self/status | cut -f2", 2),
        case("defaultErrnoRet").looks(default_errno),
        by("linux.seccomp.architectures", arches(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]))
            .given(arches(&["SCMP_ARCH_X86_64"]))
            .prints("payload getpid32 >/dev/null 2>&1 && echo called; true", "called"),
        case("flags").looks(flags),
        case("listenerPath").looks(|place, _| listener(place, "fds", json!(["seccompFd"]))),
        case("listenerMetadata")
            .looks(|place, _| listener(place, "metadata", json!("of the leaf"))),
    ]
}

/// What mkdir(1) and its exec need, and not mkdir itself.
const NEEDED: [&str; 44] = [
    "execve",
    "brk",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "readlink",
    "readlinkat",
    "getrandom",
    "mprotect",
    "mmap",
    "munmap",
    "mremap",
    "uname",
    "umask",
    "read",
    "write",
    "writev",
    "close",
    "exit",
    "exit_group",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "setuid",
    "setgid",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "ioctl",
    "fcntl",
    "fstat",
    "newfstatat",
    "stat",
    "lstat",
    "getpid",
    "gettid",
    "close_range",
    "openat",
    "futex",
    "setsid",
    "sigaltstack",
];

fn default_errno(place: &Place, _: &Row) -> Result<(), String> {
    let mut config = place.config("true", &no_change());
    put(&mut config, "process.args", json!(["mkdir", "/tmp/made"]));
    put(
        &mut config,
        "linux.seccomp",
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSPC,
               "syscalls": [{"names": &NEEDED[..], "action": "SCMP_ACT_ALLOW"}]}),
    );
    let ran = place.run(&config);
    if ran.stderr.contains("No space left") { Ok(()) } else { Err(format!("{ran:?}")) }
}

fn rules() -> Vec<Case> {
    let syscalls =
        |rule: Value| profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    let kill = |argument: Value| {
        syscalls(json!({"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSPC,
                        "args": [argument]}))
    };
    let case = |field: &str, set: Value, other: Value| {
        by(&format!("linux.seccomp.syscalls.{field}"), syscalls(set)).given(syscalls(other))
    };
    let argument = |field: &str, set: Value, other: Value| {
        by(&format!("linux.seccomp.syscalls.args.{field}"), kill(set))
            .given(kill(other))
            .prints("kill -s CONT 1 2>&1 | grep -c 'No space'; true", 1)
    };
    let made = "mkdir /tmp/leaf-$$ 2>&1 | grep -o 'No space'; true";
    let rule = |names: &[&str], action: &str, errno: u32| json!({"names": names, "action": action, "errnoRet": errno});
    let mkdir = &["mkdir", "mkdirat"][..];
    let equal = |index: u8, value: u64, op: &str| json!({"index": index, "value": value, "op": op});
    let masked = |datum: u64| json!({"index": 1, "value": 0xff, "valueTwo": datum, "op": "SCMP_CMP_MASKED_EQ"});
    vec![
        case(
            "names",
            rule(mkdir, "SCMP_ACT_ERRNO", ENOSPC),
            rule(&["chroot"], "SCMP_ACT_ERRNO", ENOSPC),
        )
        .prints(made, "No space"),
        case("errnoRet", rule(mkdir, "SCMP_ACT_ERRNO", ENOSPC), rule(mkdir, "SCMP_ACT_ERRNO", 17))
            .prints(made, "No space"),
        case(
            "action",
            json!({"names": mkdir, "action": "SCMP_ACT_KILL_PROCESS"}),
            json!({"names": mkdir, "action": "SCMP_ACT_LOG"}),
        )
        .prints("mkdir /tmp/killed-$$; echo $?", 128 + 31),
        argument("index", equal(1, 18, "SCMP_CMP_EQ"), equal(0, 18, "SCMP_CMP_EQ")),
        argument("value", equal(1, 18, "SCMP_CMP_EQ"), equal(1, 17, "SCMP_CMP_EQ")),
        argument("op", equal(1, 18, "SCMP_CMP_EQ"), equal(1, 18, "SCMP_CMP_NE")),
        argument("valueTwo", masked(18), masked(17)),
    ]
}

/// The kernel tells a tracer which filters are to be logged.
fn flags(place: &Place, _: &Row) -> Result<(), String> {
    let seen = |flags: Value| -> Result<u64, String> {
        let mut config = place.config("exec sleep 1000", &no_change());
        put(
            &mut config,
            "linux.seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags,
                   "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]}),
        );
        place.created(&config, |id| filter_flags(&place.state(id)["pid"]))?
    };
    const LOG: u64 = 2;
    match (seen(json!(["SECCOMP_FILTER_FLAG_LOG"]))?, seen(json!([]))?) {
        (LOG, 0) => Ok(()),
        other => Err(format!("flags with and without: {other:?}")),
    }
}

fn filter_flags(pid: &Value) -> Result<u64, String> {
    const PTRACE_SECCOMP_GET_METADATA: libc::c_uint = 0x420d;
    let pid = pid.as_i64().and_then(|pid| libc::pid_t::try_from(pid).ok()).ok_or("no pid")?;
    let null = std::ptr::null_mut::<libc::c_void>();
    let failed = |call: &str| format!("{call}: {}", std::io::Error::last_os_error());
    // The filter's number, and its flags.
    let mut metadata = [0_u64; 2];
    // SAFETY: the process is stopped while it is asked; `metadata` is the two
    // words of the kernel's structure, whose size is told.
    unsafe {
        if libc::ptrace(libc::PTRACE_ATTACH, pid, null, null) != 0 {
            return Err(failed("PTRACE_ATTACH"));
        }
        libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
        let done =
            libc::ptrace(PTRACE_SECCOMP_GET_METADATA as _, pid, 16_usize, metadata.as_mut_ptr());
        let result = if done < 0 { Err(failed("PTRACE_SECCOMP_GET_METADATA")) } else { Ok(()) };
        libc::ptrace(libc::PTRACE_DETACH, pid, null, null);
        result?;
    }
    Ok(metadata[1])
}

/// What is told to a listener when a filter notifies.
fn listener(place: &Place, field: &str, want: Value) -> Result<(), String> {
    let path = place.world.path().join("seccomp.sock");
    let _ = std::fs::remove_file(&path);
    let socket = UnixListener::bind(&path).map_err(|error| error.to_string())?;
    let mut config = place.config("true", &no_change());
    put(
        &mut config,
        "linux.seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path,
               "listenerMetadata": "of the leaf",
               "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_NOTIFY"}]}),
    );
    place.created(&config, |_| ())?;
    let (stream, _) = socket.accept().map_err(|error| error.to_string())?;
    let mut text = vec![0; 4096];
    let (length, fds) = podrt::sys::fd::receive_with_fds(stream.as_fd(), &mut text)
        .map_err(|error| error.to_string())?;
    text.truncate(length);
    let _ = (&stream).read_to_end(&mut text);
    let told: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if fds.len() != 1 {
        return Err(format!("{} descriptors", fds.len()));
    }
    same(&told[field].to_string(), &want.to_string())
}
