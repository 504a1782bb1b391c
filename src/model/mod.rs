//! The nouns every room shares: ids, times, signals, quantities, the finished
//! [`plan::PodPlan`], the neutral [`spec::SandboxSpec`] and
//! [`spec::ContainerSpec`], and the [`status::PodStatus`] that users read.
//!
//! Pure: no clock, no I/O, no knowledge of YAML or of the kernel. Every other
//! room may import this one; it imports none.

#![forbid(unsafe_code)]

pub mod error_kind;
pub mod event;
pub mod exit;
pub mod expansion;
pub mod ids;
pub mod object;
pub mod plan;
pub mod quantity;
pub mod quote;
pub mod roots;
pub mod signal;
pub mod spec;
pub mod status;
pub mod time;

pub use error_kind::ErrorKind;
pub use exit::ExitStatus;
pub use ids::{ContainerId, PodKey, PodUid};
pub use quantity::Quantity;
pub use roots::Roots;
pub use signal::Signal;
pub use time::{Now, Timestamp};
