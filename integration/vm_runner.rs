//! The virtual machine's runner itself: what it returns, and what it leaves.
//!
//! On the host only, and only where `make test-vm` has fetched a kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::{Ran, run, skip};

/// One machine at a time: each takes a core.
static MACHINE: Mutex<()> = Mutex::new(());

/// The right to boot, or `None` after `test` was noted as skipped.
fn may_boot(test: &str) -> Option<MutexGuard<'static, ()>> {
    let missing = if Path::new("/run/vm").is_dir() {
        "inside the virtual machine"
    } else if !top().join("target/vm/kernel-own/complete").exists() {
        "no kernel yet: `make test-vm` fetches it"
    } else {
        return Some(MACHINE.lock().unwrap_or_else(PoisonError::into_inner));
    };
    skip(test, missing);
    None
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `vm/run OPTIONS -- sh -c SCRIPT`.
fn machine(options: &[&str], script: &str) -> Command {
    let mut command = Command::new(top().join("integration/vm/run"));
    command.arg("--kernel").arg(top().join("target/vm/kernel-own"));
    command.args(options).args(["--", "sh", "-c", script]).stdin(Stdio::null());
    command
}

fn in_machine(options: &[&str], script: &str) -> Ran {
    run(&mut machine(options, script))
}

#[test]
fn the_machine_returns_output_and_status_and_keeps_the_hosts_files() {
    let name = "the_machine_returns_output_and_status_and_keeps_the_hosts_files";
    let Some(_turn) = may_boot(name) else { return };
    let shared = tempfile::tempdir().expect("folder");
    let (kept, private) = (shared.path().join("kept"), top().join("target/vm/private"));
    let script = format!(
        "echo out; echo err >&2; echo x >{}; echo y >{} || exit 1; test ! -s /etc/passwd || \
         echo files; ls /sys/fs/cgroup/cgroup.controllers; exit 7",
        kept.display(),
        private.display()
    );
    let ran = in_machine(&["--rw", &shared.path().to_string_lossy()], &script);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert_eq!(ran.stdout, "out\nerr\nfiles\n/sys/fs/cgroup/cgroup.controllers\n");
    assert_eq!(fs::read_to_string(kept).expect("written to the host"), "x\n");
    assert!(!private.exists(), "other folders are not written to");
}

#[test]
fn the_machine_ends_after_its_time() {
    let Some(_turn) = may_boot("the_machine_ends_after_its_time") else { return };
    let ran = in_machine(&["--timeout", "60"], "echo begun; sleep 1000");
    assert_eq!(ran.code, 124, "{ran:?}");
    assert_eq!(ran.stdout, "begun\n");
    assert!(ran.stderr.contains("not done after 60 s"), "{ran:?}");
}

#[test]
fn a_panic_of_the_machines_kernel_is_told_with_its_console() {
    let Some(_turn) = may_boot("a_panic_of_the_machines_kernel_is_told_with_its_console") else {
        return;
    };
    let ran = in_machine(&[], "echo c >/proc/sysrq-trigger; sleep 1000");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.stderr.contains("Kernel panic"), "{ran:?}");
}

#[test]
fn killing_the_runner_leaves_nothing_of_the_machine() {
    let Some(_turn) = may_boot("killing_the_runner_leaves_nothing_of_the_machine") else { return };
    let seconds = format!("59{}", std::process::id());
    let mut runner = machine(&["--timeout", &seconds], "sleep 1000").spawn().expect("spawn");
    wait_for(|| processes_with(&seconds).iter().any(|line| line.contains("qemu-system")));
    runner.kill().expect("kill -9");
    runner.wait().expect("wait");
    wait_for(|| processes_with(&seconds).is_empty());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains("target/vm/work"), "{mounts}");
    let left: Vec<_> = fs::read_dir(top().join("target/vm/work")).expect("folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Command lines that hold `mark`.
fn processes_with(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    lines.filter(|line| line.contains(mark)).collect()
}

#[track_caller]
fn wait_for(check: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "not within 60 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}
