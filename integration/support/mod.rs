//! A private podrt for each test: its own roots, its own names, and a check at
//! the end that nothing of it is left on the machine.

mod bundle;
mod https;
mod leaks;
pub mod machine;
mod netfilter;
mod skip;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use bundle::{Bundle, busybox_rootfs};
pub use https::{Manner, Server};
pub use skip::{has_controllers, has_v2_controllers, skip};

/// The command under test: Cargo's, or the one in the folder that
/// `PODRT_TEST_BIN` names (in the virtual machine, where unoptimised code crawls).
pub fn podrt_path() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_podrt"));
    std::env::var_os("PODRT_TEST_BIN")
        .map_or_else(|| built.to_owned(), |folder| Path::new(&folder).join("podrt"))
}

/// The root file system that `make fixtures` builds: busybox and the payload.
pub fn fixture_rootfs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fixtures/rootfs")
}

/// The name under which [`World::with_fixture`] imports it.
pub const FIXTURE_IMAGE: &str = "podrt.local/fixture:latest";

/// One test's podrt.
#[derive(Debug)]
pub struct World {
    dir: tempfile::TempDir,
    tag: String,
    /// Pods seen so far, so that their cgroups can be looked for at the end.
    uids: RefCell<BTreeSet<String>>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The command's output, after checking that it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The one line of error, after checking that it is one and that the
    /// command failed with `code`.
    #[track_caller]
    pub fn error(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "stderr:\n{}", self.stderr);
        self.stderr.trim_end().to_owned()
    }
}

impl World {
    /// A podrt with empty roots.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let of = std::env::var(machine::VARIABLE);
        let of = of.unwrap_or_else(|_| format!("t{}", std::process::id()));
        let tag = format!("{of}x{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix(&format!("podrt-{tag}-")).tempdir();
        Self { dir: dir.expect("temporary folder"), tag, uids: RefCell::default() }
    }

    /// A podrt whose image store holds the fixture image.
    pub fn with_fixture() -> Self {
        let world = Self::new();
        let rootfs = fixture_rootfs();
        assert!(rootfs.is_dir(), "{} is missing: run `make fixtures`", rootfs.display());
        world.podrt(&["image", "import", &rootfs.to_string_lossy(), FIXTURE_IMAGE]).ok();
        world
    }

