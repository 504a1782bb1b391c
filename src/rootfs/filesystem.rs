//! File systems that a container mounts anew: proc, sysfs, tmpfs, devpts,
//! mqueue, overlay and whatever else the kernel knows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use super::options::MountOptions;
use crate::sys::SyscallError;
use crate::sys::mount::{self, Attributes, FsContext, attr};

/// The longest string that fsconfig(2) takes.
const MAX_VALUE: usize = 255;

/// A file system to be made in the child.
#[derive(Debug)]
pub(super) struct FileSystem {
    pub fs_type: String,
    pub source: String,
    pub options: MountOptions,
}

impl FileSystem {
    pub fn plan(fs_type: &str, source: Option<&Path>, options: MountOptions) -> Self {
        let source = source.map_or_else(String::new, |path| path.to_string_lossy().into_owned());
        let source = if source.is_empty() { fs_type.to_owned() } else { source };
        Self { fs_type: fs_type.to_owned(), source, options }
    }

    /// proc and sysfs show kernel state: they go only where the name says.
    pub fn refuses_symlinks(&self) -> bool {
        matches!(self.fs_type.as_str(), "proc" | "sysfs")
    }

    /// Read-only mounts become so when all is in place: other mounts may need
    /// a mount point in them.
    pub fn is_readonly(&self) -> bool {
        self.options.attributes.is_readonly()
    }

    /// A detached mount; `covered_mode` is the mode of the directory it will
    /// cover, which a tmpfs takes over if no other is given.
    pub fn mount(&self, covered_mode: u32) -> Result<OwnedFd, SyscallError> {
        let context = FsContext::open(&self.fs_type)?;
        context.set("source", &self.source)?;
        self.configure(&context)?;
        if self.fs_type == "tmpfs" && !self.options.data.iter().any(|(key, _)| key == "mode") {
            context.set("mode", &format!("{:o}", covered_mode & 0o7777))?;
        }
        context.create()?;
        let mount = context.mount(self.options.attributes.set & !attr::RDONLY)?;
        let recursive = self.options.recursive;
        if !recursive.is_empty() {
            let change =
                Attributes { set: recursive.set, clear: recursive.clear, ..Default::default() };
            mount::set_attributes(mount.as_fd(), change, true)?;
        }
        Ok(mount)
    }

    fn configure(&self, context: &FsContext) -> Result<(), SyscallError> {
        for flag in &self.options.super_flags {
            context.set_flag(flag)?;
        }
        // One super block may serve many mounts of a virtual file system, and
        // so stays writable; one with a device behind it may have to be `ro`.
        if self.is_readonly() && !is_virtual(&self.fs_type) {
            context.set_flag("ro")?;
        }
        for (key, value) in &self.options.data {
            match value {
                None => context.set_flag(key)?,
                Some(value) if value.len() > MAX_VALUE => self.set_long(context, key, value)?,
                Some(value) => context.set(key, value)?,
            }
        }
        Ok(())
    }

    /// overlay's list of layers, one by one (Linux 6.7).
    fn set_long(&self, context: &FsContext, key: &str, value: &str) -> Result<(), SyscallError> {
        if self.fs_type != "overlay" || key != "lowerdir" || value.contains("::") {
            let what = format!("{key} of {} bytes", value.len());
            return Err(SyscallError::new("fsconfig", what, Errno::ENAMETOOLONG));
        }
        split_unescaped(value).iter().try_for_each(|layer| context.set("lowerdir+", layer))
    }
}

fn is_virtual(fs_type: &str) -> bool {
    ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "ramfs"].contains(&fs_type)
}

/// The parts of a `:`-separated list in which `\:` is a plain colon.
fn split_unescaped(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in list.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ':' if !escaped => parts.push(String::new()),
            _ => {
                escaped = false;
                parts.last_mut().expect("there is always a last part").push(c);
            }
        }
    }
    parts
}

/// Makes a mount read-only by its descriptor.
pub(super) fn set_readonly(mount: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let change = Attributes { set: attr::RDONLY, ..Default::default() };
    mount::set_attributes(mount, change, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_layers_is_split_at_plain_colons() {
        assert_eq!(split_unescaped(r"/a:/b\:c:/d\\e"), ["/a", "/b:c", r"/d\e"]);
    }
}
