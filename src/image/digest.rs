//! Content digests, `sha256:<64 hex digits>`.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A sha256 digest. podrt stores content under this algorithm only; content
/// named by another one is refused, not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Why a string is no digest podrt can use, in the words of docker's tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidDigest {
    /// Not `algorithm:hex`, or with other than small hex digits.
    Format,
    /// An algorithm other than sha256.
    UnsupportedAlgorithm,
    /// Not 64 digits.
    Length,
}

impl fmt::Display for InvalidDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "invalid checksum digest format",
            Self::UnsupportedAlgorithm => "unsupported digest algorithm",
            Self::Length => "invalid checksum digest length",
        })
    }
}

impl std::error::Error for InvalidDigest {}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that a finished hasher holds.
    #[must_use]
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// The chain id of a layer on its parent (image-spec, config.md, "Layer
    /// `ChainID`").
    #[must_use]
    pub fn chain(parent: Option<&Self>, diff_id: &Self) -> Self {
        parent.map_or(*diff_id, |parent| Self::of(format!("{parent} {diff_id}").as_bytes()))
    }

    /// Reads `sha256:<hex>`.
    ///
    /// # Errors
    /// [`InvalidDigest`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let (algorithm, hex) = text.split_once(':').ok_or(InvalidDigest::Format)?;
        match algorithm {
            "sha256" => Self::from_hex(hex),
            "" => Err(InvalidDigest::Format),
            _ => Err(InvalidDigest::UnsupportedAlgorithm),
        }
    }

    /// Reads the 64 hex digits alone.
    ///
    /// # Errors
    /// [`InvalidDigest::Format`] or [`InvalidDigest::Length`].
    pub fn from_hex(hex: &str) -> Result<Self, InvalidDigest> {
        if !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(InvalidDigest::Format);
        }
        if hex.len() != 64 {
            return Err(InvalidDigest::Length);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Self(bytes))
    }

    /// The 64 hex digits: a file name in the store.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
    }

    /// The first 12 hex digits, as tables show them.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

/// The value of a digit that [`Digest::from_hex`] has checked.
fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_reads_in_one_spelling_only() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(Digest::parse(&good).map(|d| d.to_string()), Ok(good));
        let table = [
            ("", InvalidDigest::Format),
            ("sha256", InvalidDigest::Format),
            (":00", InvalidDigest::Format),
            ("sha256:", InvalidDigest::Length),
            ("sha256:00", InvalidDigest::Length),
            ("sha256:0A", InvalidDigest::Format),
            ("sha256:../../x", InvalidDigest::Format),
            ("sha512:00", InvalidDigest::UnsupportedAlgorithm),
        ];
        for (text, want) in table {
            assert_eq!(Digest::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
    }

    proptest! {
        #[test]
        fn every_digest_reads_back(bytes in any::<[u8; 32]>()) {
            let digest = Digest(bytes);
            prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        }
    }
}
