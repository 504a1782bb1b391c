//! Limits as the runtime specification has them, sorted by controller, and the
//! writing of what they become.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::error::Error;
use super::hierarchy::{Layout, Place, v2_name};
use super::{file, limits_v1, limits_v2};

/// One value for one file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub file: String,
    pub value: String,
    /// The limit's name in the specification.
    pub setting: &'static str,
    pub if_missing: IfMissing,
}

/// What it means that the kernel does not have the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// The limit cannot be kept.
    Refuse,
    /// The value is what the kernel does anyway.
    Skip,
}

impl Write {
    pub fn new(file: impl Into<String>, value: impl ToString, setting: &'static str) -> Self {
        Self { file: file.into(), value: value.to_string(), setting, if_missing: IfMissing::Refuse }
    }

    pub fn or_skip(self) -> Self {
        Self { if_missing: IfMissing::Skip, ..self }
    }
}

/// Writes that belong together: where the kernel refuses one because another is
/// not written yet (a limit above the old limit of memory and swap), they are
/// tried in the opposite order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The controller's v1 name.
    pub controller: &'static str,
    pub writes: Vec<Write>,
}

/// Sets every limit that `resources` has, but for device rules.
pub(super) fn apply(here: &Layout, resources: &LinuxResources) -> Result<(), Error> {
    let mut planned = Vec::new();
    for controller in limits_v2::CONTROLLERS.into_iter().filter(|one| concerns(one, resources)) {
        match here.place(controller) {
            Some(Place::V2(folder)) => {
                planned.push((folder, limits_v2::groups(controller, resources)?));
            }
            Some(Place::V1(folder)) => {
                planned.push((folder, limits_v1::groups(controller, resources, folder)?));
            }
            None => refuse(here, controller, resources)?,
        }
    }
    limits_v1::check_only_v1(here, resources)?;
    for (folder, groups) in planned {
        limits_v2::check_before_update(folder, resources, &groups)?;
        groups.iter().try_for_each(|group| write_group(folder, group))?;
    }
    limits_v1::apply_only_v1(here, resources)?;
    apply_unified(here, resources)
}

/// Whether there is a part of `resources` for this controller: without it, no
/// file needs to be read.
fn concerns(controller: &str, resources: &LinuxResources) -> bool {
    match controller {
        "cpuset" | "cpu" => resources.cpu().is_some(),
        "memory" => resources.memory().is_some(),
        "pids" => resources.pids().is_some(),
        "blkio" => resources.block_io().is_some(),
        "hugetlb" => resources.hugepage_limits().is_some(),
        _ => resources.rdma().is_some(),
    }
}

/// Nobody has the controller: an error if anything is asked of it.
fn refuse(here: &Layout, controller: &str, resources: &LinuxResources) -> Result<(), Error> {
    let wanted = if here.v1.is_empty() {
        limits_v2::groups(controller, resources)?
    } else {
        limits_v1::groups(controller, resources, Path::new(""))?
    };
    let is_needed = |write: &&Write| write.if_missing == IfMissing::Refuse;
    match wanted.iter().flat_map(|group| &group.writes).find(is_needed) {
        None => Ok(()),
        Some(first) => Err(missing(v1_or_v2_name(here, controller), first.setting)),
    }
}

fn v1_or_v2_name<'a>(here: &Layout, controller: &'a str) -> &'a str {
    if here.v1.is_empty() { v2_name(controller) } else { controller }
}

fn missing(controller: &str, setting: &str) -> Error {
    Error::MissingController { controller: controller.to_owned(), setting: setting.to_owned() }
}

fn write_group(folder: &Path, group: &Group) -> Result<(), Error> {
    let mut again: Vec<&Write> = Vec::new();
    for write in &group.writes {
        match write_one(folder, group.controller, write) {
            Err(error) if is_order(&error) && group.writes.len() > 1 => again.push(write),
            done => done.map_err(|error| of_setting(write.setting, error))?,
        }
    }
    again.into_iter().try_for_each(|write| {
        write_one(folder, group.controller, write).map_err(|error| of_setting(write.setting, error))
    })
}

/// A file's error with the limit that it was for.
pub(super) fn of_setting(setting: &'static str, error: Error) -> Error {
    match error {
        Error::File { .. } => Error::Limit { setting, cause: Box::new(error) },
        named => named,
    }
}

/// The errors of a value that contradicts another one.
fn is_order(error: &Error) -> bool {
    use nix::errno::Errno::{EBUSY, EINVAL};
    matches!(file::errno(error), Some(EINVAL | EBUSY))
}

fn write_one(folder: &Path, controller: &str, write: &Write) -> Result<(), Error> {
    let value = limits_v2::complete(folder, write)?;
    match file::write(&folder.join(&write.file), &value) {
        Err(error) if file::is_gone(&error) && folder.exists() => match write.if_missing {
            IfMissing::Skip => Ok(()),
            IfMissing::Refuse => {
                Err(missing(&format!("{controller} ({})", write.file), write.setting))
            }
        },
        done => done,
    }
}

/// `unified`: files of cgroup v2, written as they are given.
fn apply_unified(here: &Layout, resources: &LinuxResources) -> Result<(), Error> {
    let Some(unified) = resources.unified() else { return Ok(()) };
    let mut files: Vec<_> = unified.iter().collect();
    files.sort();
    for (name, value) in files {
        let controller = name.split('.').next().unwrap_or_default();
        if name.contains('/') || !name.contains('.') {
            return Err(Error::Value { setting: "unified", value: name.clone() });
        }
        let unavailable = || missing(controller, &format!("unified {name:?}"));
        let folder = here.v2.as_deref().ok_or_else(unavailable)?;
        for line in value.lines().filter(|line| !line.is_empty()) {
            match file::write(&folder.join(name), line) {
                // Without swap accounting nothing swaps on this cgroup's behalf.
                Err(error)
                    if file::is_gone(&error)
                        && (name.as_str(), line) == ("memory.swap.max", "0")
                        && folder.join("memory.max").exists() => {}
                Err(error) if file::is_gone(&error) => return Err(unavailable()),
                done => done.map_err(|error| of_setting("unified", error))?,
            }
        }
    }
    Ok(())
}

/// The least there is.
pub(super) const MIN_SHARES: u64 = 2;

/// The cgroup v2 weight (1–10000) that has the effect of v1 `shares`
/// (2–262144): 1024 shares are weight 100. The curve of runc 1.3.2 and later,
/// `10^((l² + 125 l) / 612 − 7 / 34)` with `l = log2(shares)`.
#[must_use]
pub fn weight_of_shares(shares: u64) -> u64 {
    const MOST: u64 = 262_144;
    if shares <= MIN_SHARES {
        return 1;
    }
    if shares >= MOST {
        return 10_000;
    }
    #[expect(clippy::cast_precision_loss, reason = "shares are below 2^18")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10000 for shares in range"
    )]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_the_weights_of_current_runtimes() {
        for (shares, weight) in [
            (0, 1),
            (2, 1),
            (10, 4),
            (51, 11),
            (102, 17),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (4096, 303),
            (16_384, 942),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight_of_shares(shares), weight, "{shares} shares");
        }
    }
}
