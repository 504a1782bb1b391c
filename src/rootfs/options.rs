//! Mount options: the words of fstab, runc's extensions, and what is left for
//! the file system itself.

use crate::sys::mount::{Propagation, attr};

/// A change of per-mount attributes: later options win over earlier ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub set: u64,
    pub clear: u64,
}

impl Change {
    fn put(&mut self, bit: u64) {
        self.set |= bit;
        self.clear &= !bit;
    }

    fn take(&mut self, bit: u64) {
        self.set &= !bit;
        self.clear |= bit;
    }

    /// The access time setting is one field: clear it whole, then set.
    fn access_time(&mut self, value: u64) {
        self.clear |= attr::ATIME_FIELD;
        self.set = self.set & !attr::ATIME_FIELD | value;
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub fn is_readonly(self) -> bool {
        self.set & attr::RDONLY != 0
    }
}

/// Which id mapping a bind mount wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdMap {
    /// `idmap`: the mount itself.
    Top,
    /// `ridmap`: all mounts below it too.
    Recursive,
}

/// What a mount's options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `bind` (false) or `rbind` (true).
    pub bind: Option<bool>,
    pub remount: bool,
    pub attributes: Change,
    /// `rro`, `rnosuid`, …: for all mounts of the tree.
    pub recursive: Change,
    /// In the order given; true is recursive.
    pub propagation: Vec<(Propagation, bool)>,
    /// Flags of the super block, as `fsconfig(2)` names them.
    pub super_flags: Vec<&'static str>,
    /// The file system's own options: key, and value where there is a `=`.
    pub data: Vec<(String, Option<String>)>,
    pub id_map: Option<IdMap>,
    /// `tmpcopyup`: a tmpfs starts with what it covers.
    pub copy_up: bool,
}

impl MountOptions {
    /// Reads options; what no table knows belongs to the file system.
    pub fn parse<S: AsRef<str>>(options: &[S]) -> Self {
        let mut parsed = Self::default();
        for option in options.iter().map(AsRef::as_ref) {
            let known = parsed.verb(option)
                || parsed.attribute(option)
                || parsed.recursive_attribute(option)
                || parsed.spread(option)
                || parsed.super_flag(option);
            if !known && !option.is_empty() {
                parsed.data.push(match option.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (option.to_owned(), None),
                });
            }
        }
        parsed
    }

    fn verb(&mut self, option: &str) -> bool {
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "idmap" => self.id_map = Some(IdMap::Top),
            "ridmap" => self.id_map = Some(IdMap::Recursive),
            "tmpcopyup" => self.copy_up = true,
            // `silent` and `loud` only choose what the kernel logs; without
            // `iversion`, which is the file system's own, there is none.
            "defaults" | "silent" | "loud" | "noiversion" => {}
            _ => return false,
        }
        true
    }

    fn attribute(&mut self, option: &str) -> bool {
        apply_attribute(&mut self.attributes, option)
    }

    fn recursive_attribute(&mut self, option: &str) -> bool {
        option.strip_prefix('r').is_some_and(|plain| {
            // `relatime` and `remount` start with an r of their own.
            option != "relatime" && apply_attribute(&mut self.recursive, plain)
        })
    }

    fn spread(&mut self, option: &str) -> bool {
        let found = propagation(option);
        self.propagation.extend(found);
        found.is_some()
    }

    fn super_flag(&mut self, option: &str) -> bool {
        let (flag, opposite) = match option {
            "sync" => ("sync", "async"),
            "async" => ("async", "sync"),
            "dirsync" => ("dirsync", ""),
            "mand" => ("mand", "nomand"),
            "nomand" => ("nomand", "mand"),
            "lazytime" => ("lazytime", "nolazytime"),
            "nolazytime" => ("nolazytime", "lazytime"),
            "acl" => ("posixacl", ""),
            "noacl" => ("", "posixacl"),
            _ => return false,
        };
        self.super_flags.retain(|set| *set != opposite && *set != flag);
        if !flag.is_empty() {
            self.super_flags.push(flag);
        }
        true
    }
}

/// `private`, `rshared`, …: the propagation and whether it is recursive.
pub fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

