//! What the callers' tests share: whether the caller can be tested here, the
//! fixture as an image it loads, and an end that leaves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{FIXTURE_IMAGE, Ran, World, run, skip};

/// Longer than anything here takes on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `done` says so.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether `programs` are installed; notes that `test` is skipped where not.
pub fn installed(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    match programs.iter().find(|name| !there(name)) {
        None => true,
        Some(missing) => {
            skip(test, &format!("{missing} is not installed"));
            false
        }
    }
}

/// Skips `test` where the caller cannot even run a container with runc: then
/// the machine is at fault, or the caller, and podrt cannot show otherwise.
pub fn works_with_runc(test: &str, tried: &Ran) -> bool {
    if tried.code != 0 {
        let line = tried.stderr.lines().last().unwrap_or_default();
        skip(test, &format!("it fails with runc too: {line}"));
    }
    tried.code == 0
}

/// A world and the name of a cgroup for the caller's containers.
#[derive(Debug)]
pub struct Place {
    pub world: World,
    pub cgroup: String,
}

impl Place {
    pub fn new() -> Self {
        let world = World::with_fixture();
        let cgroup = world.name("caller");
        Self { world, cgroup }
    }

    /// The fixture image as an archive of podrt's own making.
    pub fn archive(&self) -> PathBuf {
        let path = self.world.path().join("fixture.tar");
        let text = path.to_str().expect("UTF-8");
        self.world.podrt(&["image", "save", FIXTURE_IMAGE, "-o", text]).ok();
        path
    }

    pub fn path(&self, name: &str) -> String {
        self.world.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Fails when anything of this place is left, once those who clean up in
    /// the background are done.
    #[track_caller]
    pub fn assert_clean(&self) {
        wait_until("the caller's processes end", || self.processes().is_empty());
        wait_until("its cgroups are empty", || self.remove_cgroups());
        self.world.assert_clean();
    }

    /// Processes that name this world's folder.
    fn processes(&self) -> Vec<i32> {
        let dir = self.world.path().to_str().expect("UTF-8");
        let numbers = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&line).contains(dir).then_some(pid)
        });
        let own = i32::try_from(std::process::id()).expect("a pid");
        numbers.filter(|pid| *pid != own).collect()
    }

    /// The parent that callers leave, as they do with every runtime, podman with
    /// one for conmon in it. True when there is none any more.
    fn remove_cgroups(&self) -> bool {
        let top = Path::new("/sys/fs/cgroup");
        let below = fs::read_dir(top).expect("cgroups").flatten().map(|entry| entry.path());
        let groups = below.chain([top.to_owned()]).map(|dir| dir.join(&self.cgroup));
        groups.filter(|dir| dir.is_dir()).all(|dir| remove_group(&dir))
    }
}

fn remove_group(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else { return false };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_group(&entry.path());
    }
    fs::remove_dir(group).is_ok()
}

impl Drop for Place {
    /// What a failed test leaves would disturb the next.
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        let dir = self.world.path().to_str().expect("UTF-8");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| point.starts_with(dir)) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// More bytes than a container with less than 100 MB has, the machine's swap
/// included: not every caller limits that.
pub fn too_much() -> String {
    let table = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let line = table.lines().find(|line| line.starts_with("SwapTotal:")).unwrap_or_default();
    let kib: u64 = line.split_whitespace().nth(1).map_or(0, |text| text.parse().expect("KiB"));
    (200_000_000 + kib * 1024).to_string()
}

/// A command's result whatever it printed, for callers that add to podrt's line.
#[track_caller]
pub fn ran(command: &mut Command) -> Ran {
    run(command.stdin(std::process::Stdio::null()))
}

/// The command with its streams on a terminal of `rows` and `columns`; what it
/// prints, typing `answer` once it printed `prompt`.
#[track_caller]
pub fn on_terminal(
    command: &mut Command,
    size: (u16, u16),
    prompt: &str,
    answer: &str,
) -> (i32, String) {
    use std::io::{Read as _, Write as _};
    let size = nix::pty::Winsize { ws_row: size.0, ws_col: size.1, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(&size, None).expect("a terminal");
    let slave = || std::process::Stdio::from(pty.slave.try_clone().expect("descriptor"));
    let mut child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().expect("spawn");
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    drop(pty.slave);
    let mut master = fs::File::from(pty.master);
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    let mut answered = false;
    // The end of a terminal that nobody holds any more reads as EIO.
    while let Ok(length @ 1..) = master.read(&mut chunk) {
        seen.extend(&chunk[..length]);
        if !answered && String::from_utf8_lossy(&seen).contains(prompt) {
            answered = true;
            master.write_all(answer.as_bytes()).expect("type");
        }
    }
    let code = child.wait().expect("wait").code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&seen).replace('\r', ""))
}
