//! The levels of service below which pods' cgroups lie.

use super::Result;
use crate::cgroup::{Cgroup, LevelShare};

/// The cgroup below which all of podrt's own are.
const TOP: &str = "/podrt/";

/// The level of a pod's cgroup, of podrt's own only: what a kubelet names is
/// the kubelet's.
fn level_of(pod_cgroup: &str) -> Option<(&str, LevelShare)> {
    let (level, _) = pod_cgroup.rsplit_once('/')?;
    match level.strip_prefix(TOP)? {
        "besteffort" => Some((level, LevelShare::Least)),
        "burstable" => Some((level, LevelShare::Sum)),
        _ => None,
    }
}

/// A pod has come to its level, or has left it.
///
/// # Errors
/// The value is refused.
pub fn settle_level(pod_cgroup: &str) -> Result<()> {
    match level_of(pod_cgroup) {
        Some((level, share)) => Ok(Cgroup::weigh_level(level, share)?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_podrts_own_levels_are_weighed() {
        assert_eq!(level_of("/podrt/burstable/pod1"), Some(("/podrt/burstable", LevelShare::Sum)));
        let least = Some(("/podrt/besteffort", LevelShare::Least));
        assert_eq!(level_of("/podrt/besteffort/pod1"), least);
        for other in ["/podrt/pod1", "/kubepods/burstable/pod1", "pod1"] {
            assert_eq!(level_of(other), None, "{other}");
        }
    }
}
