//! Points in time, without a clock.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Wall-clock time: nanoseconds since 1970-01-01 UTC. Serialised as Kubernetes
/// does, RFC 3339 in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// One reading of the machine's clocks, taken once per event by the effects
/// side and handed to the pure rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// `CLOCK_BOOTTIME` in nanoseconds: never set back, comparable across
    /// processes of one boot. Deadlines are reckoned in it.
    pub boot_ns: u64,
    /// `CLOCK_REALTIME`, for what users read.
    pub wall: Timestamp,
}

impl Now {
    /// The boot time `after` from now, for deadlines.
    #[must_use]
    pub fn boot_after(self, after: Duration) -> u64 {
        self.boot_ns.saturating_add(duration_ns(after))
    }
}

fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const NS: u64 = 1_000_000_000;

impl Timestamp {
    /// Whole seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / NS
    }

    /// The time from `earlier` to this; zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian).
    #[must_use]
    pub fn civil(self) -> [u64; 6] {
        let seconds = self.seconds();
        let (days, rest) = (seconds / 86400, seconds % 86400);
        // Days counted from 0000-03-01, in eras of 400 years, so that the leap
        // day is the last of its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
    }

    /// RFC 3339 with nine digits of nanoseconds, as CRI logs carry it.
    #[must_use]
    pub fn rfc3339_nanos(self) -> String {
        let [y, mo, d, h, mi, s] = self.civil();
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:09}Z", self.0 % NS)
    }

    /// Reads RFC 3339 with any fraction and `Z` or a numeric offset.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let digits = |from: usize, to: usize| -> Option<u64> {
            let part = text.get(from..to)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let byte = |at: usize| text.as_bytes().get(at).copied();
        let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if punctuation.iter().any(|&(at, want)| byte(at) != Some(want)) {
            return None;
        }
        if !matches!(byte(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
        let in_range = (1970..=2553).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !in_range {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if len == 0 {
                return None;
            }
            for (index, b) in fraction.bytes().take(len.min(9)).enumerate() {
                let place = u32::try_from(8 - index).ok()?;
                nanos += u64::from(b - b'0') * 10_u64.pow(place);
            }
            rest = &fraction[len..];
        }
        let offset_minutes: i64 = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = match rest.as_bytes().first()? {
                    b'+' => 1,
                    b'-' => -1,
                    _ => return None,
                };
                let (hours, minutes) = rest.get(1..)?.split_once(':')?;
                if hours.len() != 2 || minutes.len() != 2 {
                    return None;
                }
                sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
            }
        };
        let (y, month_index) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, year_of_era) = (y / 400, y % 400);
        let day_of_year = (153 * month_index + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
        let seconds = days * 86400 + hour * 3600 + minute * 60 + second;
        let seconds = seconds.checked_add_signed(-offset_minutes * 60)?;
        Some(Self(seconds.checked_mul(NS)?.checked_add(nanos)?))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_ns(duration)))
    }
}

/// RFC 3339 in whole seconds, as Kubernetes prints times.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [y, mo, d, h, mi, s] = self.civil();
        write!(f, "{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("time is not RFC 3339"))
    }
}

/// `#[serde(with = "model::time::nanos")]`: keeps the nanoseconds, for records
/// that must come back exactly.
pub mod nanos {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

    /// Writes the number of nanoseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        time.0.serialize(serializer)
    }

    /// Reads the number of nanoseconds.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp)
    }
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`, `1.5s`, `500ms`, `0s`.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |value: u128, unit: u128, suffix: &str| {
        let (whole, rest) = (value / unit, value % unit);
        if rest == 0 {
            return format!("{whole}{suffix}");
        }
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        format!("{whole}.{}{suffix}", digits.trim_end_matches('0'))
    };
    match nanos {
        0 => "0s".into(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => fraction(n, 1_000, "µs"),
        n if n < 1_000_000_000 => fraction(n, 1_000_000, "ms"),
        n => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, m) => format!("{m}m{seconds}"),
                (h, m) => format!("{h}h{m}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_durations_print_as_go_prints_them() {
        let table = [
            (0, "0s"),
            (10_000, "10s"),
            (80_000, "1m20s"),
            (300_000, "5m0s"),
            (1_500, "1.5s"),
            (500, "500ms"),
            (3_600_000, "1h0m0s"),
            (90, "90ms"),
        ];
        for (millis, text) in table {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn known_times_print_and_read_back() {
        let time = Timestamp(1_769_903_999_123_456_789);
        assert_eq!(time.to_string(), "2026-01-31T23:59:59Z");
        assert_eq!(time.rfc3339_nanos(), "2026-01-31T23:59:59.123456789Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-02-01T01:59:59.123456789+02:00"), Some(time));
        assert_eq!(Timestamp(951_782_400 * NS).to_string(), "2000-02-29T00:00:00Z");
        for bad in ["", "2026", "2026-01-31", "2026-01-31T23:59:59", "2026-01-31T23:59:59.Z", "x"] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_time_reads_back(nanos in 0_u64..18_000_000_000_000_000_000) {
            let time = Timestamp(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.rfc3339_nanos()), Some(time));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = Timestamp::parse_rfc3339(&text);
        }
    }
}
