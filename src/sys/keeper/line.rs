//! Lines of text without an allocator.

use super::calls;

/// Longest line: five numbers and a cgroup path of ordinary length. Small, for
/// every page of stack that is ever touched stays.
const CAPACITY: usize = 512;

/// A line under construction; what does not fit is cut off.
pub struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Line {
    /// A line that begins with `text`.
    pub fn new(text: &[u8]) -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }.text(text)
    }

    /// Appends bytes.
    pub fn text(mut self, text: &[u8]) -> Self {
        for &byte in text {
            self.push(byte);
        }
        self
    }

    /// Appends a number in decimal.
    pub fn number(mut self, number: impl Into<i64>) -> Self {
        let number: i64 = number.into();
        if number < 0 {
            self.push(b'-');
        }
        let mut digits = [0_u8; 20];
        let mut rest = number.unsigned_abs();
        let mut count = 0;
        for digit in &mut digits {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        for &digit in digits.iter().take(count).rev() {
            self.push(digit);
        }
        self
    }

    // One byte stays free for the newline.
    fn push(&mut self, byte: u8) {
        if self.len < CAPACITY - 1
            && let Some(slot) = self.bytes.get_mut(self.len)
        {
            *slot = byte;
            self.len += 1;
        }
    }

    /// What the line holds.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Writes the line and a newline at once; false when that failed.
    pub fn append_to(&self, fd: i32) -> bool {
        let mut with_end = self.bytes;
        if let Some(slot) = with_end.get_mut(self.len) {
            *slot = b'\n';
        }
        let whole = with_end.get(..self.len + 1).unwrap_or(&[]);
        calls::write(fd, whole) == whole.len() as isize
    }

    /// Writes the line to stderr, with the program's name before it.
    #[cold]
    #[inline(never)]
    pub fn log(&self) {
        Self::new(b"podrt-keeper: ").text(self.bytes()).append_to(2);
    }
}