    /// The folder that holds everything of this world.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("run")
    }

    pub fn data_root(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn log_root(&self) -> PathBuf {
        self.path().join("log")
    }

    /// A container id or pod name that no other test uses.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.tag)
    }

    /// Writes a file of this world and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("write a test's file");
        path
    }

    /// `podrt` with this world's roots in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(podrt_path());
        command
            .args(args)
            .env("PODRT_ROOT", self.root())
            .env("PODRT_DATA_ROOT", self.data_root())
            .env("PODRT_LOG_ROOT", self.log_root())
            .stdin(Stdio::null());
        command
    }

    /// Runs `podrt ARGS` to its end.
    #[track_caller]
    pub fn podrt(&self, args: &[&str]) -> Ran {
        let ran = run(&mut self.command(args));
        self.note_pods();
        ran
    }

    /// Writes `manifest` to a file and runs `podrt run FILE ARGS`.
    #[track_caller]
    pub fn run_pod(&self, manifest: &str, args: &[&str]) -> Ran {
        let path = self.file("pod.yaml", manifest);
        let path = path.to_string_lossy();
        let mut all = vec!["run", path.as_ref()];
        all.extend_from_slice(args);
        self.podrt(&all)
    }

    /// `get pod NAME -o json`, parsed.
    #[track_caller]
    pub fn pod(&self, name: &str) -> serde_json::Value {
        let text = self.podrt(&["get", "pod", name, "-o", "json"]).ok();
        serde_json::from_str(&text).expect("get prints JSON")
    }

    /// Waits until `check` holds for the pod's JSON; fails after `seconds`, or
    /// after a minute: no test depends on how fast the machine is.
    #[track_caller]
    pub fn wait_pod(
        &self,
        name: &str,
        seconds: u64,
        check: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(seconds.max(60));
        loop {
            let pod = self.pod(name);
            if check(&pod) {
                return pod;
            }
            assert!(Instant::now() < deadline, "not in time: {pod:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Like [`World::wait_pod`], for a pod that another process is about to make.
    #[track_caller]
    pub fn wait_pod_if_any(
        &self,
        name: &str,
        seconds: u64,
        check: impl Fn(&serde_json::Value) -> bool,
    ) {
        let deadline = Instant::now() + Duration::from_secs(seconds.max(60));
        loop {
            let ran = self.podrt(&["get", "pod", name, "-o", "json"]);
            if ran.code == 0 && check(&serde_json::from_str(&ran.stdout).expect("JSON")) {
                return;
            }
            assert!(Instant::now() < deadline, "not in time: {ran:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The pod's events as its record has them, each `REASON MESSAGE`, with the
    /// container in front where it is about one: `main: Unhealthy …`.
    #[track_caller]
    pub fn events(&self, name: &str) -> Vec<String> {
        let uid = self.pod(name)["metadata"]["uid"].as_str().expect("uid").to_owned();
        let path = self.root().join("pods").join(uid).join("status.json");
        // None was written before the pod began.
        let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
        let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let line = |event: &serde_json::Value| {
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let path = text("fieldPath");
            let container = path.split_once('{').map(|(_, name)| name.trim_end_matches('}'));
            let container = container.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{container}{} {}", text("reason"), text("message"))
        };
        record["events"].as_array().expect("events").iter().map(line).collect()
    }

    /// Waits until the pod has exactly this event.
    #[track_caller]
    pub fn wait_event(&self, name: &str, seconds: u64, want: &str) {
        let deadline = Instant::now() + Duration::from_secs(seconds.max(60));
        loop {
            let events = self.events(name);
            if events.iter().any(|event| event == want) {
                return;
            }
            assert!(Instant::now() < deadline, "{want:?} is not among {events:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn note_pods(&self) {
        for folder in [self.root().join("pods"), self.data_root().join("pods")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
            // A name that begins with a dot or is no uid belongs to the store.
            self.uids.borrow_mut().extend(names.filter(|name| name.len() == 36));
        }
    }

    /// What is in the names of this world's things: its own and its pods'.
    fn marks(&self) -> Vec<String> {
        self.note_pods();
        let uids = self.uids.borrow();
        uids.iter().chain([&self.tag]).cloned().collect()
    }

    /// Fails when anything of this world is left: processes, mounts, cgroups,
    /// container state, addresses.
    #[track_caller]
    pub fn assert_clean(&self) {
        let marks = self.marks();
        // What the kernel takes apart after the command returned (a dying
        // network namespace) has a second.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = leaks::find(self.path(), &marks, &self.root());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left on the machine:\n{}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    /// Takes down what a failed test left, so that the next starts clean.
    fn drop(&mut self) {
        let _ =
            run(&mut self.command(&["delete", "pods", "--all", "--force", "--ignore-not-found"]));
        let Ok(entries) = fs::read_dir(self.root()) else { return };
        for id in entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()) {
            if id != "pods" {
                let root = self.root();
                let args = ["--root", &root.to_string_lossy(), "delete", "--force", &id];
                let _ = run(&mut self.command(&args));
            }
        }
    }
}

/// A command whose output is read while it runs, and which ends with its test,
/// however that ends.
#[derive(Debug)]
pub struct Killed(pub std::process::Child);

impl Killed {
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, collecting what it prints. Into files, not pipes:
/// what a command leaves running (a container has its caller's streams) keeps
/// nobody waiting.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let file = || tempfile::tempfile().expect("temporary file");
    let (mut out, mut err) = (file(), file());
    let share = |file: &fs::File| Stdio::from(file.try_clone().expect("descriptor"));
    let status = command.stdout(share(&out)).stderr(share(&err)).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let code = status.code().unwrap_or_else(|| {
        use std::os::unix::process::ExitStatusExt as _;
        128 + status.signal().unwrap_or(0)
    });
    Ran { code, stdout: read_all(&mut out), stderr: read_all(&mut err) }
}

fn read_all(file: &mut fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read a temporary file");
    String::from_utf8_lossy(&bytes).into_owned()
}
