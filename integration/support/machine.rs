//! A machine of a test's own, as far as it costs nothing, and pictures of it:
//! what is there, before something and after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{World, leaks, netfilter, run};

/// Names what a test on a machine of its own calls its things.
pub const VARIABLE: &str = "PODRT_TEST_MACHINE";

/// Where podrt keeps what the pods of all roots share.
const SHARED: &str = "/run/podrt-machine";

/// True where the test has network, addresses and temporary files to itself
/// and inherits every orphan. Elsewhere runs the test `test` (its full name)
/// once more in such a process, and fails with it.
#[track_caller]
pub fn alone(test: &str) -> bool {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if std::env::var_os(VARIABLE).is_some() {
        nix::sys::prctl::set_child_subreaper(true).expect("subreaper");
        return true;
    }
    let temporary = tempfile::Builder::new().prefix("podrt-m-").tempdir().expect("a folder");
    let tag = format!("t{}a{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    // Not private: what others unmount is to go here too.
    let own = ["unshare", "--mount", "--net", "--propagation", "slave", "sh", "-c"];
    let begin = format!(
        "mkdir -p {SHARED}/network && mount -t tmpfs network {SHARED}/network && exec \"$@\""
    );
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).args(own).args([begin.as_str(), "sh"]);
    command.arg(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    let ran = run(command.env(VARIABLE, tag).env("TMPDIR", temporary.path()));
    let passed = ran.code == 0 && ran.stdout.contains("test result: ok. 1 passed");
    assert!(passed, "{test}: {}\n{}", ran.stdout, ran.stderr);
    false
}

/// What a machine of [`alone`]'s holds, one line for each thing.
#[derive(Debug)]
pub struct Picture(BTreeSet<String>);

impl Picture {
    /// Without what waits a while for the next pod: the bridge and its keeper.
    pub fn of(world: &World) -> Self {
        let mut all = Self::of_all(world);
        all.0.retain(|line| !is_the_bridges(line));
        all
    }

    /// With the bridge.
    pub fn of_all(world: &World) -> Self {
        let processes = descendants();
        let mut lines: BTreeSet<String> = processes.iter().map(described).collect();
        lines.extend(network_namespaces(&processes));
        for words in ["-o link", "-o address", "route show table all", "rule"] {
            let listed = run(Command::new("ip").args(words.split(' '))).ok();
            lines.extend(listed.lines().map(|line| format!("{words}: {}", lasting(line))));
        }
        lines.extend(netfilter::objects());
        lines.extend(files(&std::env::temp_dir(), world.path()));
        lines.extend(files(&Path::new(SHARED).join("network"), Path::new("")));
        lines.extend(leaks::mounts(&std::env::temp_dir().to_string_lossy()));
        lines.extend(leaks::mounts(SHARED));
        lines.extend(leaks::find(world.path(), &world.marks(), &world.root()));
        Self(lines)
    }

    /// All but files.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.0.retain(|line| !line.starts_with("file "));
        self
    }

    /// What came since, and what went.
    pub fn changes(&self, since: &Self) -> Vec<String> {
        let new = self.0.difference(&since.0).map(|line| format!("new: {line}"));
        new.chain(since.0.difference(&self.0).map(|line| format!("gone: {line}"))).collect()
    }

    /// Waits until the machine is again as it was; the kernel takes a moment
    /// for a network namespace, an orphan for its last breath.
    #[track_caller]
    pub fn await_again(&self, what: &str, take: impl Fn() -> Self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let changes = take().changes(self);
            if changes.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{what} left:\n{}", changes.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The bridge stays half a second for the next pod, with a process that looks
/// after it and two notes.
fn is_the_bridges(line: &str) -> bool {
    let note = format!("file {SHARED}/network/");
    let of = |list: &str| line.strip_prefix(list)?.split([':', ' ']).next();
    // The pods' links, podrt0a…, begin like it and have it for a master.
    of("-o link: ").or(of("-o address: ")) == Some("podrt0")
        || (line.starts_with("route") && line.split(' ').any(|word| word == "podrt0"))
        || line.contains("podrt-house")
        || line.strip_prefix(&note).is_some_and(|name| !name.starts_with("addresses/"))
}

/// A line of `ip -o link` without what changes by itself: the index and the
/// state of the queue.
fn lasting(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !word.ends_with("sec"));
    let index = |word: &&str| word.trim_end_matches(':').parse::<u32>().is_ok();
    words.skip_while(index).collect::<Vec<_>>().join(" ")
}

/// A process that this one began, or inherited.
#[derive(Debug)]
struct Process {
    folder: PathBuf,
    parent: u32,
    id: u32,
    name: String,
}

/// All of them, after reaping those that nobody waits for. Called when no
/// command is running: `std` waits for those itself.
fn descendants() -> Vec<Process> {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {}
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let mut rest: Vec<Process> = entries.filter_map(|entry| process(entry.path())).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = BTreeSet::from([std::process::id()]);
    loop {
        let (children, others) = rest.into_iter().partition(|one| parents.contains(&one.parent));
        rest = others;
        let children: Vec<Process> = children;
        if children.is_empty() {
            return found;
        }
        parents = children.iter().map(|one| one.id).collect();
        found.extend(children);
    }
}

fn process(folder: PathBuf) -> Option<Process> {
    let id = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (name, rest) = stat.rsplit_once(") ")?;
    let parent = rest.split(' ').nth(1)?.parse().ok()?;
    let name = name.split_once('(')?.1.to_owned();
    Some(Process { folder, parent, id, name })
}

fn described(process: &Process) -> String {
    let line = fs::read(process.folder.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("process {} {} {line}", process.id, process.name)
}

/// Every network namespace that a process of ours is in or holds open, or that
/// is mounted.
fn network_namespaces(processes: &[Process]) -> Vec<String> {
    let own = PathBuf::from("/proc/self");
    let mut found = Vec::new();
    for (name, folder) in
        processes.iter().map(|one| (one.name.as_str(), &one.folder)).chain([("test", &own)])
    {
        let lives = [folder.join("ns/net")];
        let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        let links = lives.into_iter().chain(open.map(|entry| entry.path()));
        let targets =
            links.filter_map(|link| Some(fs::read_link(link).ok()?.display().to_string()));
        let namespaces = targets.filter(|target| target.starts_with("net:["));
        found.extend(namespaces.map(|one| format!("namespace {one} of {name}")));
    }
    // Of other worlds only those that are mounted in plain sight are seen, and
    // none of podrt's is.
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let own = std::env::temp_dir().display().to_string();
    let bound = table.lines().filter(|line| line.contains(" nsfs ") && line.contains(&own));
    found.extend(bound.map(|line| format!("namespace mounted {line}")));
    found
}

/// Everything below `folder` by path, kind and mode, but files right in
/// `except`: the test's own.
fn files(folder: &Path, except: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else if folder == except {
                continue;
            }
            found.push(format!("file {} {:o}", entry.path().display(), metadata.mode()));
        }
    }
    found
}

