//! Which namespaces are made by the clone, which are joined or made after it,
//! and where one more process is needed.

use std::os::fd::{AsFd, OwnedFd};

use super::super::namespace::Namespace;
use super::super::stage::{Stage, StepError};
use super::channel::ChildEnd;
use crate::sys::process::{self, CloneFlags};

/// What a container does about one kind of namespace.
#[derive(Debug)]
pub(in super::super) enum Choice {
    New,
    Join(OwnedFd),
}

/// Where the process that becomes the container's is another than the cloned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Hop {
    /// Nowhere.
    None,
    /// At once: the pid namespace is new and empty, and /proc must show it.
    Early,
    /// After the drop of privileges: processes of the joined pid namespace
    /// never see a privileged one.
    Late,
}

/// The order of things, resolved.
#[derive(Debug)]
pub(in super::super) struct NamespacePlan {
    /// Made by clone3.
    pub(in super::super) clone: CloneFlags,
    /// Joined afterwards, in this order; the pid namespace for children only.
    joins: Vec<(Namespace, OwnedFd)>,
    /// A user namespace made after the joins, which the host's must precede.
    unshare_user: bool,
    /// Made after that.
    unshare: CloneFlags,
    /// Made last, when the process is in its cgroup: the namespace is rooted
    /// there.
    pub(in super::super) own_cgroup: bool,
    /// Made, set and entered after the clone: the offsets are fixed once the
    /// first process is inside.
    pub(in super::super) own_time: bool,
    pub(in super::super) hop: Hop,
    /// The process ends up in another user namespace than its maker's.
    pub(in super::super) foreign_user: bool,
    pub(in super::super) own_network: bool,
    pub(in super::super) own_mount: bool,
    pub(in super::super) own_uts: bool,
    pub(in super::super) own_pid: bool,
    /// Not the maker's, be it new or joined.
    pub(in super::super) has_ipc: bool,
    pub(in super::super) has_network: bool,
}

impl NamespacePlan {
    /// Decides the order. Everything new is made by the clone, except where a
    /// namespace of the host's must be joined first and a user namespace would
    /// forbid that afterwards.
    pub(in super::super) fn new(choices: Vec<(Namespace, Choice)>) -> Self {
        let mut new = CloneFlags::empty();
        let mut joins = Vec::new();
        for (kind, choice) in choices {
            match choice {
                Choice::New => new |= kind.flag(),
                Choice::Join(fd) => joins.push((kind, fd)),
            }
        }
        // The user namespace last: until then the process has the host's
        // privileges, which reach into every namespace below.
        joins.sort_by_key(|(kind, _)| (*kind == Namespace::User, *kind));
        let joins_kind = |kind| joins.iter().any(|(joined, _)| *joined == kind);
        let new_user = new.contains(CloneFlags::NEWUSER);
        let joins_user = joins_kind(Namespace::User);
        let deferred = joins_user || (new_user && !joins.is_empty());
        let late = CloneFlags::NEWCGROUP | CloneFlags::NEWTIME;
        let made = without(new, late);
        let own_pid = new.contains(CloneFlags::NEWPID);
        let hop = match (own_pid && deferred, joins_kind(Namespace::Pid)) {
            (true, _) => Hop::Early,
            (false, true) => Hop::Late,
            (false, false) => Hop::None,
        };
        Self {
            clone: if deferred { CloneFlags::empty() } else { made },
            unshare_user: deferred && new_user,
            unshare: if deferred {
                without(made, CloneFlags::NEWUSER)
            } else {
                CloneFlags::empty()
            },
            own_cgroup: new.contains(CloneFlags::NEWCGROUP),
            own_time: new.contains(CloneFlags::NEWTIME),
            hop,
            foreign_user: new_user || joins_user,
            own_network: new.contains(CloneFlags::NEWNET),
            own_mount: new.contains(CloneFlags::NEWNS),
            own_uts: new.contains(CloneFlags::NEWUTS) || joins_kind(Namespace::Uts),
            own_pid,
            has_ipc: new.contains(CloneFlags::NEWIPC) || joins_kind(Namespace::Ipc),
            has_network: new.contains(CloneFlags::NEWNET) || joins_kind(Namespace::Network),
            joins,
        }
    }

    /// True if the clone itself makes the user namespace: the child is without
    /// the host's privileges from its first instruction.
    pub(in super::super) fn clones_user(&self) -> bool {
        self.clone.contains(CloneFlags::NEWUSER)
    }

    /// True if the maker must write user mappings.
    pub(in super::super) fn makes_user(&self) -> bool {
        self.clones_user() || self.unshare_user
    }

    /// The pid namespace to join, for the mount of its procfs.
    pub(in super::super) fn joined_pid(&self) -> Option<&OwnedFd> {
        self.joins.iter().find(|(kind, _)| *kind == Namespace::Pid).map(|(_, fd)| fd)
    }

