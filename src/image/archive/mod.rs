//! Layers: tar archives from anywhere, read as if an enemy had written them.
//!
//! [`tar`] parses, [`unpack`] decides what an entry means for overlayfs,
//! [`tree`] touches the disk, always by directory fd and without following a
//! symlink that it has not read itself.

pub mod attributes;
pub mod decompress;
pub mod limits;
pub mod lower;
pub mod name;
pub mod pack;
pub mod pax;
pub mod pipe;
pub mod sparse;
pub mod tar;
pub mod tree;
pub mod unpack;

#[cfg(test)]
mod hostile;
