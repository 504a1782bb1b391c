//! Volumes.

use super::container::{Planner, pull_policy};
use super::env::{field_ref, object_ref};
use super::resources;
use crate::manifest::types::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, HostPathVolumeSource, KeyToPath, Volume,
    VolumeProjection,
};
use crate::model::plan::KeyToPath as KeyToPathPlan;
use crate::model::plan::{
    DownwardFile, DownwardValue, FilesPlugin, FilesSource, FilesVolume, HostPathCheck, Medium,
    ObjectKind, VolumePlan, VolumeSource,
};

/// A volume whose source podrt has; [`super::refuse`] has stopped all others.
pub(super) fn volume(volume: &Volume, planner: &Planner<'_>) -> VolumePlan {
    let source = source(volume, planner);
    let no_source = || VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: None };
    VolumePlan { name: volume.name.clone(), source: source.unwrap_or_else(no_source) }
}

fn source(volume: &Volume, planner: &Planner<'_>) -> Option<VolumeSource> {
    if let Some(source) = &volume.empty_dir {
        return Some(empty_dir(source, planner));
    }
    if let Some(source) = &volume.host_path {
        return Some(host_path(source));
    }
    if let Some(source) = &volume.image {
        let (reference, policy) = (source.reference.clone(), &source.pull_policy);
        return Some(VolumeSource::Image { reference, pull_policy: pull_policy(policy) });
    }
    if let Some(source) = &volume.persistent_volume_claim {
        let (name, read_only) = (source.claim_name.clone(), source.read_only);
        return Some(VolumeSource::Claim { name, read_only });
    }
    files(volume, planner).map(VolumeSource::Files)
}

fn empty_dir(source: &EmptyDirVolumeSource, planner: &Planner<'_>) -> VolumeSource {
    let limit = source.size_limit.as_ref().and_then(|limit| u64::try_from(limit.value()).ok());
    let limit = limit.filter(|bytes| *bytes > 0);
    let medium = match source.medium.as_str() {
        "Memory" => Medium::Memory,
        "HugePages" => Medium::HugePages(None),
        medium => match medium.strip_prefix("HugePages-") {
            Some(size) => Medium::HugePages(Some(size.to_owned())),
            None => Medium::Disk,
        },
    };
    let size_limit_bytes = match medium {
        Medium::Memory => Some(memory_size(limit, planner)),
        _ => limit,
    };
    VolumeSource::EmptyDir { medium, size_limit_bytes }
}

/// A tmpfs holds the least of its own limit, the pod's and the node's memory.
fn memory_size(limit: Option<u64>, planner: &Planner<'_>) -> u64 {
    let node = planner.options().node_memory_bytes;
    let pod = resources::memory_limit_bytes(planner.spec());
    let pod = pod.and_then(|bytes| u64::try_from(bytes).ok());
    [limit, pod].into_iter().flatten().fold(node, u64::min)
}

fn host_path(source: &HostPathVolumeSource) -> VolumeSource {
    let check = match source.r#type.as_deref().unwrap_or_default() {
        "DirectoryOrCreate" => HostPathCheck::DirectoryOrCreate,
        "Directory" => HostPathCheck::Directory,
        "FileOrCreate" => HostPathCheck::FileOrCreate,
        "File" => HostPathCheck::File,
        "Socket" => HostPathCheck::Socket,
        "CharDevice" => HostPathCheck::CharDevice,
        "BlockDevice" => HostPathCheck::BlockDevice,
        _ => HostPathCheck::Unset,
    };
    VolumeSource::HostPath { path: source.path.clone(), check }
}

fn mode(mode: Option<i32>) -> Option<u32> {
    mode.and_then(|mode| u32::try_from(mode).ok())
}

fn files(volume: &Volume, planner: &Planner<'_>) -> Option<FilesVolume> {
    let of = |plugin, default_mode: Option<i32>, sources| FilesVolume {
        plugin,
        default_mode: mode(default_mode).unwrap_or(0o644),
        sources,
    };
    if let Some(source) = &volume.config_map {
        let object = object_ref(ObjectKind::ConfigMap, &source.name, source.optional);
        let files = FilesSource::Object { object, items: items(&source.items) };
        return Some(of(FilesPlugin::ConfigMap, source.default_mode, vec![files]));
    }
    if let Some(source) = &volume.secret {
        let object = object_ref(ObjectKind::Secret, &source.secret_name, source.optional);
        let files = FilesSource::Object { object, items: items(&source.items) };
        return Some(of(FilesPlugin::Secret, source.default_mode, vec![files]));
    }
    if let Some(source) = &volume.downward_api {
        let files = FilesSource::Downward { items: downward(&source.items, planner) };
        return Some(of(FilesPlugin::DownwardApi, source.default_mode, vec![files]));
    }
    let source = volume.projected.as_ref()?;
    let sources = source.sources.iter().filter_map(|source| projection(source, planner));
    Some(of(FilesPlugin::Projected, source.default_mode, sources.collect()))
}

fn projection(source: &VolumeProjection, planner: &Planner<'_>) -> Option<FilesSource> {
    if let Some(source) = &source.secret {
        let object = object_ref(ObjectKind::Secret, &source.name, source.optional);
        return Some(FilesSource::Object { object, items: items(&source.items) });
    }
    if let Some(source) = &source.config_map {
        let object = object_ref(ObjectKind::ConfigMap, &source.name, source.optional);
        return Some(FilesSource::Object { object, items: items(&source.items) });
    }
    let source = source.downward_api.as_ref()?;
    Some(FilesSource::Downward { items: downward(&source.items, planner) })
}

fn items(items: &[KeyToPath]) -> Vec<KeyToPathPlan> {
    let item = |item: &KeyToPath| KeyToPathPlan {
        key: item.key.clone(),
        path: item.path.clone(),
        mode: mode(item.mode),
    };
    items.iter().map(item).collect()
}

fn downward(items: &[DownwardAPIVolumeFile], planner: &Planner<'_>) -> Vec<DownwardFile> {
    let value = |item: &DownwardAPIVolumeFile| match &item.resource_field_ref {
        Some(resource) => Some(DownwardValue::Resource(planner.resource_ref(resource, None))),
        None => item.field_ref.as_ref().and_then(field_ref).map(DownwardValue::Field),
    };
    let file = |item: &DownwardAPIVolumeFile| {
        Some(DownwardFile { path: item.path.clone(), mode: mode(item.mode), value: value(item)? })
    };
    items.iter().filter_map(file).collect()
}
