//! `make bench`: podrt beside its peers, in one run, as a Markdown table.
//!
//! Every comparison is interleaved (one round of each contender after the
//! other), so that whatever else the machine does meets all of them; the
//! contenders are started without a shell. Nothing here is a test: it fails
//! only when it could not measure. A peer that is not installed is printed as
//! not measured.

mod calls;
mod exec;
mod image;
mod many;
mod memory;
mod oci;
mod podman;
mod pods;
mod spec;
mod table;
mod timing;
mod view;

use std::path::PathBuf;

/// Where the executables and the fixtures are.
#[derive(Debug)]
pub struct Place {
    pub podrt: PathBuf,
    pub rootfs: PathBuf,
    /// Everything the benchmarks make is below this folder.
    pub work: tempfile::TempDir,
}

fn main() {
    // The same program serves as podman's runtime, see `podman`.
    if podman::is_runtime_call() {
        podman::run_runtime();
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("bench: must be root");
        std::process::exit(1);
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let place = Place {
        // PODRT=path measures another build with the same harness.
        podrt: std::env::var_os("PODRT")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_podrt")), PathBuf::from),
        rootfs: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fixtures/rootfs"),
        work: tempfile::Builder::new().prefix("podrt-bench-").tempdir().expect("work folder"),
    };
    assert!(place.rootfs.is_dir(), "{} is missing: run `make fixtures`", place.rootfs.display());
    view::enter_pure_v2().expect("a private view with pure cgroup v2");
    println!("{}\n", table::machine());
    // PARTS="pods images" measures only these.
    let parts = std::env::var("PARTS").unwrap_or_default();
    let all: [(&str, &dyn Fn()); 8] = [
        ("oci", &|| oci::compare(&place, rounds)),
        ("exec", &|| exec::compare(&place, rounds)),
        ("calls", &|| calls::count(&place)),
        ("pods", &|| pods::compare(&place, rounds)),
        ("memory", &|| memory::measure(&place)),
        ("many", &|| many::measure(&place)),
        ("images", &|| image::compare(&place, rounds)),
        ("probes", &not_measured),
    ];
    for (part, measure) in all {
        if parts.is_empty() || parts.split(' ').any(|one| one == part) {
            measure();
        }
    }
}

fn not_measured() {
    println!("### 1,000 exec and 1,000 http probes a second\n");
    println!("`make figures` measures these: one driver, fed for a minute\n");
}
