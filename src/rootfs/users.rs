//! Users by name: an image's `/etc/passwd` and `/etc/group`, read with
//! distrust.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use crate::model::ErrorKind;
use crate::model::spec::UserSpec;
use crate::sys::SyscallError;
use crate::sys::path::{self, InRoot};

/// A user of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Uid, gid, and the groups that `/etc/group` lists the user in.
    pub user: UserSpec,
    /// The home directory of `/etc/passwd`; `/` when there is no entry.
    pub home: String,
    /// False for a number that `/etc/passwd` has no line for.
    pub has_entry: bool,
}

/// Why a user string names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserError {
    /// No such name in `/etc/passwd`.
    UnknownUser(String),
    /// No such name in `/etc/group`.
    UnknownGroup(String),
    /// A number beyond 2³¹−1.
    OutOfRange(String),
    /// A file could not be read.
    Read { file: &'static str, source: SyscallError },
}

impl UserError {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => source.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An image's word: on one line whatever it is.
            Self::UnknownUser(name) => {
                let name = name.escape_debug();
                write!(f, "unable to find user {name}: no matching entries in passwd file")
            }
            Self::UnknownGroup(name) => {
                let name = name.escape_debug();
                write!(f, "unable to find group {name}: no matching entries in group file")
            }
            Self::OutOfRange(id) => write!(f, "resolve user {id:?}: id out of range"),
            Self::Read { file, source } => write!(f, "read {file:?}: {source}"),
        }
    }
}

impl std::error::Error for UserError {}

/// Resolves `user[:group]`, names or numbers (the empty string is `0`), in the
/// root file system that `root` opens. A group given with the user leaves the
/// user no other groups.
///
/// # Errors
/// [`UserError`]; a missing `/etc/passwd` or `/etc/group` counts as empty.
pub fn resolve(root: BorrowedFd<'_>, user: &str) -> Result<ResolvedUser, UserError> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let passwd = read(root, PASSWD)?;
    let entry = find_user(&passwd, name)?;
    let groups = read(root, GROUP)?;
    let (gid, additional_gids) = match group {
        Some(group) => (find_group(&groups, group)?, Vec::new()),
        None => (entry.gid, memberships(&groups, &entry)),
    };
    Ok(ResolvedUser {
        user: UserSpec { uid: entry.uid, gid, additional_gids },
        home: entry.home,
        has_entry: entry.name.is_some(),
    })
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// More than any real file has; an image cannot make podrt read without end.
const MAX_BYTES: u64 = 8 << 20;

/// Ids beyond are refused by runc too (they are negative to some programs).
const MAX_ID: u32 = i32::MAX.unsigned_abs();

#[derive(Debug)]
struct User {
    name: Option<String>,
    uid: u32,
    gid: u32,
    home: String,
}

/// The entry of that name, else of that number; a number needs none.
fn find_user(passwd: &str, wanted: &str) -> Result<User, UserError> {
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let entries = || passwd.lines().filter_map(parse_user);
    if let Some(user) = entries().find(|user| user.name.as_deref() == Some(wanted)) {
        return Ok(user);
    }
    let uid = number(wanted, UserError::UnknownUser)?;
    let numeric = User { name: None, uid, gid: 0, home: "/".to_owned() };
    Ok(entries().find(|user| user.uid == uid).unwrap_or(numeric))
}

/// `name:password:uid:gid:comment:home:shell`, later fields optional.
fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, uid, gid, ..] = fields[..] else { return None };
    let home = fields.get(5).copied().filter(|home| home.starts_with('/')).unwrap_or("/");
    Some(User { name: Some(name.to_owned()), uid: id(uid)?, gid: id(gid)?, home: home.to_owned() })
}

fn find_group(groups: &str, wanted: &str) -> Result<u32, UserError> {
    let named = groups.lines().filter_map(parse_group).find(|group| group.name == wanted);
    named.map_or_else(|| number(wanted, UserError::UnknownGroup), |group| Ok(group.gid))
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// `name:password:gid:member,member`.
fn parse_group(line: &str) -> Option<Group<'_>> {
    let fields: Vec<&str> = line.trim().split(':').collect();
    let [name, _, gid, ..] = fields[..] else { return None };
    Some(Group { name, gid: id(gid)?, members: fields.get(3).copied().unwrap_or("") })
}

fn memberships(groups: &str, user: &User) -> Vec<u32> {
    let Some(name) = user.name.as_deref() else { return Vec::new() };
    let mut gids: Vec<u32> = groups
        .lines()
        .filter_map(parse_group)
        .filter(|group| group.members.split(',').any(|member| member == name))
        .map(|group| group.gid)
        .collect();
    gids.sort_unstable();
    gids.dedup();
    gids
}

