//! How pods share the machine's CPU: the weights that a kubelet gives to the
//! cgroups of its own making, pods and levels of service.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::error::Error;
use super::hierarchy::{Layout, Place};
use super::{file, processes};

const LEAST_SHARES: u64 = 2;
const MOST_SHARES: u64 = 262_144;
const MOST_WEIGHT: u64 = 10_000;

/// What a level of service gets among the others and the pods beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelShare {
    /// What is left over.
    Least,
    /// What its pods have together.
    Sum,
}

/// The cgroup v2 weight of v1 `shares` as the kubelet computes it: a straight
/// line from 2 to 1 and from 262144 to 10000. Container runtimes have a curve,
/// [`super::weight_of_shares`].
fn straight_weight(shares: u64) -> u64 {
    let shares = shares.clamp(LEAST_SHARES, MOST_SHARES);
    1 + (shares - LEAST_SHARES) * (MOST_WEIGHT - 1) / (MOST_SHARES - LEAST_SHARES)
}

/// Sets the weight of a pod. Where nobody shares the CPU out, nothing is done.
pub(super) fn of_pod(here: &Layout, shares: u64) -> Result<(), Error> {
    match here.place("cpu") {
        Some(Place::V2(folder)) => write(folder, "cpu.weight", straight_weight(shares)),
        Some(Place::V1(folder)) => write(folder, "cpu.shares", shares),
        None => Ok(()),
    }
}

/// Sets the weight of a level by what is in it now.
pub(super) fn of_level(here: &Layout, share: LevelShare) -> Result<(), Error> {
    let (folder, name, least, most) = match here.place("cpu") {
        Some(Place::V2(folder)) => (folder, "cpu.weight", 1, MOST_WEIGHT),
        Some(Place::V1(folder)) => (folder, "cpu.shares", LEAST_SHARES, MOST_SHARES),
        None => return Ok(()),
    };
    // Of two pods that come and go at once, the later one adds up last.
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file::failed("open", folder, "", &error)),
    };
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| file::failed("lock", folder, "", &errno.into()))?;
    let sum = match share {
        LevelShare::Least => least,
        LevelShare::Sum => sum(folder, name)?,
    };
    write(folder, name, sum.clamp(least, most))
}

fn sum(folder: &Path, name: &str) -> Result<u64, Error> {
    let mut sum = 0;
    for pod in processes::children(folder)? {
        // One that has just gone counts for nothing.
        let text = file::read_if_there(&pod.join(name))?.unwrap_or_default();
        sum += text.trim().parse::<u64>().unwrap_or(0);
    }
    Ok(sum)
}

/// A cgroup that is gone, or has no such controller, has no weight.
fn write(folder: &Path, name: &str, value: u64) -> Result<(), Error> {
    match file::write(&folder.join(name), &value.to_string()) {
        Err(error) if file::is_gone(&error) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_weight_is_on_the_kubelets_straight_line() {
        let table = [(2, 1), (10, 1), (51, 2), (102, 4), (256, 10), (512, 20), (1024, 39)];
        let large = [(2048, 79), (4096, 157), (16_384, 625), (262_144, 10_000), (1 << 40, 10_000)];
        for (shares, weight) in table.into_iter().chain(large) {
            assert_eq!(straight_weight(shares), weight, "{shares}");
        }
    }
}
