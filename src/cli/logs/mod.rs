//! Reading the containers' logs: CRI lines, the last of them, and new ones as
//! they come.

pub mod entry;
pub mod follow;
pub mod select;

pub use entry::Entry;
pub use follow::Follower;
pub use select::Selection;
