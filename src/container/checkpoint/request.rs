//! What is asked of criu, and what it answers. Source: criu's `rpc.proto`,
//! whose numbers these are.

use std::os::fd::RawFd;

use super::options::{CgroupMode, PageServer, Shared};
use super::wire::{Message, Value, fields};

/// `criu_req_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

/// Of the options that criu has, those that are of use here (`criu_opts`).
#[derive(Debug, Default)]
pub(super) struct Options(Message);

/// Everything is logged: only then does the log tell why something failed.
const LOG_LEVEL: u64 = 4;
const CLONE_NEWNET: u64 = 0x4000_0000;

impl Options {
    pub(super) fn new(log_file: &str, shared: Shared) -> Self {
        let mut message = Message::default();
        message
            .switch(4, shared.ext_unix_sk)
            .switch(5, shared.tcp_established)
            .switch(7, shared.shell_job)
            .switch(8, shared.file_locks)
            .number(9, LOG_LEVEL)
            .text(10, log_file)
            .switch(12, true) // tell of each stage
            .switch(16, shared.auto_dedup)
            .switch(24, true)
            .number(34, cgroup_mode(shared.cgroups))
            .switch(48, shared.lazy_pages)
            .switch(50, true); // a terminal whose master is outside
        if shared.empty_network {
            message.number(38, CLONE_NEWNET);
        }
        Self(message)
    }

    /// The folders of images and logs, as descriptors of criu's.
    pub(super) fn folders(&mut self, images: RawFd, work: Option<RawFd>) {
        self.0.small(1, images);
        if let Some(work) = work {
            self.0.small(17, work);
        }
    }

    /// The process tree to dump.
    pub(super) fn pid(&mut self, pid: i32) {
        self.0.small(2, pid);
    }

    pub(super) fn leave_running(&mut self, on: bool) {
        self.0.switch(3, on);
    }

    /// Any path will do to a device node whose own is out of reach.
    pub(super) fn evasive_devices(&mut self) {
        self.0.switch(6, true);
    }

    pub(super) fn root(&mut self, path: &str) {
        self.0.text(13, path);
    }

    /// The images of a pre-dump; what is not written since is left to them.
    pub(super) fn parent(&mut self, path: &str) {
        self.0.text(14, path).switch(15, true);
    }

    /// Writes to memory are kept track of from now on.
    pub(super) fn track_memory(&mut self) {
        self.0.switch(15, true);
    }

    pub(super) fn link_remap(&mut self, on: bool) {
        self.0.switch(18, on);
    }

    pub(super) fn tcp_skip_in_flight(&mut self, on: bool) {
        self.0.switch(46, on);
    }

    pub(super) fn page_server(&mut self, server: &PageServer) {
        let mut info = Message::default();
        info.text(1, &server.address).number(2, u64::from(server.port));
        self.0.message(11, &info);
    }

    /// A mount that is not the container's own: `mount_point` to `name` in a
    /// dump, `name` to a path of the host in a restore.
    pub(super) fn external_mount(&mut self, key: &str, value: &str) {
        let mut pair = Message::default();
        pair.text(1, key).text(2, value);
        self.0.message(23, &pair);
    }

    pub(super) fn external(&mut self, resource: &str) {
        self.0.text(37, resource);
    }

    /// The cgroup of the restored processes in one hierarchy; the one of
    /// version 2 is nameless.
    pub(super) fn cgroup_root(&mut self, controller: &str, path: &str) {
        let mut root = Message::default();
        root.text(1, controller).text(2, path);
        self.0.message(25, &root);
    }

    /// The first process becomes our child, not criu's.
    pub(super) fn sibling(&mut self) {
        self.0.switch(26, true);
    }

    /// criu's own descriptor `fd` takes the place of what `key` names.
    pub(super) fn inherit(&mut self, key: &str, fd: RawFd) {
        let mut inherited = Message::default();
        inherited.text(1, key).small(2, fd);
        self.0.message(27, &inherited);
    }

    pub(super) fn join_namespace(&mut self, kind: &str, path: &str) {
        let mut namespace = Message::default();
        namespace.text(1, kind).text(2, path);
        self.0.message(39, &namespace);
    }

    /// Where the processes are frozen while they are dumped.
    pub(super) fn freeze_cgroup(&mut self, folder: &str) {
        self.0.text(44, folder);
    }

    pub(super) fn config_file(&mut self, path: &str) {
        self.0.text(51, path);
    }

    pub(super) fn lsm_profile(&mut self, profile: &str) {
        self.0.text(53, profile);
    }

