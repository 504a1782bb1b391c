//! The fds a keeper holds, by key.

use core::cell::UnsafeCell;

use super::calls;
use super::protocol::{ENTRY_BYTES, Entry, FIRST_FREE_FD, MAGIC, TABLE_ENTRIES, TABLE_FD};

/// The table, in memory as in the memfd that hands it over: the head, whose
/// `fd` counts the entries, then these. A page of it is touched only when
/// entries lie there.
#[repr(C)]
pub struct Table {
    head: Entry,
    entries: [Entry; TABLE_ENTRIES],
}

/// Room for the one table of this process.
pub struct Static(UnsafeCell<Table>);

// SAFETY: the program has one thread.
unsafe impl Sync for Static {}

impl Static {
    /// The table; the caller sees to it that one reference exists at a time.
    pub fn get(&self) -> *mut Table {
        self.0.get()
    }
}

// All zero bytes, so that it costs nothing in the file.
const ZERO: Entry = Entry { fd: 0, len: 0, key: [0; super::protocol::KEY_BYTES] };
pub static TABLE: Static =
    Static(UnsafeCell::new(Table { head: ZERO, entries: [ZERO; TABLE_ENTRIES] }));

impl Table {
    /// Reads the table that was handed over and closes its fds to later execs;
    /// false when it is malformed.
    pub fn adopt(&mut self) -> bool {
        let head_at = &raw mut self.head as *mut u8;
        // SAFETY: an Entry is plain bytes of this size; any bytes are valid.
        let head = unsafe { core::slice::from_raw_parts_mut(head_at, ENTRY_BYTES) };
        if calls::pread(TABLE_FD, head, 0) != ENTRY_BYTES as isize || self.head.key() != MAGIC {
            return false;
        }
        let count = self.count();
        if count > TABLE_ENTRIES {
            return false;
        }
        let entries_at = self.entries.as_mut_ptr().cast::<u8>();
        // SAFETY: as above, and `count` entries lie within the array.
        let bytes =
            unsafe { core::slice::from_raw_parts_mut(entries_at, count * ENTRY_BYTES) };
        if calls::pread(TABLE_FD, bytes, ENTRY_BYTES) != bytes.len() as isize {
            return false;
        }
        calls::set_close_on_exec(TABLE_FD);
        self.held().iter().all(|entry| {
            entry.fd >= FIRST_FREE_FD && !entry.key().is_empty() && calls::set_close_on_exec(entry.fd)
        })
    }

    /// Writes the table for whoever adopts it next; false when that failed.
    pub fn publish(&self) -> bool {
        let len = (self.count() + 1) * ENTRY_BYTES;
        let all_at = &raw const *self as *const u8;
        // SAFETY: `repr(C)` puts the head right before the entries, and `count`
        // of them lie within the array.
        let bytes = unsafe { core::slice::from_raw_parts(all_at, len) };
        calls::truncate(TABLE_FD, len) && calls::pwrite(TABLE_FD, bytes, 0) == len as isize
    }

    /// Lets the next exec pass on every fd; for a forked child only.
    pub fn make_inheritable(&self) {
        for entry in self.held() {
            calls::set_inheritable(entry.fd);
        }
    }

    /// The fd under `key`.
    pub fn find(&self, key: &[u8]) -> Option<i32> {
        self.held().iter().find(|entry| entry.key() == key).map(|entry| entry.fd)
    }

    /// Takes `fd`, closing an older one of this key; false when there is no
    /// room, and then `fd` stays the caller's.
    pub fn hold(&mut self, key: &[u8], fd: i32) -> bool {
        let Some(fd) = calls::raise(fd) else { return false };
        let Some(entry) = Entry::new(fd, key) else { return false };
        let known = self.held().iter().position(|entry| entry.key() == key);
        let at = known.unwrap_or(self.count());
        let Some(slot) = self.entries.get_mut(at) else { return false };
        let old = core::mem::replace(slot, entry);
        match known {
            Some(_) => calls::close(old.fd),
            None => self.head.fd += 1,
        }
        true
    }

    /// Closes what `key` holds, if anything.
    pub fn release(&mut self, key: &[u8]) {
        let Some(at) = self.held().iter().position(|entry| entry.key() == key) else { return };
        let last = self.count() - 1;
        let Some(&moved) = self.entries.get(last) else { return };
        if let Some(slot) = self.entries.get_mut(at) {
            calls::close(slot.fd);
            *slot = moved;
            self.head.fd = last as i32;
        }
    }

    fn count(&self) -> usize {
        self.head.fd as usize
    }

    fn held(&self) -> &[Entry] {
        self.entries.get(..self.count()).unwrap_or(&[])
    }
}
