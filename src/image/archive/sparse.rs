//! Where the data of a sparse file goes.

use super::limits;

/// A file with holes: `pieces` of data within `real_size` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    pub real_size: u64,
    /// Offset and length, ascending, within the size.
    pub pieces: Vec<(u64, u64)>,
}

impl Sparse {
    /// Checks a map from an archive against the size of the file and against
    /// the bytes the archive has for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(
        real_size: u64,
        pieces: Vec<(u64, u64)>,
        stored_bytes: u64,
    ) -> Result<Self, &'static str> {
        if pieces.len() > limits::SPARSE_PIECES_MAX {
            return Err("too many holes");
        }
        let mut end = 0_u64;
        let mut total = 0_u64;
        for &(offset, length) in &pieces {
            if offset < end {
                return Err("sparse map out of order");
            }
            end = offset.checked_add(length).ok_or("sparse map beyond the file")?;
            total += length;
        }
        if end > real_size {
            return Err("sparse map beyond the file");
        }
        if total != stored_bytes {
            return Err("sparse map does not match its data");
        }
        Ok(Self { real_size, pieces })
    }
}

/// Offsets and lengths in turns, as pairs.
///
/// # Errors
/// An odd number of numbers.
pub fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>, &'static str> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("malformed sparse map");
    }
    Ok(pairs.iter().map(|&[offset, length]| (offset, length)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_must_fit_its_file_and_its_data() {
        assert!(Sparse::new(10, vec![(0, 2), (5, 5)], 7).is_ok());
        assert!(Sparse::new(1 << 40, vec![(1 << 40, 0)], 0).is_ok());
        let table = [
            (10, vec![(5, 5), (0, 2)], 7, "sparse map out of order"),
            (10, vec![(0, 6), (5, 2)], 8, "sparse map out of order"),
            (10, vec![(5, 6)], 6, "sparse map beyond the file"),
            (10, vec![(u64::MAX, 2)], 2, "sparse map beyond the file"),
            (10, vec![(0, 2)], 3, "sparse map does not match its data"),
        ];
        for (size, pieces, stored, want) in table {
            assert_eq!(Sparse::new(size, pieces, stored).unwrap_err(), want);
        }
    }
}
