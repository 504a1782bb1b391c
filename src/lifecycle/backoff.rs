//! Exponential delays: of restarts, of image pulls, of retried set-ups.
//!
//! A restart or a pull is delayed by an entry that doubles each time it is
//! used and is forgotten when the thing held for ten minutes:
//!
//! ```text
//! no entry ──advance──► 10 s ──advance──► 20 s … ──advance──► cap
//!    ▲                                                          │
//!    └── what it is measured from lies > 600 s after advance ◄──┘
//! ```

use serde::{Deserialize, Serialize};

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// An entry whose last use lies this far back starts anew.
const FORGET_NS: u64 = 600 * SECOND_NS;
/// What delays start with, seconds.
const INITIAL_SECONDS: u32 = 10;
/// The longest delay between two pulls of an image, seconds.
const IMAGE_CAP_SECONDS: u32 = 300;

/// How long a failed start waits, where no back-off applies: the kubelet's
/// `backOffPeriod`.
pub const RETRY_NS: u64 = 10 * SECOND_NS;

/// First delay and longest delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    initial_ns: u64,
    cap_ns: u64,
}

impl Limits {
    /// Of restarts. A cap below the first delay lowers that too (KEP-4603).
    #[must_use]
    pub fn restarts(cap_seconds: u32) -> Self {
        Self {
            initial_ns: u64::from(INITIAL_SECONDS.min(cap_seconds)) * SECOND_NS,
            cap_ns: u64::from(cap_seconds) * SECOND_NS,
        }
    }

    /// Of image pulls.
    #[must_use]
    pub fn images() -> Self {
        Self::restarts(IMAGE_CAP_SECONDS)
    }
}

/// One delay in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub delay_ns: u64,
    advanced_at_ns: u64,
}

impl Backoff {
    /// The entry after one more use at `now_ns`, on account of what ended or
    /// failed at `since_ns`.
    #[must_use]
    pub fn advance(entry: Option<Self>, since_ns: u64, now_ns: u64, limits: Limits) -> Self {
        let delay_ns = match entry.filter(|known| !known.forgotten(since_ns)) {
            Some(known) => known.delay_ns.saturating_mul(2).min(limits.cap_ns),
            None => limits.initial_ns,
        };
        Self { delay_ns, advanced_at_ns: now_ns }
    }

    /// Until when what ended or failed at `since_ns` has to wait; `None` when
    /// it need not.
    #[must_use]
    pub fn until(&self, since_ns: u64, now_ns: u64) -> Option<u64> {
        let end = since_ns.saturating_add(self.delay_ns);
        (!self.forgotten(since_ns) && now_ns < end).then_some(end)
    }

    /// The same, measured from the last use.
    #[must_use]
    pub fn until_since_use(&self, now_ns: u64) -> Option<u64> {
        self.until(self.advanced_at_ns, now_ns)
    }

    fn forgotten(&self, since_ns: u64) -> bool {
        since_ns.saturating_sub(self.advanced_at_ns) > FORGET_NS
    }
}

/// The delay after `delay_ns` when volumes fail: 0.5 s doubling to 2 min 2 s.
#[must_use]
pub fn next_volume_delay(delay_ns: Option<u64>) -> u64 {
    const FIRST_NS: u64 = SECOND_NS / 2;
    const LAST_NS: u64 = 122 * SECOND_NS;
    delay_ns.map_or(FIRST_NS, |delay| (delay * 2).min(LAST_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The delays of a container that ends as soon as it is started.
    fn delays(cap_seconds: u32, count: usize) -> Vec<u64> {
        let limits = Limits::restarts(cap_seconds);
        let (mut entry, mut now, mut seen) = (None::<Backoff>, 0, Vec::new());
        for _ in 0..count {
            let ended = now;
            now = entry.and_then(|known| known.until(ended, now)).unwrap_or(now);
            seen.push((now - ended) / SECOND_NS);
            entry = Some(Backoff::advance(entry, ended, now, limits));
        }
        seen
    }

    #[test]
    fn restarts_are_delayed_by_0_10_20_40_up_to_the_cap() {
        assert_eq!(delays(300, 8), [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(delays(30, 5), [0, 10, 20, 30, 30]);
        assert_eq!(delays(3, 4), [0, 3, 3, 3]);
    }

    #[test]
    fn a_run_of_more_than_ten_minutes_starts_the_sequence_anew() {
        let limits = Limits::restarts(300);
        let entry = Backoff { delay_ns: 160 * SECOND_NS, advanced_at_ns: 0 };
        let held = 600 * SECOND_NS;
        assert_eq!(entry.until(held, held), Some(760 * SECOND_NS));
        assert_eq!(entry.until(held + 1, held + 1), None);
        let anew = Backoff::advance(Some(entry), held + 1, held + 1, limits);
        assert_eq!(anew.delay_ns, 10 * SECOND_NS);
    }

    #[test]
    fn the_delay_runs_from_the_exit_not_from_the_attempt() {
        let entry = Backoff { delay_ns: 10 * SECOND_NS, advanced_at_ns: 0 };
        assert_eq!(entry.until(5 * SECOND_NS, 6 * SECOND_NS), Some(15 * SECOND_NS));
        assert_eq!(entry.until(5 * SECOND_NS, 15 * SECOND_NS), None);
    }

    #[test]
    fn volumes_are_retried_after_half_a_second_doubling_to_two_minutes() {
        let mut delay = None;
        let mut seen = Vec::new();
        for _ in 0..10 {
            delay = Some(next_volume_delay(delay));
            seen.extend(delay.map(|ns| ns / 1_000_000));
        }
        let want = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 122_000, 122_000];
        assert_eq!(seen, want);
    }
}
