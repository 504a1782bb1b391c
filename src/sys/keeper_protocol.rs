//! What a keeper and the crate tell each other; compiled into both, so without
//! a standard library.
//!
//! # The hand-over table
//! A process that becomes a keeper (a fresh one, or a shim whose keeper died)
//! and a shim that a keeper starts find at [`TABLE_FD`] a memfd: one
//! [`Entry`] of [`MAGIC`], then one for each fd that is handed over. The fds
//! themselves are inherited at the numbers the entries tell, all of them at
//! least [`FIRST_FREE_FD`]. Whoever adopts a table sets close-on-exec on them
//! at once. Keys beginning with `@` are the keeper's own, the others are the
//! shim's and mean nothing to the keeper.
//!
//! # The control socket
//! A shim finds at [`CONTROL_FD`] its end of a `SOCK_SEQPACKET` pair. A message
//! is one byte of kind, then a key where the kind has one.
//!
//! | from   | kind        | meaning                                              |
//! |--------|-------------|------------------------------------------------------|
//! | shim   | [`HOLD`]    | keep the fd that comes along (`SCM_RIGHTS`) under this key, in place of an older one |
//! | shim   | [`RELEASE`] | close what this key holds                            |
//! | shim   | [`ALIVE`]   | start-up succeeded; from now on start me again for ever |
//! | keeper | [`EXITS`]   | the exits file has grown                             |
//! | keeper | [`REFUSED`] | this key could not be held (table full, no fd left)  |
//!
//! There is no acknowledgement: what a shim sent is in the keeper's queue and
//! is read even when the shim dies right after. End of file means that the
//! other side is gone.
//!
//! # The exits file
//! One line for each child that the keeper reaped and that was not its shim,
//! appended with one write:
//! `PID START STATUS BOOT WALL CGROUP\n` — start time in clock ticks since boot
//! (field 22 of `/proc/PID/stat`, 0 when unreadable), status as `wait4(2)`
//! encodes it, nanoseconds of `CLOCK_BOOTTIME` and `CLOCK_REALTIME`, and the
//! path in the cgroup2 hierarchy (last, may hold spaces, `-` when unreadable).
//!
//! # Ends
//! A shim that ends with [`FINISHED`] takes its keeper along (exit code 0).
//! After any other end the keeper starts it again: at once for the first
//! [`PROMPT_RESTARTS`] in a row that lived under [`SETTLED_MS`], then after
//! [`FIRST_DELAY_MS`], doubling up to [`LAST_DELAY_MS`]. A shim that never got
//! to `ALIVE` is given up after the prompt ones (exit code 1).

/// Where a hand-over table is found.
pub const TABLE_FD: i32 = 3;
/// Where a shim finds its control socket.
pub const CONTROL_FD: i32 = 4;
/// The least number an inherited fd may have.
pub const FIRST_FREE_FD: i32 = 10;

/// The key of the first entry; its `fd` is the number of entries that follow.
pub const MAGIC: &[u8] = b"podrt keeper table 1";
/// The shim's executable, readable or `O_PATH`.
pub const SHIM_KEY: &[u8] = b"@shim";
/// The exits file, opened for appending.
pub const EXITS_KEY: &[u8] = b"@exits";

/// The longest key in bytes.
pub const KEY_BYTES: usize = 120;
/// The most fds a keeper holds, its own ones included.
pub const TABLE_ENTRIES: usize = 2048;

/// Shim to keeper, with a key and one fd.
pub const HOLD: u8 = b'H';
/// Shim to keeper, with a key.
pub const RELEASE: u8 = b'D';
/// Shim to keeper.
pub const ALIVE: u8 = b'A';
/// Keeper to shim.
pub const EXITS: u8 = b'E';
/// Keeper to shim, with a key.
pub const REFUSED: u8 = b'R';

/// The exit code of a shim that has nothing left to do; not 0, so that a shim
/// that merely falls out of `main` is started again.
pub const FINISHED: i32 = 42;
/// A keeper without a usable table.
pub const BAD_TABLE: i32 = 2;

/// A shim that lived this long has started well.
pub const SETTLED_MS: u64 = 1000;
/// How many quick deaths in a row are answered without a delay.
pub const PROMPT_RESTARTS: u32 = 5;
/// The first delay after those.
pub const FIRST_DELAY_MS: u64 = 100;
/// The longest delay.
pub const LAST_DELAY_MS: u64 = 10_000;

/// One fd of a hand-over table, as it lies in the memfd.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Entry {
    /// The number the fd is inherited at.
    pub fd: i32,
    /// How many bytes of `key` count.
    pub len: u32,
    /// The rest is zero.
    pub key: [u8; KEY_BYTES],
}

/// The size of an [`Entry`] in the memfd.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

impl Entry {
    /// An unused entry.
    pub const EMPTY: Self = Self { fd: -1, len: 0, key: [0; KEY_BYTES] };

    /// An entry; `None` when the key is empty or too long.
    pub fn new(fd: i32, key: &[u8]) -> Option<Self> {
        let mut entry = Self { fd, len: u32::try_from(key.len()).ok()?, ..Self::EMPTY };
        if key.is_empty() {
            return None;
        }
        entry.key.get_mut(..key.len())?.copy_from_slice(key);
        Some(entry)
    }

    /// The key; empty for a malformed entry.
    pub fn key(&self) -> &[u8] {
        self.key.get(..self.len as usize).unwrap_or(&[])
    }
}

const _: () = assert!(ENTRY_BYTES == 128);
