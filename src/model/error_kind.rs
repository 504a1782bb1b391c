//! What went wrong, in the few words that exit codes and gRPC codes know.

/// The class of an error. Each room's error enum maps into this with `kind()`;
/// `cli` turns it into an exit code, `cri` into a gRPC code, each in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// The name or id is taken.
    AlreadyExists,
    /// The input is malformed or contradicts itself.
    InvalidInput,
    /// The thing exists, but not in a state that allows the verb.
    WrongState,
    /// The caller lacks a privilege.
    PermissionDenied,
    /// The kernel or the machine lacks a feature.
    Unsupported,
    /// A limit of the machine is reached (addresses, processes, disk).
    Exhausted,
    /// It took longer than the caller allowed.
    TimedOut,
    /// A system call or a file failed in a way that is nobody's input.
    System,
}