#[test]
fn a_picture_shows_whatever_is_left() {
    if !alone("support::machine::a_picture_shows_whatever_is_left") {
        return;
    }
    let world = World::new();
    fs::create_dir_all(world.data_root()).expect("folder");
    let before = Picture::of(&world);
    let shell = |script: &str| run(Command::new("sh").args(["-c", script])).ok();
    let data = world.data_root().display().to_string();
    shell("unshare --net sleep 600 >/dev/null 2>&1 & ip link add podrt0a0 type veth peer name v1");
    shell(&format!("mkdir {data}/m && mount -t tmpfs left {data}/m"));
    shell(&format!("touch {data}/n && mount --bind /proc/self/ns/net {data}/n"));
    netfilter::add_table("left");
    let changes = Picture::of(&world).changes(&before);
    let is_there = |what: &str| changes.iter().any(|change| change.contains(what));
    let kinds = ["process ", "namespace net:[", "namespace mounted", "mount ", "file "];
    for what in kinds.into_iter().chain(["sleep 600", "-o link: podrt0a0@v1", "/data/m"]) {
        assert!(is_there(what), "{what} is not among {changes:#?}");
    }
    assert!(is_there("nft ") || netfilter::objects()[0].contains("error"), "{changes:#?}");
    for process in descendants() {
        let id = nix::unistd::Pid::from_raw(process.id.cast_signed());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).expect("kill");
    }
    shell(&format!("umount {data}/m {data}/n && ip link del podrt0a0"));
}
