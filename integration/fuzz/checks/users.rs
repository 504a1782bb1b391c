//! `/etc/passwd` and `/etc/group` of an image: whoever they make of a user, the
//! ids are in range and the words fit on one line. Three parts, with NUL between
//! them: who is looked for, and the two files.

use std::fs;
use std::os::fd::AsFd;

use podrt::rootfs::users;

pub fn check(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let Ok(wanted) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let root = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(root.path().join("etc")).expect("folder");
    for (file, text) in ["etc/passwd", "etc/group"].into_iter().zip(parts) {
        fs::write(root.path().join(file), text).expect("file");
    }
    let root = fs::File::open(root.path()).expect("folder");
    match users::resolve(root.as_fd(), wanted) {
        Err(problem) => assert!(!problem.to_string().contains('\n'), "{problem}"),
        Ok(found) => {
            let (user, max) = (&found.user, i32::MAX.unsigned_abs());
            let groups = &user.additional_gids;
            assert!(groups.iter().chain([&user.uid, &user.gid]).all(|&id| id <= max), "{user:?}");
            assert!(groups.is_sorted_by(|one, next| one < next), "{groups:?}");
            assert!(found.home.starts_with('/') && !found.home.contains(['\n', ':']));
            let (name, group) = wanted.split_once(':').unwrap_or((wanted, ""));
            if let Ok(gid) = group.parse::<u32>()
                && bytes.iter().filter(|&&byte| byte == 0).count() < 2
            {
                assert_eq!((user.gid, groups.len()), (gid, 0), "a number needs no entry");
            }
            if !found.has_entry {
                assert!(name.is_empty() || name.parse() == Ok(user.uid), "{name:?} is {user:?}");
            }
        }
    }
}