    pub(super) fn lsm_mount_context(&mut self, context: &str) {
        self.0.text(63, context);
    }
}

fn cgroup_mode(mode: CgroupMode) -> u64 {
    match mode {
        CgroupMode::Ignore => 0,
        CgroupMode::Soft => 3,
        CgroupMode::Full => 4,
        CgroupMode::Strict => 5,
        CgroupMode::Default => 6,
    }
}

/// A request of `kind`.
pub(super) fn request(kind: Kind, options: Option<&Options>) -> Message {
    let mut message = Message::default();
    message.number(1, kind as u64);
    if let Some(options) = options {
        message.message(2, &options.0);
    }
    if kind == Kind::Notify {
        message.switch(3, true);
    }
    if kind == Kind::FeatureCheck {
        let mut wanted = Message::default();
        wanted.switch(1, true).switch(2, true);
        message.message(5, &wanted);
    }
    message
}

/// What criu says: `criu_resp`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) kind: u64,
    pub(super) success: bool,
    /// The stage it has come to and waits at.
    pub(super) stage: String,
    /// The process that the stage is about, or the one that was restored.
    pub(super) pid: i32,
    pub(super) errno: i32,
    pub(super) problem: String,
    pub(super) version: u64,
    pub(super) tracks_memory: bool,
    pub(super) lazy_pages: bool,
}

impl Response {
    /// `None` when the bytes are no message.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut response = Self::default();
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (1, value) => response.kind = value.number(),
                (2, value) => response.success = value.number() != 0,
                (4, Value::Bytes(inner)) => {
                    let pid = fields(inner)?.into_iter().find(|(field, _)| *field == 1);
                    response.pid = pid.map_or(0, |(_, value)| value.signed());
                }
                (5, Value::Bytes(inner)) => response.read_notice(inner)?,
                (7, value) => response.errno = value.signed(),
                (8, Value::Bytes(inner)) => response.read_features(inner)?,
                (9, value) => response.problem = value.text(),
                (10, Value::Bytes(inner)) => response.read_version(inner)?,
                _ => {}
            }
        }
        Some(response)
    }

    fn read_notice(&mut self, bytes: &[u8]) -> Option<()> {
        for (field, value) in fields(bytes)? {
            match field {
                1 => self.stage = value.text(),
                2 => self.pid = value.signed(),
                _ => {}
            }
        }
        Some(())
    }

    fn read_features(&mut self, bytes: &[u8]) -> Option<()> {
        for (field, value) in fields(bytes)? {
            match field {
                1 => self.tracks_memory = value.number() != 0,
                2 => self.lazy_pages = value.number() != 0,
                _ => {}
            }
        }
        Some(())
    }

    /// As criu itself makes one number of it: 3.17.1 is 31701; a version
    /// between two releases counts as the next.
    fn read_version(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut major, mut minor, mut sub, mut git) = (0, 0, 0, false);
        for (field, value) in fields(bytes)? {
            match field {
                1 => major = value.number(),
                2 => minor = value.number(),
                3 => git = true,
                4 => sub = value.number(),
                _ => {}
            }
        }
        if git {
            (minor, sub) = (minor.saturating_add(1), 0);
        }
        let parts = major.checked_mul(10_000)?.checked_add(minor.checked_mul(100)?)?;
        self.version = parts.checked_add(sub)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criu_says_is_read() {
        let mut version = Message::default();
        version.number(1, 3).number(2, 17).number(4, 1);
        let mut notice = Message::default();
        notice.text(1, "post-restore").small(2, 4711);
        let mut answer = Message::default();
        answer.number(1, 6).switch(2, true).message(5, &notice).message(10, &version);
        let read = Response::read(answer.as_bytes()).unwrap();
        let wanted = Response {
            kind: 6,
            success: true,
            stage: "post-restore".to_owned(),
            pid: 4711,
            version: 31701,
            ..Response::default()
        };
        assert_eq!(read, wanted);
        version.text(3, "v3.17.1-12-gabc");
        let mut answer = Message::default();
        answer.message(10, &version);
        assert_eq!(Response::read(answer.as_bytes()).unwrap().version, 31800);
        assert_eq!(Response::read(b"\x08"), None);
    }

    #[test]
    fn a_request_names_its_kind_and_its_options() {
        let mut options = Options::default();
        options.pid(7);
        assert_eq!(request(Kind::Dump, Some(&options)).as_bytes(), b"\x08\x01\x12\x02\x10\x07");
        assert_eq!(request(Kind::Notify, None).as_bytes(), b"\x08\x06\x18\x01");
    }
}
