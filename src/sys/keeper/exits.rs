//! The line that the exits file gets for a child, taken from its zombie.

use super::calls;
use super::line::Line;

/// `PID START STATUS BOOT WALL CGROUP` for a child that ended and is not yet
/// reaped.
pub fn line(pid: i32, status: i32) -> Line {
    let mut buffer = [0_u8; 4096];
    let start = start_time(calls::read_proc(pid, b"stat", &mut buffer));
    let line = Line::new(b"").number(pid).text(b" ").text(start).text(b" ").number(status);
    let line = line.text(b" ").number(calls::boot_ns()).text(b" ").number(calls::wall_ns());
    line.text(b" ").text(cgroup(calls::read_proc(pid, b"cgroup", &mut buffer)))
}

/// Field 22 of `/proc/PID/stat`; the name (field 2) may hold anything, so the
/// count begins after its closing parenthesis.
fn start_time(stat: &[u8]) -> &[u8] {
    let mut fields = stat.rsplitn(2, |&byte| byte == b')').next().unwrap_or(&[]).split(is_space);
    // The rest begins with a space, so field 3 is at index 1.
    match fields.nth(20) {
        Some(start) if !start.is_empty() => start,
        _ => b"0",
    }
}

/// The cgroup2 path of `/proc/PID/cgroup`.
fn cgroup(file: &[u8]) -> &[u8] {
    let path = file.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"));
    path.filter(|path| !path.is_empty()).unwrap_or(b"-")
}

fn is_space(byte: &u8) -> bool {
    *byte == b' '
}
