//! Resource quantities: `500m`, `64Mi`, `1e3`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the API server says of a quantity it cannot read.
pub const SYNTAX: &str = "quantities must match the regular expression \
    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The largest amount there is, in thousandths: larger ones count as this, as
/// the API's documentation has it.
const MAX_MILLI: i128 = i64::MAX as i128 * 1000;

/// An amount in thousandths, rounded up as the API server rounds, with the
/// text it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    milli: i128,
    text: String,
}

impl Quantity {
    /// A whole amount.
    #[must_use]
    pub fn from_value(value: i64) -> Self {
        Self { milli: i128::from(value) * 1000, text: value.to_string() }
    }

    /// An amount in thousandths.
    #[must_use]
    pub fn from_milli(milli: i64) -> Self {
        let text = if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") };
        Self { milli: i128::from(milli), text }
    }

    /// Reads a quantity; `None` when it does not follow [`SYNTAX`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = digits.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, suffix) = digits.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let scale = Scale::parse(suffix)?;
        let mantissa_text: String = format!("{whole}{fraction}");
        let mantissa_text = mantissa_text.trim_start_matches('0');
        if mantissa_text.len() > 30 {
            return None;
        }
        let mantissa: i128 =
            if mantissa_text.is_empty() { 0 } else { mantissa_text.parse().ok()? };
        let fraction_digits = i32::try_from(fraction.len()).ok()?;
        let milli = scale.to_milli(mantissa, fraction_digits).unwrap_or(MAX_MILLI).min(MAX_MILLI);
        let milli = if negative { -milli } else { milli };
        Some(Self { milli, text: text.to_owned() })
    }

    /// The amount in thousandths, capped to what an `i64` holds.
    #[must_use]
    pub fn milli(&self) -> i64 {
        clamp(self.milli)
    }

    /// The amount rounded up to a whole number, capped to what an `i64` holds.
    #[must_use]
    pub fn value(&self) -> i64 {
        clamp(self.milli.div_euclid(1000) + i128::from(self.milli.rem_euclid(1000) != 0))
    }

    /// The same amount as the API server writes it: `1024Mi` as `1Gi`, `0.5`
    /// as `500m`, `1000` as `1k`.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self { milli: self.milli, text: self.canonical_text() }
    }

    fn canonical_text(&self) -> String {
        if self.milli == 0 {
            return "0".to_owned();
        }
        let is_whole = self.milli % 1000 == 0;
        if self.text.ends_with('i') && is_whole && (self.milli / 1000).abs() >= 1024 {
            return shortest(self.milli / 1000, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]);
        }
        if self.text.ends_with(|c: char| c.is_ascii_digit()) && self.text.contains(['e', 'E']) {
            return shortest(self.milli, 1000, &["e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"]);
        }
        shortest(self.milli, 1000, &["m", "", "k", "M", "G", "T", "P", "E"])
    }

    /// True below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.milli < 0
    }

    /// The exact amount in thousandths, for comparing and adding.
    #[must_use]
    pub fn exact_milli(&self) -> i128 {
        self.milli
    }
}

/// `amount` with the largest suffix that leaves it whole.
fn shortest(mut amount: i128, factor: i128, suffixes: &[&str]) -> String {
    let mut step = 0;
    while amount % factor == 0 && step + 1 < suffixes.len() {
        amount /= factor;
        step += 1;
    }
    format!("{amount}{}", suffixes[step])
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// A suffix: ten or two to some power.
enum Scale {
    Decimal(i32),
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                Self::Decimal(exponent.parse().ok().filter(|e: &i32| e.abs() <= 30)?)
            }
        })
    }

    /// `mantissa × 10^-fraction_digits × scale`, in thousandths, rounded up.
    fn to_milli(&self, mantissa: i128, fraction_digits: i32) -> Option<i128> {
        let (binary, ten) = match *self {
            Self::Decimal(power) => (0, power - fraction_digits + 3),
            Self::Binary(power) => (power, 3 - fraction_digits),
        };
        let scaled = mantissa.checked_mul(1_i128.checked_shl(binary)?)?;
        let factor = 10_i128.checked_pow(ten.unsigned_abs());
        if ten >= 0 {
            return scaled.checked_mul(factor?);
        }
        // A divisor beyond i128 leaves only the rounding.
        let Some(divisor) = factor else { return Some(i128::from(scaled != 0)) };
        Some(scaled / divisor + i128::from(scaled % divisor != 0))
    }
}

impl Default for Quantity {
    fn default() -> Self {
        Self { milli: 0, text: "0".to_owned() }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.milli.cmp(&other.milli))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(SYNTAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_read_as_kubernetes_reads_them() {
        let table = [
            ("0", 0),
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("1.5", 1500),
            ("100u", 1),
            ("1n", 1),
            ("1k", 1_000_000),
            ("64Mi", 67_108_864_000),
            ("1e3", 1_000_000),
            ("1E-3", 1),
            ("-1", -1000),
            ("+2", 2000),
            (".5", 500),
            ("1.", 1000),
            ("0.0001", 1),
            ("1.5Gi", 1_610_612_736_000),
            ("12E2", 1_200_000),
        ];
        for (text, milli) in table {
            assert_eq!(Quantity::parse(text).map(|q| q.milli()), Some(milli), "{text}");
        }
        for bad in ["", "-", "m", "1.2.3", "1x", "1 ", " 1", "1ki", "1e", "1e+", "0x10", "1Kib"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn canonical_texts_are_the_api_servers() {
        let table = [
            ("0", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512Ki", "512Ki"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("0.1Gi", "107374182400m"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("2000000", "2M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1E", "1E"),
            ("-1", "-1"),
            ("100u", "1m"),
            ("99999999999999.009999Ei", "9223372036854775807"),
            ("999999999999999999e30", "9223372036854775807"),
        ];
        for (text, want) in table {
            let canonical = Quantity::parse(text).map(|q| q.canonical().to_string());
            assert_eq!(canonical.as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn values_round_up() {
        assert_eq!(Quantity::parse("1500m").map(|q| q.value()), Some(2));
        assert_eq!(Quantity::parse("1").map(|q| q.value()), Some(1));
        assert_eq!(Quantity::parse("8E").map(|q| q.value()), Some(8_000_000_000_000_000_000));
        assert_eq!(Quantity::parse("16Ei").map(|q| q.value()), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[-+]?[0-9.]{0,40}[eEinumkKMGTP]{0,3}[-+]?[0-9]{0,4}") {
            if let Some(quantity) = Quantity::parse(&text) {
                let _ = (quantity.milli(), quantity.value());
            }
        }

        #[test]
        fn canonical_texts_keep_the_amount(text in "[0-9]{1,9}(\\.[0-9]{1,3})?(m|k|M|G|Ki|Mi|Gi|e3|E2)?") {
            if let Some(quantity) = Quantity::parse(&text) {
                let canonical = quantity.canonical();
                let back = Quantity::parse(&canonical.to_string());
                prop_assert_eq!(back.as_ref().map(Quantity::exact_milli), Some(quantity.exact_milli()));
                prop_assert_eq!(canonical.canonical(), canonical);
            }
        }

        #[test]
        fn milli_reads_back(milli in any::<i32>()) {
            let quantity = Quantity::from_milli(i64::from(milli));
            prop_assert_eq!(Quantity::parse(&quantity.to_string()).map(|q| q.milli()), Some(i64::from(milli)));
        }
    }
}
