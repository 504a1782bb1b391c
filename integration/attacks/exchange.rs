//! A neighbour who exchanges folders with symlinks while a container is made
//! (CVE-2019-19921, CVE-2021-30465).

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podrt::sys::rename::{Existing, rename};
use serde_json::json;

use super::super::support::{Bundle, World};

/// How long the attacker gets, and more than a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Exchanges two names, again and again, until dropped.
struct Exchange {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exchange {
    fn of(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let here = fs::File::open("/").expect("/");
            while !seen.load(Ordering::Relaxed) {
                rename(here.as_fd(), &one, here.as_fd(), &other, Existing::Exchange)
                    .expect("exchange");
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs the bundle until it ran `whole` times, and gives what each run printed.
/// A run that is refused is no harm.
fn run_often(world: &World, path: &str, whole: usize) -> Vec<String> {
    let begin = Instant::now();
    let mut printed = Vec::new();
    while printed.len() < whole {
        assert!(begin.elapsed() < PATIENCE, "only {} runs", printed.len());
        let ran = world.podrt(&["run", "-b", path, &world.name("c")]);
        if ran.code == 0 {
            printed.push(ran.stdout);
        }
    }
    printed
}

/// Waits until a path that is resolved by name leads outside: the attack works.
fn fall_for_it(folder: &Path, outside: &Path) {
    let begin = Instant::now();
    while fs::read_dir(outside).expect("outside").count() == 0 {
        assert!(begin.elapsed() < PATIENCE, "the exchange is never seen");
        let _ = fs::create_dir(folder.join("naive"));
        let _ = fs::remove_dir(folder.join("naive"));
        let _ = fs::create_dir(folder.join("naive"));
    }
    fs::remove_dir(outside.join("naive")).expect("what a name led to");
}

#[test]
fn no_mount_leaves_the_container_by_a_volume_whose_folders_are_exchanged() {
    let world = World::new();
    let (volume, outside) = (world.path().join("volume"), world.path().join("outside"));
    fs::create_dir_all(volume.join("folder")).expect("a volume");
    fs::create_dir(&outside).expect("a folder of the host");
    symlink(&outside, volume.join("link")).expect("link");
    let script = "grep -c ' tmpfs marker ' /proc/self/mountinfo";
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(
        json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}),
    );
    mounts.push(json!({"destination": "/volume/folder/in", "type": "tmpfs", "source": "marker"}));
    let path = bundle.write();
    let exchange = Exchange::of(volume.join("folder"), volume.join("link"));
    fall_for_it(&volume.join("folder"), &outside);
    for printed in run_often(&world, &path, 30) {
        // Not in the host's tree, from which it would be gone by now.
        assert_eq!(printed, "1\n");
    }
    drop(exchange);
    assert_eq!(fs::read_dir(&outside).expect("outside").count(), 0, "no mount point outside");
    world.assert_clean();
}

/// A procfs goes along when its mount point is renamed. Then the container has
/// it by another name, but never without its masks.
#[test]
fn a_procfs_whose_mount_point_is_exchanged_keeps_its_masks() {
    let world = World::new();
    // Once inside, it does not matter any more what its name becomes.
    let script = "for name in /proc /link; do \
                  cd $name && test \"$(stat -f -c %T .)\" = proc || continue; \
                  (cat sys/kernel/panic >sys/kernel/panic) 2>&1 | grep -c 'Read-only'; \
                  cat iomem | wc -c; cat version | wc -l; done";
    let mut bundle = Bundle::new(&world, "b", &["sh", "-c", script]);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/iomem"]);
    let rootfs = bundle.rootfs();
    fs::create_dir(rootfs.join("elsewhere")).expect("a folder");
    symlink("elsewhere", rootfs.join("link")).expect("link");
    let path = bundle.write();
    let exchange = Exchange::of(rootfs.join("proc"), rootfs.join("link"));
    for printed in run_often(&world, &path, 30) {
        // Both names lead to it when it is exchanged between the two looks.
        assert!(["1\n0\n1\n", "1\n0\n1\n1\n0\n1\n", ""].contains(&printed.as_str()), "{printed}");
    }
    drop(exchange);
    world.assert_clean();
}