fn number(text: &str, unknown: fn(String) -> UserError) -> Result<u32, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown(text.to_owned()));
    }
    id(text).ok_or_else(|| UserError::OutOfRange(text.to_owned()))
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= MAX_ID)
}

/// A regular file inside the root, as text; empty when there is none.
fn read(root: BorrowedFd<'_>, file: &'static str) -> Result<String, UserError> {
    let failed = |source| UserError::Read { file, source };
    // A FIFO must not block, a device must not be read.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let fd = match InRoot::new(root).open(Path::new(file), flags) {
        Ok(fd) => fd,
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => {
            return Ok(String::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mode = path::stat(fd.as_fd()).map_err(failed)?.st_mode;
    if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(failed(SyscallError::new("open", "not a regular file", Errno::EINVAL)));
    }
    let mut bytes = Vec::new();
    File::from(fd)
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(SyscallError::from_io("read", "", &error)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const PASSWD_TEXT: &str = "\
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001::/home/app:/bin/sh

nohome:x:7:8
broken:x:y:z::/:
4242:x:5:6::/n:
huge:x:4294967295:0::/:
relative:x:9:9::home:
";
    const GROUP_TEXT: &str = "\
root:x:0:
wheel:x:10:root,app
app:x:1001:
extra:x:11:other,app
dup:x:10:app
77:x:70:
";

    fn root() -> (tempfile::TempDir, std::os::fd::OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), PASSWD_TEXT).unwrap();
        fs::write(dir.path().join("etc/group"), GROUP_TEXT).unwrap();
        let fd = fs::File::open(dir.path()).unwrap().into();
        (dir, fd)
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let (_dir, root) = root();
        for (text, uid, gid, groups, home) in [
            ("", 0, 0, &[10][..], "/root"),
            ("root", 0, 0, &[10], "/root"),
            ("app", 1000, 1001, &[10, 11], "/home/app"),
            ("1000", 1000, 1001, &[10, 11], "/home/app"),
            ("app:", 1000, 1001, &[10, 11], "/home/app"),
            ("app:wheel", 1000, 10, &[], "/home/app"),
            ("app:500", 1000, 500, &[], "/home/app"),
            (":wheel", 0, 10, &[], "/root"),
            ("555", 555, 0, &[], "/"),
            ("555:app", 555, 1001, &[], "/"),
            ("nohome", 7, 8, &[], "/"),
            ("4242", 5, 6, &[], "/n"),
            ("1:77", 1, 70, &[], "/"),
            ("relative", 9, 9, &[], "/"),
        ] {
            let found = resolve(root.as_fd(), text).unwrap();
            let user = UserSpec { uid, gid, additional_gids: groups.to_vec() };
            assert_eq!((found.user, found.home.as_str()), (user, home), "{text}");
        }
    }

    #[test]
    fn who_is_not_there_is_said_in_the_words_callers_know() {
        let (_dir, root) = root();
        let message = |text| resolve(root.as_fd(), text).unwrap_err().to_string();
        assert_eq!(message("who"), "unable to find user who: no matching entries in passwd file");
        assert_eq!(
            message("app:who"),
            "unable to find group who: no matching entries in group file"
        );
        assert_eq!(
            message("broken"),
            "unable to find user broken: no matching entries in passwd file"
        );
        assert_eq!(message("4294967295"), "resolve user \"4294967295\": id out of range");
        assert_eq!(message("-1"), "unable to find user -1: no matching entries in passwd file");
    }

    #[test]
    fn a_symlink_of_the_image_stays_in_the_image() {
        let (dir, root) = root();
        fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        symlink("/etc/passwd.real", dir.path().join("etc/passwd")).unwrap();
        assert!(!resolve(root.as_fd(), "0").unwrap().has_entry);
        fs::write(dir.path().join("etc/passwd.real"), "me:x:3:4::/me:\n").unwrap();
        assert_eq!(resolve(root.as_fd(), "me").unwrap().home, "/me");
    }

    #[test]
    fn a_fifo_in_the_image_does_not_block() {
        let (dir, root) = root();
        let path = dir.path().join("etc/passwd");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(resolve(root.as_fd(), "0"), Err(UserError::Read { .. })));
    }

    proptest! {
        #[test]
        fn no_file_content_makes_it_panic(passwd in ".{0,200}", user in "[a-z0-9:]{0,6}") {
            let _ = find_user(&passwd, &user);
            let _ = find_group(&passwd, &user);
        }
    }
}
