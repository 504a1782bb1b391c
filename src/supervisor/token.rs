//! What the event loop is told by the kernel: one token for every descriptor
//! it waits on.

use super::log::entry::Stream;
use crate::sys::event::Token as EpollToken;

/// A run of a container, as the driver numbers them; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u32);

/// A probe, hook, exec or helper under way; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u32);

/// A client's connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// Who a ready descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Timer,
    Keeper,
    /// New connections.
    Listener,
    Client(ClientId),
    /// The pidfd of the pause process of this attempt.
    Pause(u32),
    /// A container being made has something to say.
    Creation(RunId),
    /// A started container's exec succeeded or failed.
    Execution(RunId),
    /// A container's pidfd.
    Exit(RunId),
    Output(RunId, Stream),
    /// The three descriptors a task may wait on at a time.
    TaskProcess(TaskId),
    TaskData(TaskId),
    TaskError(TaskId),
    /// Something changed among the objects that the pod refers to, or images.
    Inputs,
}

const TAG_SHIFT: u32 = 56;

impl EpollToken for Token {
    fn to_u64(self) -> u64 {
        let (tag, id) = match self {
            Self::Timer => (1, 0),
            Self::Keeper => (2, 0),
            Self::Listener => (3, 0),
            Self::Client(id) => (4, id.0),
            Self::Pause(attempt) => (5, attempt),
            Self::Creation(id) => (6, id.0),
            Self::Execution(id) => (7, id.0),
            Self::Exit(id) => (8, id.0),
            Self::Output(id, Stream::Stdout) => (9, id.0),
            Self::Output(id, Stream::Stderr) => (10, id.0),
            Self::TaskProcess(id) => (11, id.0),
            Self::TaskData(id) => (12, id.0),
            Self::TaskError(id) => (13, id.0),
            Self::Inputs => (14, 0),
        };
        (tag << TAG_SHIFT) | u64::from(id)
    }

    fn from_u64(number: u64) -> Option<Self> {
        let id = u32::try_from(number & ((1 << TAG_SHIFT) - 1)).ok()?;
        Some(match number >> TAG_SHIFT {
            1 => Self::Timer,
            2 => Self::Keeper,
            3 => Self::Listener,
            4 => Self::Client(ClientId(id)),
            5 => Self::Pause(id),
            6 => Self::Creation(RunId(id)),
            7 => Self::Execution(RunId(id)),
            8 => Self::Exit(RunId(id)),
            9 => Self::Output(RunId(id), Stream::Stdout),
            10 => Self::Output(RunId(id), Stream::Stderr),
            11 => Self::TaskProcess(TaskId(id)),
            12 => Self::TaskData(TaskId(id)),
            13 => Self::TaskError(TaskId(id)),
            14 => Self::Inputs,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_survives_the_kernel(id: u32) {
            let tokens = [
                Token::Timer, Token::Keeper, Token::Listener, Token::Inputs,
                Token::Client(ClientId(id)), Token::Pause(id), Token::Creation(RunId(id)),
                Token::Execution(RunId(id)), Token::Exit(RunId(id)),
                Token::Output(RunId(id), Stream::Stdout), Token::Output(RunId(id), Stream::Stderr),
                Token::TaskProcess(TaskId(id)), Token::TaskData(TaskId(id)),
                Token::TaskError(TaskId(id)),
            ];
            for token in tokens {
                prop_assert_eq!(Token::from_u64(token.to_u64()), Some(token));
            }
        }
    }
}
