//! The host's devices, for a privileged container.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

/// Folders of /dev that are no devices of the machine's but somebody's own.
const SKIPPED_FOLDERS: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];

/// Every device node below /dev. The container's own console stays its own.
#[must_use]
pub fn of_the_host() -> Vec<LinuxDevice> {
    let mut found = Vec::new();
    collect(Path::new("/dev"), 0, &mut found);
    found
}

fn collect(folder: &Path, depth: u32, found: &mut Vec<LinuxDevice>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        // Not following links: a node is listed once, at its own place.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            let own = depth == 0 && SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped);
            if !own && depth < 8 {
                collect(&path, depth + 1, found);
            }
        } else if !(depth == 0 && name == "console") {
            found.extend(device(&path, &metadata));
        }
    }
}

fn device(path: &Path, metadata: &std::fs::Metadata) -> Option<LinuxDevice> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return None,
    };
    let number = |part: u64| i64::try_from(part).unwrap_or(-1);
    let mut device = LinuxDevice::default();
    device
        .set_path(path.to_owned())
        .set_typ(kind)
        .set_major(number(nix::sys::stat::major(metadata.rdev())))
        .set_minor(number(nix::sys::stat::minor(metadata.rdev())))
        .set_file_mode(Some(metadata.mode() & 0o7777))
        .set_uid(Some(metadata.uid()))
        .set_gid(Some(metadata.gid()));
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_device_is_among_the_hosts_and_the_console_is_not() {
        let devices = of_the_host();
        let has = |path: &str| devices.iter().any(|device| device.path() == Path::new(path));
        assert!(has("/dev/null") && !has("/dev/console") && !has("/dev/pts/ptmx"));
    }
}
