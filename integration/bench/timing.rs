//! How long commands take, and how much memory they peak at.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Times of one contender, one a round.
#[derive(Debug, Default, Clone)]
pub struct Series {
    times: Vec<Duration>,
}

impl Series {
    pub fn push(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// Adds a time that was measured.
    pub fn push_some(&mut self, time: Option<Duration>) {
        self.times.extend(time);
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn median_ms(&self) -> f64 {
        let mut sorted = self.times.clone();
        sorted.sort();
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 || sorted.is_empty() {
            sorted.get(middle).copied().unwrap_or_default()
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2
        };
        median.as_secs_f64() * 1000.0
    }

    pub fn min_ms(&self) -> f64 {
        self.times.iter().min().copied().unwrap_or_default().as_secs_f64() * 1000.0
    }
}

/// Runs a command to its end; its time.
///
/// # Panics
/// When it fails: a failed run is no measurement.
pub fn time(command: &mut Command) -> Duration {
    // No pipes: what a container inherits of them would keep them open.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let begin = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = child.wait().expect("wait");
    let took = begin.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

/// True for a command that is installed.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
