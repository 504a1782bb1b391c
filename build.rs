//! Builds the two programs that the executables embed: `pause`, which holds a
//! pod's namespaces, and `keeper`, which holds what must outlive a pod's shim.
//!
//! Both do without a standard library, so that one costs a few KiB of memory;
//! Cargo cannot build a second binary that way, hence the direct `rustc`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 4] =
    ["src/sys/tiny", "src/sys/pause", "src/sys/keeper", "src/sys/keeper_protocol.rs"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the architecture");
    let os = env::var("CARGO_CFG_TARGET_OS").expect("cargo names the system");
    assert!(
        os == "linux" && matches!(arch.as_str(), "x86_64" | "aarch64"),
        "podrt runs on Linux on x86_64 and aarch64, not on {os} on {arch}"
    );
    for program in ["pause", "keeper"] {
        build(program);
    }
}

/// Compiles `src/sys/<program>/program.rs` to `$OUT_DIR/<program>`.
fn build(program: &str) {
    let source = PathBuf::from(format!("src/sys/{program}/program.rs"));
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(program);
    // The linker that comes with rustup needs no C compiler for the target; a
    // distribution's rustc may lack it.
    let attempts = [bundled_linker(), c_compiler()];
    let mut complaints = Vec::new();
    for linking in attempts {
        match compile(program, &source, &output, &linking) {
            Ok(()) => return drop_sections(&output),
            Err(complaint) => complaints.push(complaint),
        }
    }
    panic!("cannot build {program}:\n{}", complaints.join("\n"));
}

/// What either linker is told; the layout is `src/sys/tiny/layout.ld`.
const LINKER_ARGS: [&str; 4] =
    ["-static", "--gc-sections", "--build-id=none", "-Tsrc/sys/tiny/layout.ld"];

fn bundled_linker() -> Vec<String> {
    let mut flags: Vec<String> =
        ["linker=rust-lld", "linker-flavor=ld.lld", "link-self-contained=no"]
            .map(String::from)
            .into();
    flags.extend(LINKER_ARGS.iter().map(|arg| format!("link-arg={arg}")));
    flags
}

fn c_compiler() -> Vec<String> {
    let mut flags = vec!["link-self-contained=no".to_owned()];
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        flags.push(format!("linker={linker}"));
    }
    flags.extend(["-nostartfiles", "-nostdlib"].map(|arg| format!("link-arg={arg}")));
    flags.extend(LINKER_ARGS.iter().map(|arg| format!("link-arg=-Wl,{arg}")));
    flags
}

fn compile(program: &str, source: &Path, output: &Path, linking: &[String]) -> Result<(), String> {
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc
        .args(["--edition=2024", "--crate-type=bin", "-Cpanic=abort", "-Copt-level=z"])
        .args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static", "-Cstrip=symbols"])
        .args(["-Cforce-unwind-tables=no", "-Cdebuginfo=0", "-Coverflow-checks=no"])
        .arg(format!("--crate-name={program}"))
        .arg(format!("--target={}", env::var("TARGET").expect("cargo sets TARGET")))
        .arg("-o")
        .arg(output)
        .arg(source);
    for flag in linking {
        rustc.arg("-C").arg(flag);
    }
    let result = rustc.output().map_err(|error| format!("{rustc:?}: {error}"))?;
    if result.status.success() {
        return Ok(());
    }
    Err(format!("{rustc:?}:\n{}", String::from_utf8_lossy(&result.stderr)))
}

/// Cuts off what only linkers and debuggers read: the section headers at the
/// end, and with them the padding before a segment without content.
fn drop_sections(output: &Path) {
    let mut elf = fs::read(output).expect("the linker wrote it");
    let field = |at: usize, len: usize| -> usize {
        let bytes = elf[at..at + len].iter().rev();
        bytes.fold(0, |value, &byte| value << 8 | usize::from(byte))
    };
    // ELF-64, little-endian: e_phoff, e_phentsize, e_phnum; p_type, p_offset,
    // p_filesz.
    let (first, size, count) = (field(32, 8), field(54, 2), field(56, 2));
    let segments = (0..count).map(|index| first + index * size);
    let with_content = segments.filter(|&at| field(at, 4) == 1 && field(at + 32, 8) > 0);
    let end = with_content.map(|at| field(at + 8, 8) + field(at + 32, 8)).max();
    elf.truncate(end.expect("a program has a segment"));
    elf[40..48].fill(0); // e_shoff
    elf[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
    fs::write(output, elf).expect("OUT_DIR is writable");
}
