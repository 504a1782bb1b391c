//! Faults for tests: named places where a call can be made to fail, or the
//! process to end on the spot.
//!
//! Only builds with debug assertions have them; in a release [`at`] is nothing.
//! `PODRT_FAULTS` names a file with one byte for each [`Point`], which every
//! process of podrt maps: a test arms a point by writing [`FAIL`] or [`KILL`],
//! the first process to get there takes it, and [`HIT`] is what the test finds.
//! A mapping is seen from a child in another file system too.

macro_rules! points {
    ($($point:ident),* $(,)?) => {
        /// Where a test can interfere. A point comes before what it names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Point { $($point),* }

        impl Point {
            pub const ALL: &[Self] = &[$(Self::$point),*];
        }
    };
}

points! {
    // Making a container, its maker's side.
    ClaimState, MakeCgroup, MakeGate, CloneInit, SaveSpec, FinishContainer,
    // The new process: the names and the order of `container::Stage`.
    JoinCgroup, JoinNamespaces, UserMappings, UnshareNamespaces, UnshareCgroup, TimeOffsets,
    Network, Hostname, Keyring, CreateContainerHooks, Rootfs, Console, Sysctls, Rlimits, OomScore,
    Scheduler, Labels, Capabilities, User, NoNewPrivileges, WorkingDirectory, Executable, Seccomp,
    JoinPidNamespace, Session, Descriptors, Gate, StartContainerHooks, Exec,
    // Making a sandbox, its maker's side.
    SandboxCgroup, ClonePause, OpenNamespaces, SharedMemory, StopSandbox,
    // The process that becomes pause: the order of `sandbox::Step`.
    PauseJoinCgroup, PauseOomScore, PauseHostname, PauseAwaitNetwork, PauseSysctls, PauseRoot,
    PausePrivileges, PauseDescriptors, PauseExec,
    // The pod's network.
    EnsureBridge, TakeAddress, MakeVeth, ConfigureLink, ReleaseAddress,
    // Volumes.
    SetUpVolume, TearDownVolumes,
    // An image on its way into the store.
    UnpackLayer, SettleLayers, SettleBlobs, WriteImageRecord, PutImageName,
    // A pod's keeper and shim.
    ClaimPod, OpenControlSocket, EnterShimsCgroup, SpawnKeeper, ConnectShim, OpenPodRecord,
    GreetKeeper, CommitMemory, CommitStatus, FinishPod, LeaveShimsCgroup,
}

/// Arms a point: the call fails with EIO.
pub const FAIL: u8 = 1;
/// Arms a point: the process ends at once, without any clean-up.
pub const KILL: u8 = 2;
/// An armed point was reached.
pub const HIT: u8 = 0x80;

/// The environment variable that names the file.
pub const VARIABLE: &str = "PODRT_FAULTS";

#[cfg(debug_assertions)]
pub use active::{at, environment};
#[cfg(not(debug_assertions))]
pub use inert::{at, environment};

#[cfg(not(debug_assertions))]
mod inert {
    use super::Point;
    use crate::sys::SyscallError;

    /// Nothing.
    ///
    /// # Errors
    /// None.
    #[inline(always)]
    pub fn at(_: Point) -> Result<(), SyscallError> {
        Ok(())
    }

    /// Nothing.
    #[inline(always)]
    #[must_use]
    pub fn environment() -> Option<String> {
        None
    }
}

#[cfg(debug_assertions)]
mod active {
    use std::fs::OpenOptions;
    use std::os::fd::AsRawFd;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU8, Ordering};

    use nix::errno::Errno;

    use super::{FAIL, HIT, KILL, Point, VARIABLE};
    use crate::sys::SyscallError;
    use crate::sys::process::exit_now;

    /// Fails or ends the process when a test has armed this point.
    ///
    /// # Errors
    /// EIO, when armed so.
    pub fn at(point: Point) -> Result<(), SyscallError> {
        static FAULTS: OnceLock<Option<Faults>> = OnceLock::new();
        let Some(faults) = FAULTS.get_or_init(Faults::map) else { return Ok(()) };
        match faults.take(point) {
            FAIL => Err(SyscallError::new("fault", format!("{point:?}"), Errno::EIO)),
            // Not a signal: the first process of a pid namespace ignores its own.
            KILL => exit_now(137),
            _ => Ok(()),
        }
    }

    /// What a process that is started with an environment of its own needs.
    #[must_use]
    pub fn environment() -> Option<String> {
        std::env::var(VARIABLE).ok().map(|path| format!("{VARIABLE}={path}"))
    }

    struct Faults(&'static [AtomicU8]);

    impl Faults {
        fn map() -> Option<Self> {
            let path = std::env::var_os(VARIABLE)?;
            let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
            let size = Point::ALL.len();
            if file.metadata().ok()?.len() < size as u64 {
                return None;
            }
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the kernel chooses the address, so nothing of ours is
            // replaced; the file is as long as the mapping.
            let memory = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    size,
                    access,
                    libc::MAP_SHARED,
                    file.as_raw_fd(),
                    0,
                )
            };
            if memory == libc::MAP_FAILED {
                return None;
            }
            // SAFETY: the mapping is never undone, an AtomicU8 is a byte, and
            // other processes change it only as atomics too (or as the test,
            // before and after).
            Some(Self(unsafe { std::slice::from_raw_parts(memory.cast(), size) }))
        }

        /// How the point was armed; it is not any more.
        fn take(&self, point: Point) -> u8 {
            let cell = &self.0[point as usize];
            match cell.load(Ordering::Relaxed) {
                0 | HIT => 0,
                armed => cell
                    .compare_exchange(armed, HIT, Ordering::SeqCst, Ordering::SeqCst)
                    .unwrap_or(0),
            }
        }
    }
}
