//! The keys that leave a terminal without ending what runs in it.

/// A sequence of keys, and how much of it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetachKeys {
    sequence: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`: letters and `ctrl-` with a letter or one of
    /// `@[\]^_`, with commas between; nothing for none.
    ///
    /// # Errors
    /// The part that is no key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = text.split(',').filter(|_| !text.is_empty());
        let sequence = keys.map(key).collect::<Result<_, _>>()?;
        Ok(Self { sequence, typed: 0 })
    }

    /// Takes in what was typed: what is to be passed on, and whether the
    /// sequence is complete (then the rest is dropped). Keys that may begin the
    /// sequence are held back until it is clear that they do not.
    pub fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.sequence.is_empty() {
                pass.push(byte);
                continue;
            }
            if byte != self.sequence[self.typed] {
                pass.extend_from_slice(&self.sequence[..self.typed]);
                self.typed = 0;
            }
            if byte == self.sequence[self.typed] {
                self.typed += 1;
                if self.typed == self.sequence.len() {
                    self.typed = 0;
                    return (pass, true);
                }
            } else {
                pass.push(byte);
            }
        }
        (pass, false)
    }
}

fn key(text: &str) -> Result<u8, String> {
    let invalid = || format!("invalid detach keys: {text:?} is no key");
    let one = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Ok(*byte),
        _ => Err(invalid()),
    };
    match text.strip_prefix("ctrl-") {
        None => one(text),
        Some(letter) => match one(letter)?.to_ascii_uppercase() {
            byte @ (b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_') => Ok(byte & 0x1f),
            _ => Err(invalid()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_read_as_docker_reads_them() {
        let bytes = |text: &str| DetachKeys::parse(text).map(|keys| keys.sequence);
        assert_eq!(bytes("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(bytes("a,ctrl-["), Ok(vec![b'a', 27]));
        assert_eq!(bytes(""), Ok(vec![]));
        for bad in ["ctrl-", "ab", "ctrl-1", "a,,b"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_pass_unless_they_complete_the_sequence() {
        let mut keys = DetachKeys::parse("ctrl-p,ctrl-q").expect("keys");
        assert_eq!(keys.feed(b"ab"), (b"ab".to_vec(), false));
        assert_eq!(keys.feed(b"x\x10"), (b"x".to_vec(), false));
        assert_eq!(keys.feed(b"y"), (b"\x10y".to_vec(), false));
        assert_eq!(keys.feed(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.feed(b"\x11never"), (vec![], true));
        let mut none = DetachKeys::default();
        assert_eq!(none.feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
