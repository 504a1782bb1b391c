//! What a plain YAML scalar means, by YAML 1.1 as kubectl's parser reads it:
//! `yes` is true, `0644` is octal, `1_000` is a thousand.

use serde_json::Number;

use super::node::Value;

/// The value of a plain (unquoted, untagged) scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    match number(text) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

/// A number in any of YAML 1.1's notations that JSON can carry.
pub(super) fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    integer(text).or_else(|| float(text))
}

fn integer(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(zero) if zero.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return Some(Number::from(0_i64.checked_sub_unsigned(magnitude)?));
    }
    Some(Number::from(magnitude))
}

fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !is_digits(digits) {
            return None;
        }
    }
    from_f64(text.parse().ok()?)
}

/// A float as JSON shows it: whole ones without a fraction, like Go.
pub(super) fn from_f64(value: f64) -> Option<Number> {
    // Every whole f64 below 2^53 is exact in an i64.
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53 in magnitude")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        let number = |n: i64| Value::Number(n.into());
        let text = |t: &str| Value::String(t.to_owned());
        let table = [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("yes", Value::Bool(true)),
            ("On", Value::Bool(true)),
            ("y", Value::Bool(true)),
            ("no", Value::Bool(false)),
            ("OFF", Value::Bool(false)),
            ("yEs", text("yEs")),
            ("0644", number(420)),
            ("0o644", number(420)),
            ("0x1F", number(31)),
            ("0b11", number(3)),
            ("-0x10", number(-16)),
            ("0", number(0)),
            ("08", number(8)),
            ("1_000", number(1000)),
            ("+5", number(5)),
            ("-5", number(-5)),
            ("1e3", number(1000)),
            ("1.0", number(1)),
            ("1.", number(1)),
            ("-", text("-")),
            (".", text(".")),
            ("1.2.3", text("1.2.3")),
            ("12:30:45", text("12:30:45")),
            ("2001-01-01", text("2001-01-01")),
            ("500m", text("500m")),
            ("1e", text("1e")),
            ("0x", text("0x")),
            ("0xZ", text("0xZ")),
            (".inf", text(".inf")),
        ];
        for (input, want) in table {
            assert_eq!(resolve(input), want, "{input}");
        }
        assert_eq!(resolve("18446744073709551615"), Value::Number(u64::MAX.into()));
        assert!(matches!(resolve("1.5"), Value::Number(n) if n.as_f64() == Some(1.5)));
    }

    proptest! {
        #[test]
        fn resolving_never_panics(text in "[-+0-9a-zA-Z_.]{0,30}|\\PC{0,8}") {
            let _ = resolve(&text);
        }
    }
}
