//! How a process ended.

use serde::{Deserialize, Serialize};

use super::Signal;

/// The end of a process, as `wait(2)` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExitStatus {
    /// It returned from main or called `_exit` with this code.
    Exited(u8),
    /// A signal ended it.
    Signaled(Signal),
}

impl ExitStatus {
    /// The exit code as a shell and the kubelet report it: the code itself, or
    /// 128 plus the number of the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code),
            Self::Signaled(signal) => 128 + signal.number(),
        }
    }

    /// True for exit code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// Decodes the status word of `wait4(2)`; `None` while the process is only
    /// stopped or continued.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Option<Self> {
        let low = status & 0x7f;
        if low == 0 {
            // The mask leaves eight bits.
            #[expect(clippy::cast_sign_loss)]
            return Some(Self::Exited(((status >> 8) & 0xff) as u8));
        }
        if low == 0x7f {
            return None;
        }
        Signal::new(low).map(Self::Signaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_a_signal_is_128_plus_its_number() {
        assert_eq!(ExitStatus::from_wait_status(9).map(ExitStatus::code), Some(137));
        assert_eq!(ExitStatus::from_wait_status(15).map(ExitStatus::code), Some(143));
    }

    #[test]
    fn code_of_a_return_is_the_code() {
        assert_eq!(ExitStatus::from_wait_status(3 << 8), Some(ExitStatus::Exited(3)));
        assert!(ExitStatus::from_wait_status(0).is_some_and(ExitStatus::success));
    }

    #[test]
    fn a_stopped_process_has_not_ended() {
        assert_eq!(ExitStatus::from_wait_status(0x137f), None);
    }
}
