//! All volumes of one pod.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use super::{ContentSource, Result};
use crate::model::plan::PodPlan;

/// The volumes of a pod that are set up. What is kept in memory only (tmpfs)
/// lives in fds that the caller lets somebody longer-lived hold.
#[derive(Debug)]
pub struct VolumeSet {
    plan: PodPlan,
}

impl VolumeSet {
    /// The volumes of a plan, none set up yet. Touches nothing.
    #[must_use]
    pub fn new(plan: &PodPlan) -> Self {
        Self { plan: plan.clone() }
    }

    /// Takes back, after a restart, the fds that [`VolumeSet::kept`] named.
    pub fn adopt(&mut self, kept: Vec<(String, OwnedFd)>) {
        todo!("{kept:?}")
    }

    /// The fds without which volumes would be lost, with the volume's name.
    pub fn kept(&self) -> Vec<(&str, BorrowedFd<'_>)> {
        todo!("{self:?}")
    }

    /// Sets one volume up; again is no harm. Image volumes are given with
    /// [`VolumeSet::give`] instead.
    ///
    /// # Errors
    /// The text is the `ERR` of `MountVolume.SetUp failed for volume "V" : ERR`.
    pub fn set_up(&mut self, volume: &str, source: &dyn ContentSource) -> Result<()> {
        todo!("{volume} {}", source.field(&crate::model::plan::FieldRef::Name))
    }

    /// The detached mount of an image volume.
    pub fn give(&mut self, volume: &str, mount: OwnedFd) {
        todo!("{volume} {mount:?}")
    }

    /// Brings a configMap, secret, downwardAPI or projected volume up to date;
    /// false when nothing had changed.
    ///
    /// # Errors
    /// As for [`VolumeSet::set_up`].
    pub fn update(&mut self, volume: &str, source: &dyn ContentSource) -> Result<bool> {
        todo!("{volume} {}", source.field(&crate::model::plan::FieldRef::Name))
    }

    /// A detached tree for a container to attach: the volume, or what lies at
    /// `sub_path` in it. `container` is for the error's text.
    ///
    /// # Errors
    /// The kubelet's texts for sub paths.
    pub fn bind_source(
        &self,
        volume: &str,
        sub_path: Option<&str>,
        container: &str,
    ) -> Result<OwnedFd> {
        todo!("{volume} {sub_path:?} {container}")
    }

    /// Bytes an emptyDir uses on disk.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn usage_bytes(&self, volume: &str) -> Result<u64> {
        todo!("{volume} {}", self.plan.name)
    }
}

/// Removes the pod's folder ([`crate::model::Roots::pod_data`]) with all
/// volumes; again is no harm.
///
/// # Errors
/// When something cannot be removed.
pub fn tear_down(pod_data: &Path) -> Result<()> {
    todo!("{pod_data:?}")
}
