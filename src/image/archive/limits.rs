//! What an archive may cost the machine. Far above what real images need, and
//! low enough that a hostile one ends with an error, not with the machine.

/// Path of an entry: longer ones cannot be opened by their path anyway
/// (`PATH_MAX`).
pub const NAME_MAX_BYTES: usize = 4095;

/// Long names, PAX records and sparse maps before one entry.
pub const EXTENSIONS_MAX_BYTES: u64 = 1 << 20;

/// Pieces of one sparse file.
pub const SPARSE_PIECES_MAX: usize = 1 << 16;

/// Entries of one layer.
pub const ENTRIES_MAX: u64 = 4 << 20;

/// Bytes of one plain layer, and of the files it makes (holes count).
pub const LAYER_MAX_BYTES: u64 = 256 << 30;

/// Compression beyond this is an attack: gzip cannot exceed 1032, and what
/// zstd makes of zeros beyond [`RATIO_FREE_BYTES`] is no file system.
pub const RATIO_MAX: u64 = 1100;

/// Plain bytes that need no explanation by compressed ones.
pub const RATIO_FREE_BYTES: u64 = 1 << 30;

/// A manifest or an index.
pub const MANIFEST_MAX_BYTES: u64 = 4 << 20;

/// An image's config.
pub const CONFIG_MAX_BYTES: u64 = 8 << 20;

/// Layers of an image: what overlayfs can stack, less the writable one.
pub const LAYERS_MAX: usize = crate::image::overlay::LAYERS_MAX - 1;

/// Files in an image archive (not in a layer).
pub const MEMBERS_MAX: usize = 1 << 16;