fn apply_attribute(change: &mut Change, option: &str) -> bool {
    match option {
        "ro" => change.put(attr::RDONLY),
        "rw" => change.take(attr::RDONLY),
        "nosuid" => change.put(attr::NOSUID),
        "suid" => change.take(attr::NOSUID),
        "nodev" => change.put(attr::NODEV),
        "dev" => change.take(attr::NODEV),
        "noexec" => change.put(attr::NOEXEC),
        "exec" => change.take(attr::NOEXEC),
        "nodiratime" => change.put(attr::NODIRATIME),
        "diratime" => change.take(attr::NODIRATIME),
        "nosymfollow" => change.put(attr::NOSYMFOLLOW),
        "symfollow" => change.take(attr::NOSYMFOLLOW),
        "noatime" => change.access_time(attr::NOATIME),
        "strictatime" => change.access_time(attr::STRICTATIME),
        "relatime" | "atime" | "nostrictatime" => change.access_time(attr::RELATIME),
        // Without relatime a mount has what it had.
        "norelatime" => {}
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attributes(options: &[&str]) -> (u64, u64) {
        let parsed = MountOptions::parse(options).attributes;
        (parsed.set, parsed.clear)
    }

    #[test]
    fn every_word_of_runc_has_its_attribute() {
        let field = attr::ATIME_FIELD;
        for (option, set, clear) in [
            ("ro", attr::RDONLY, 0),
            ("rw", 0, attr::RDONLY),
            ("nosuid", attr::NOSUID, 0),
            ("suid", 0, attr::NOSUID),
            ("nodev", attr::NODEV, 0),
            ("dev", 0, attr::NODEV),
            ("noexec", attr::NOEXEC, 0),
            ("exec", 0, attr::NOEXEC),
            ("nodiratime", attr::NODIRATIME, 0),
            ("diratime", 0, attr::NODIRATIME),
            ("nosymfollow", attr::NOSYMFOLLOW, 0),
            ("symfollow", 0, attr::NOSYMFOLLOW),
            ("noatime", attr::NOATIME, field),
            ("atime", 0, field),
            ("relatime", 0, field),
            ("norelatime", 0, 0),
            ("strictatime", attr::STRICTATIME, field),
            ("nostrictatime", 0, field),
        ] {
            assert_eq!(attributes(&[option]), (set, clear), "{option}");
            let recursive = format!("r{option}");
            let parsed = MountOptions::parse(&[recursive.as_str()]);
            assert_eq!(parsed.recursive, Change { set, clear }, "{recursive}");
            assert_eq!(parsed.data, [], "{recursive}");
        }
    }

    #[test]
    fn words_that_change_nothing_are_not_given_to_the_file_system() {
        for option in ["defaults", "silent", "loud", "noiversion", ""] {
            assert_eq!(MountOptions::parse(&[option]), MountOptions::default(), "{option}");
        }
    }

    #[test]
    fn a_later_option_wins() {
        assert_eq!(attributes(&["ro", "rw"]), (0, attr::RDONLY));
        assert_eq!(attributes(&["rw", "ro"]), (attr::RDONLY, 0));
        assert_eq!(attributes(&["noatime", "strictatime"]), (attr::STRICTATIME, attr::ATIME_FIELD));
        let parsed = MountOptions::parse(&["sync", "async"]);
        assert_eq!(parsed.super_flags, ["async"]);
    }

    #[test]
    fn verbs_propagation_and_data_find_their_places() {
        let parsed = MountOptions::parse(&[
            "rbind",
            "bind",
            "ridmap",
            "tmpcopyup",
            "rslave",
            "shared",
            "mode=1777",
            "newinstance",
            "lowerdir=/a=b",
        ]);
        assert_eq!(parsed.bind, Some(true));
        assert_eq!(parsed.id_map, Some(IdMap::Recursive));
        assert!(parsed.copy_up);
        assert_eq!(parsed.propagation, [(Propagation::Slave, true), (Propagation::Shared, false)]);
        let text = |s: &str| s.to_owned();
        assert_eq!(
            parsed.data,
            [
                (text("mode"), Some(text("1777"))),
                (text("newinstance"), None),
                (text("lowerdir"), Some(text("/a=b"))),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bit_is_both_set_and_cleared_but_in_the_access_time_field(
            options in proptest::collection::vec("(r?(ro|rw|suid|nosuid|noatime|strictatime|atime))|[a-z=,]{0,8}", 0..12)
        ) {
            let parsed = MountOptions::parse(&options);
            for change in [parsed.attributes, parsed.recursive] {
                prop_assert_eq!(change.set & change.clear & !attr::ATIME_FIELD, 0);
            }
        }
    }
}
