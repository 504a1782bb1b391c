//! `podrt restore`.

use super::checkpoint::{
    self, AUTO_DEDUP, CGROUPS_MODE, EMPTY_NS, EXT_UNIX_SK, FILE_LOCKS, IMAGE_PATH, LAZY_PAGES,
    SHELL_JOB, TCP_ESTABLISHED, WORK_PATH,
};
use super::create::{BUNDLE, CONSOLE_SOCKET, NO_PIVOT, PID_FILE};
use super::flags::{Grammar, Typed, switch, value};
use super::report::{Failure, Outcome};
use super::run as run_verb;
use crate::cli::globals::Globals;
use crate::container::{self, checkpoint::RestoreOptions};
use crate::sys::exec_view::ViewMounts;
use crate::sys::prctl;

pub const GRAMMAR: Grammar = Grammar {
    verb: "restore",
    words: "ID",
    about: "Make a container of the files that checkpoint wrote and let it run on.",
    flags: &[
        CONSOLE_SOCKET,
        IMAGE_PATH,
        WORK_PATH,
        TCP_ESTABLISHED,
        EXT_UNIX_SK,
        SHELL_JOB,
        FILE_LOCKS,
        CGROUPS_MODE,
        BUNDLE,
        switch("detach", "d", "do not wait"),
        PID_FILE,
        switch("no-subreaper", "", "do not take orphaned processes of the container over"),
        NO_PIVOT,
        EMPTY_NS,
        AUTO_DEDUP,
        LAZY_PAGES,
        value("lsm-profile", "", "TYPE:NAME of another LSM profile, apparmor or selinux"),
        value("lsm-mount-context", "", "another LSM context for mounts that have one"),
    ],
    least: 1,
    most: 1,
};

pub fn run(globals: &Globals, typed: &Typed) -> Outcome {
    prctl::default_sigchld();
    // criu needs a mount of its own at the root, and moves to it in its way.
    if typed.has("no-pivot") {
        return Err(Failure::Contradiction("--no-pivot: criu always uses pivot_root".to_owned()));
    }
    // Before the current folder becomes the bundle.
    let images = checkpoint::images(typed)?;
    let options = RestoreOptions {
        images,
        shared: checkpoint::shared(typed)?,
        lsm_profile: typed.text("lsm-profile")?.map(str::to_owned),
        lsm_mount_context: typed.text("lsm-mount-context")?.map(str::to_owned),
        create: run_verb::options(globals, typed, ViewMounts::default())?,
    };
    let (id, root) = (options.create.id.clone(), options.create.state_root.clone());
    run_verb::until_end(&root, &id, typed, || {
        container::checkpoint::restore(options).map_err(Failure::of("restore", id.as_str()))
    })
}
