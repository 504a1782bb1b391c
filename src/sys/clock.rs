//! The machine's clocks, read once per event.

use nix::time::{ClockId, clock_gettime};

use crate::model::{Now, Timestamp};

/// Both clocks of this moment.
#[must_use]
pub fn now() -> Now {
    Now { boot_ns: read(ClockId::CLOCK_BOOTTIME), wall: Timestamp(read(ClockId::CLOCK_REALTIME)) }
}

/// Nanoseconds of `clock`. The two clocks used here exist since Linux 2.6.39,
/// so a failure can only mean a broken sandbox; zero is then as good as any.
fn read(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn the_boot_clock_does_not_go_back() {
        let first = now();
        assert!(first.boot_ns > 0 && first.wall.0 > 0);
        assert!(now().boot_ns >= first.boot_ns);
    }
}
