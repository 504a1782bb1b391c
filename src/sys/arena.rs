//! An allocator for programs that are over in a moment.
//!
//! A short verb parses one JSON file, makes a container and exits; what it
//! frees it never needs again. The C library's allocator takes three times as
//! long for that as this one, which hands out a static arena from front to
//! back and takes nothing back but the latest piece. When the arena is full,
//! the C library's goes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

const ARENA_BYTES: usize = 256 * 1024;

/// The arena, then the system's allocator.
#[derive(Debug)]
pub struct Arena {
    used: AtomicUsize,
    bytes: Bytes,
}

#[derive(Debug)]
#[repr(align(64))]
struct Bytes(UnsafeCell<[u8; ARENA_BYTES]>);

// SAFETY: the bytes are reached only through pointers to disjoint pieces,
// which `used` deals out atomically.
unsafe impl Sync for Bytes {}

impl Arena {
    /// An empty arena: zeroes, which cost no room in the executable.
    #[must_use]
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), bytes: Bytes(UnsafeCell::new([0; ARENA_BYTES])) }
    }

    fn base(&self) -> *mut u8 {
        self.bytes.0.get().cast()
    }

    /// The offset of a piece of this arena.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece.addr().wrapping_sub(self.base().addr());
        (offset < ARENA_BYTES).then_some(offset)
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let align = layout.align();
        // The arena itself is aligned to 64 only.
        if align > 64 {
            return None;
        }
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let start = used.checked_add(align - 1)? & !(align - 1);
            let end = start.checked_add(layout.size()).filter(|end| *end <= ARENA_BYTES)?;
            match self.used.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                // SAFETY: `start` is within the arena.
                Ok(_) => return Some(unsafe { self.base().add(start) }),
                Err(now) => used = now,
            }
        }
    }

    /// Moves the end of the piece at `start` from `from` to `to`, if that piece
    /// is the latest.
    fn move_end(&self, start: usize, from: usize, to: usize) -> bool {
        start.checked_add(to).is_some_and(|end| end <= ARENA_BYTES)
            && self
                .used
                .compare_exchange(start + from, start + to, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: a piece is either a range of the arena that `take` gives out once
// (again only after `move_end` proved it to be the latest and took it back),
// or the system's; which of the two is told by its address.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(piece) => piece,
            // SAFETY: the caller keeps the contract of `alloc`.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(start) => {
                self.move_end(start, layout.size(), 0);
            }
            // SAFETY: it is not the arena's, so it is the system's.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.offset(piece) else {
            // SAFETY: it is not the arena's, so it is the system's.
            return unsafe { System.realloc(piece, layout, size) };
        };
        if size <= layout.size() || self.move_end(start, layout.size(), size) {
            return piece;
        }
        let Ok(larger) = Layout::from_size_align(size, layout.align()) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the new piece is larger than the old one and apart from it,
        // which the caller hands over with its contents.
        unsafe {
            let new = self.alloc(larger);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(piece, new, layout.size());
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn pieces_are_aligned_apart_and_keep_their_contents_when_they_grow() {
        let arena = Box::new(Arena::new());
        // SAFETY: each piece is used within its layout and freed as it was made.
        unsafe {
            let a = arena.alloc(layout(3, 1));
            let b = arena.alloc(layout(64, 64));
            assert_eq!(b.addr() % 64, 0);
            assert!(b.addr() >= a.addr() + 3);
            a.copy_from(b"abc".as_ptr(), 3);
            let grown = arena.realloc(a, layout(3, 1), 100);
            assert_ne!(grown, a, "b is behind it");
            assert_eq!(std::slice::from_raw_parts(grown, 3), b"abc");
            assert_eq!(
                arena.realloc(grown, layout(100, 1), 200),
                grown,
                "the latest grows in place"
            );
            arena.dealloc(grown, layout(200, 1));
            assert_eq!(arena.alloc(layout(200, 1)), grown, "and is given out again");
        }
    }

    #[test]
    fn a_full_arena_hands_over_to_the_system() {
        let arena = Box::new(Arena::new());
        // SAFETY: as above.
        unsafe {
            let large = arena.alloc(layout(ARENA_BYTES - 10, 1));
            let beyond = arena.alloc(layout(100, 1));
            assert!(arena.offset(large).is_some() && arena.offset(beyond).is_none());
            let moved = arena.realloc(large, layout(ARENA_BYTES - 10, 1), ARENA_BYTES * 2);
            assert!(arena.offset(moved).is_none());
            arena.dealloc(moved, layout(ARENA_BYTES * 2, 1));
            arena.dealloc(beyond, layout(100, 1));
            assert_eq!(arena.alloc(layout(8, 128)).addr() % 128, 0);
        }
    }
}
