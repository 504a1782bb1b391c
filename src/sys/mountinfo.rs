//! The mounts of a process, as `proc_pid_mountinfo(5)` lists them.

use std::path::PathBuf;

use super::SyscallError;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// As in `mnt_id` of fdinfo.
    pub id: u64,
    /// The part of the file system that is mounted.
    pub root: PathBuf,
    /// As the process sees it.
    pub mount_point: PathBuf,
    pub fs_type: String,
    /// Options of the file system itself, separated by commas.
    pub super_options: String,
}

/// The mounts that `process` (a pid, `self`, `thread-self`) sees.
///
/// # Errors
/// When the file cannot be read.
pub fn of(process: &str) -> Result<Vec<Mount>, SyscallError> {
    let file = format!("/proc/{process}/mountinfo");
    let text = std::fs::read(&file)
        .map_err(|error| SyscallError::from_io("open", format!("{file:?}"), &error))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Lines that are no mounts are left out.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ');
    let id = before.next()?.parse().ok()?;
    let root = unescape(before.nth(2)?).into();
    let mount_point = unescape(before.next()?).into();
    let mut after = after.split(' ');
    let fs_type = after.next()?.to_owned();
    let super_options = after.nth(1)?.to_owned();
    Some(Mount { id, root, mount_point, fs_type, super_options })
}

/// Octal escapes (`\040`).
fn unescape(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes_and_optional_fields() {
        let text = "\
36 35 98:0 /a\\040b /mnt/c\\134d rw,noatime shared:1 master:2 - ext4 /dev/root rw,errors=continue
broken line
37 36 0:5 / /dev rw - devtmpfs devtmpfs rw
";
        let mounts = parse(text);
        let wanted = Mount {
            id: 36,
            root: "/a b".into(),
            mount_point: "/mnt/c\\d".into(),
            fs_type: "ext4".to_owned(),
            super_options: "rw,errors=continue".to_owned(),
        };
        assert_eq!(mounts[0], wanted);
        assert_eq!(mounts.len(), 2);
    }

    #[test]
    fn the_root_is_among_our_own() {
        let own = of("self").unwrap();
        assert!(own.iter().any(|mount| mount.mount_point == std::path::Path::new("/")));
    }
}