    /// In the child: joins and makes what the clone did not. Afterwards the
    /// process is root of its user namespace.
    pub(super) fn enter(&self, channel: &ChildEnd, offsets: Option<&str>) -> Result<(), StepError> {
        Stage::JoinNamespaces.reach()?;
        for (kind, fd) in &self.joins {
            process::setns(fd.as_fd(), kind.flag()).map_err(|mut error| {
                error.args = kind.file().to_owned();
                StepError::call(Stage::JoinNamespaces, &error)
            })?;
        }
        if self.unshare_user {
            unshare(CloneFlags::NEWUSER)?;
        }
        Stage::UserMappings.reach()?;
        if self.makes_user() {
            channel
                .request_mappings()
                .map_err(|error| StepError::call(Stage::UserMappings, &error))?;
        }
        if self.foreign_user {
            become_root()?;
        }
        Stage::UnshareNamespaces.reach()?;
        if !self.unshare.is_empty() {
            unshare(self.unshare)?;
        }
        Stage::TimeOffsets.reach()?;
        if self.own_time {
            enter_time(offsets)?;
        }
        Ok(())
    }
}

fn without(flags: CloneFlags, remove: CloneFlags) -> CloneFlags {
    Namespace::ALL
        .into_iter()
        .map(Namespace::flag)
        .filter(|flag| flags.contains(*flag) && !remove.contains(*flag))
        .fold(CloneFlags::empty(), CloneFlags::union)
}

fn unshare(kinds: CloneFlags) -> Result<(), StepError> {
    process::unshare(kinds).map_err(|error| StepError::call(Stage::UnshareNamespaces, &error))
}

/// The ids of the host mean nothing in the new namespace.
fn become_root() -> Result<(), StepError> {
    use nix::unistd::{Gid, Uid};
    crate::sys::prctl::become_user(Uid::from_raw(0), Gid::from_raw(0), &[])
        .map_err(|error| StepError::call(Stage::UserMappings, &error))
}

/// unshare(CLONE_NEWTIME) changes the children's namespace only; offsets can
/// be written until the first process enters, which setns(2) does here.
fn enter_time(offsets: Option<&str>) -> Result<(), StepError> {
    let step = |error| StepError::call(Stage::TimeOffsets, &error);
    unshare(CloneFlags::NEWTIME)?;
    let proc = super::procfs::ProcDir::open().map_err(step)?;
    if let Some(offsets) = offsets {
        proc.write("self/timens_offsets", offsets).map_err(step)?;
    }
    let own = proc.open_namespace("self", "time_for_children").map_err(step)?;
    process::setns(own.as_fd(), CloneFlags::NEWTIME).map_err(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_fd() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn plan(new: &[Namespace], joined: &[Namespace]) -> NamespacePlan {
        let new = new.iter().map(|kind| (*kind, Choice::New));
        let joined = joined.iter().map(|kind| (*kind, Choice::Join(some_fd())));
        NamespacePlan::new(new.chain(joined).collect())
    }

    #[test]
    fn all_new_namespaces_but_cgroup_and_time_are_made_by_one_clone() {
        let plan = plan(&Namespace::ALL, &[]);
        let late = CloneFlags::NEWCGROUP | CloneFlags::NEWTIME;
        for kind in Namespace::ALL {
            assert_eq!(plan.clone.contains(kind.flag()), !late.contains(kind.flag()), "{kind:?}");
        }
        assert!(plan.own_cgroup && plan.own_time && plan.clones_user());
        assert!(plan.unshare.is_empty() && plan.hop == Hop::None);
    }

    #[test]
    fn a_pods_container_joins_what_pause_holds_and_makes_the_rest_by_the_clone() {
        use Namespace::{Cgroup, Ipc, Mount, Network, Pid, Uts};
        let plan = plan(&[Mount, Pid, Cgroup], &[Network, Ipc, Uts]);
        assert_eq!(plan.clone, CloneFlags::NEWNS | CloneFlags::NEWPID);
        assert_eq!(plan.hop, Hop::None);
        assert!(plan.own_uts && !plan.foreign_user);
    }

    #[test]
    fn a_joined_pid_namespace_is_entered_by_a_last_process() {
        let plan = plan(&[Namespace::Mount], &[Namespace::Pid]);
        assert_eq!(plan.hop, Hop::Late);
        assert_eq!(plan.clone, CloneFlags::NEWNS);
        assert!(plan.joined_pid().is_some());
    }

    #[test]
    fn namespaces_of_the_host_are_joined_before_a_user_namespace_takes_the_right_away() {
        use Namespace::{Mount, Network, Pid, User};
        let plan = plan(&[User, Mount, Pid], &[Network]);
        assert!(plan.clone.is_empty() && plan.unshare_user && plan.makes_user());
        assert_eq!(plan.unshare, CloneFlags::NEWNS | CloneFlags::NEWPID);
        assert_eq!(plan.hop, Hop::Early);
    }

    #[test]
    fn a_joined_user_namespace_comes_last_of_the_joined_and_before_the_made() {
        use Namespace::{Ipc, Mount, Network, User};
        let plan = plan(&[Mount], &[User, Network, Ipc]);
        let order: Vec<_> = plan.joins.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(order, [Ipc, Network, User]);
        assert!(plan.clone.is_empty() && !plan.makes_user() && plan.foreign_user);
        assert_eq!(plan.unshare, CloneFlags::NEWNS);
    }
}
