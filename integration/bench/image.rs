//! An image archive with a gzip layer until its files lie ready: `podrt image
//! load` beside skopeo with umoci, podman and containerd's ctr.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::podman::Podman;
use super::pods::Podrt;
use super::timing::{Series, is_installed, time};
use super::{Place, table};

const IMAGE: &str = "localhost/bench:latest";
const PODRT: &str = "podrt image load";
const UMOCI: &str = "skopeo copy + umoci unpack";

/// Prints a table for the fixture image and one for a larger image.
pub fn compare(place: &Place, rounds: usize) {
    if !is_installed("skopeo") {
        println!("### an image archive until unpacked\n\nnot measured: skopeo is not installed\n");
        return;
    }
    let large = place.work.path().join("large-rootfs");
    write_files(&large);
    for (name, rootfs, rounds) in
        [("the fixture image", &place.rootfs, rounds), ("3,000 files of 20 KiB", &large, 10)]
    {
        let bench = Bench::new(place, rootfs);
        let rows = bench.measure(rounds.min(10));
        let title = format!("{name} as a gzip archive until unpacked");
        table::print(&title, &["sum"], &rows, UMOCI);
        println!(
            "gzip -dc of the layer alone: {:.2} ms\n",
            bench.decompression().as_secs_f64() * 1e3
        );
    }
}

/// Text that gzip halves, the same in every run.
fn write_files(folder: &Path) {
    let mut state = 1_u64;
    for number in 0..3000 {
        let below = folder.join(format!("{}", number / 100));
        fs::create_dir_all(&below).expect("folder");
        let mut text = String::with_capacity(20 << 10);
        while text.len() < 20 << 10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let _ = write!(text, "{:x}", state >> 20);
        }
        fs::write(below.join(format!("{number}")), text).expect("file");
    }
}

/// The archive and the stores of all contenders.
struct Bench {
    folder: PathBuf,
    archive: PathBuf,
    podrt: Podrt,
    podman: Option<Podman>,
    containerd: Option<Containerd>,
}

impl Bench {
    fn new(place: &Place, rootfs: &Path) -> Self {
        let folder = place.work.path().join("images");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("folder");
        let podrt = Podrt::empty(place, "images/podrt");
        let (plain, archive) = (folder.join("plain.tar"), folder.join("gzip.tar"));
        time(podrt.command(&["image", "import"]).arg(rootfs).arg(IMAGE));
        time(podrt.command(&["image", "save", IMAGE, "-o"]).arg(&plain));
        remove_from(&podrt);
        // A layout that skopeo writes has compressed layers.
        skopeo(&format!("oci-archive:{}", plain.display()), &layout(&folder));
        skopeo(&layout(&folder), &format!("oci-archive:{}:{IMAGE}", archive.display()));
        let podman = is_installed("podman").then(|| Podman::empty(place, "images/podman"));
        let containerd = is_installed("containerd").then(|| Containerd::start(&folder));
        Self { folder, archive, podrt, podman, containerd }
    }

    fn measure(&self, rounds: usize) -> Vec<(String, Option<Vec<Series>>)> {
        let mut rows: Vec<(String, Vec<Series>)> =
            [PODRT, UMOCI, "podman load", "ctr images import"]
                .map(|name| (name.to_owned(), vec![Series::default()]))
                .into();
        for round in 0..=rounds {
            let times = [Some(self.podrt()), self.umoci(), self.podman(), self.containerd()];
            // The first round only warms the caches.
            for ((_, series), time) in rows.iter_mut().zip(times).filter(|_| round > 0) {
                series[0].push_some(time);
            }
        }
        rows.into_iter()
            .map(|(name, series)| (name, (!series[0].is_empty()).then_some(series)))
            .collect()
    }

    fn podrt(&self) -> Duration {
        let took = time(self.podrt.command(&["image", "load", "-i"]).arg(&self.archive));
        remove_from(&self.podrt);
        took
    }

    fn umoci(&self) -> Option<Duration> {
        is_installed("umoci").then(|| {
            let begin = Instant::now();
            let from = format!("oci-archive:{}:{IMAGE}", self.archive.display());
            let bundle = self.folder.join("bundle");
            let _ = fs::remove_dir_all(self.folder.join("layout"));
            skopeo(&from, &layout(&self.folder));
            let image = format!("{}:{IMAGE}", self.folder.join("layout").display());
            time(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
            let took = begin.elapsed();
            fs::remove_dir_all(bundle).expect("bundle");
            took
        })
    }

    fn podman(&self) -> Option<Duration> {
        self.podman.as_ref().map(|podman| {
            let took = time(podman.command(&["load", "-q", "-i"]).arg(&self.archive));
            time(&mut podman.command(&["rmi", "-f", IMAGE]));
            took
        })
    }

    fn containerd(&self) -> Option<Duration> {
        self.containerd.as_ref().map(|containerd| {
            let took = time(containerd.ctr().args(["images", "import"]).arg(&self.archive));
            time(containerd.ctr().args(["images", "rm", "--sync", IMAGE]));
            took
        })
    }

    /// The shortest of five: what no unpacking can be faster than with gzip.
    fn decompression(&self) -> Duration {
        let blobs = fs::read_dir(self.folder.join("layout/blobs/sha256")).expect("blobs");
        let layer = blobs.flatten().map(|entry| entry.path()).find(|path| {
            let mut magic = [0; 2];
            fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).expect("blob");
            magic == [0x1f, 0x8b]
        });
        let layer = layer.expect("a gzip layer");
        let once = || time(Command::new("gzip").arg("-dc").arg(&layer));
        (0..5).map(|_| once()).min().expect("five")
    }
}

fn remove_from(podrt: &Podrt) {
    time(&mut podrt.command(&["image", "rm", IMAGE]));
    time(&mut podrt.command(&["image", "prune"]));
}

fn layout(folder: &Path) -> String {
    format!("oci:{}:{IMAGE}", folder.join("layout").display())
}

fn skopeo(from: &str, to: &str) {
    time(Command::new("skopeo").args(["copy", "-q", from, to]));
}

/// A containerd with folders of its own, ended when dropped.
struct Containerd {
    daemon: Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(folder: &Path) -> Self {
        let own = folder.join("containerd");
        fs::create_dir_all(&own).expect("folder");
        let socket = own.join("socket");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {socket:?}\n[ttrpc]\naddress = {:?}\n",
            own.join("root"),
            own.join("state"),
            own.join("ttrpc"),
        );
        let file = own.join("config.toml");
        fs::write(&file, config).expect("config");
        let log = fs::File::create(own.join("log")).expect("log");
        let daemon = Command::new("containerd")
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd");
        let containerd = Self { daemon, socket };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !containerd.answers() {
            assert!(Instant::now() < deadline, "containerd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        containerd
    }

    fn answers(&self) -> bool {
        let status = self.ctr().arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(&self.socket);
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
