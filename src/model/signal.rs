//! Signals by number and by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signal number between 1 and 64 (Linux on every architecture but MIPS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(i32);

/// Names and numbers shared by x86_64 and aarch64 (signal(7)).
const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// SIGRTMIN as applications see it; 32 and 33 belong to the C library.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const QUIT: Self = Self(3);
    pub const KILL: Self = Self(9);
    pub const TERM: Self = Self(15);

    /// A signal from its number; `None` outside 1–64.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        (1..=RTMAX).contains(&number).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Reads `15`, `TERM`, `SIGTERM`, `sigterm`, `RTMIN+3` or `SIGRTMAX-1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return Self::new(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let realtime = |base: i32, rest: &str, sign: char| -> Option<Self> {
            let offset = match rest {
                "" => 0,
                rest => rest.strip_prefix(sign)?.parse::<u8>().ok()?,
            };
            let offset = i32::from(offset);
            let number = if sign == '+' { base + offset } else { base - offset };
            (RTMIN..=RTMAX).contains(&number).then_some(Self(number))
        };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return realtime(RTMIN, rest, '+');
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            return realtime(RTMAX, rest, '-');
        }
        let name = match name {
            "IOT" => "ABRT",
            "POLL" => "IO",
            "CLD" => "CHLD",
            other => other,
        };
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, number)| Self(number))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, number)| *number == self.0) {
            return write!(f, "SIG{name}");
        }
        if self.0 >= RTMIN {
            return match self.0 - RTMIN {
                0 => f.write_str("SIGRTMIN"),
                offset => write!(f, "SIGRTMIN+{offset}"),
            };
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_name_the_same_signal() {
        for text in ["15", "TERM", "SIGTERM", "sigterm", "term"] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("SIGRTMIN+3"), Signal::new(37));
        assert_eq!(Signal::parse("RTMAX-1"), Signal::new(63));
        for text in ["", "0", "65", "-1", "SIG", "NOPE", "RTMIN+31", "RTMAX+1"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_printed_name_reads_back() {
        for number in (1..=31).chain(RTMIN..=RTMAX) {
            let signal = Signal::new(number).expect("in range");
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
        }
    }
}
