//! Volumes, their mounts, and the sources that one machine has.

use std::collections::BTreeMap;

use super::{
    AWSElasticBlockStoreVolumeSource, AzureDiskVolumeSource, AzureFileVolumeSource,
    CSIVolumeSource, CephFSVolumeSource, CinderVolumeSource, FCVolumeSource, FlexVolumeSource,
    FlockerVolumeSource, GCEPersistentDiskVolumeSource, GitRepoVolumeSource, GlusterfsVolumeSource,
    ISCSIVolumeSource, LabelSelector, NFSVolumeSource, ObjectFieldSelector, ObjectMeta,
    PersistentVolumeClaimSpec, PhotonPersistentDiskVolumeSource, PortworxVolumeSource,
    QuobyteVolumeSource, RBDVolumeSource, ResourceFieldSelector, ScaleIOVolumeSource,
    StorageOSVolumeSource, VsphereVirtualDiskVolumeSource,
};
use crate::manifest::schema::objects;
use crate::model::Quantity;

objects! {
    Volume {
        name: String = "name" [always],
        host_path: Option<HostPathVolumeSource> = "hostPath",
        empty_dir: Option<EmptyDirVolumeSource> = "emptyDir",
        gce_persistent_disk: Option<GCEPersistentDiskVolumeSource> = "gcePersistentDisk",
        aws_elastic_block_store: Option<AWSElasticBlockStoreVolumeSource> = "awsElasticBlockStore",
        git_repo: Option<GitRepoVolumeSource> = "gitRepo",
        secret: Option<SecretVolumeSource> = "secret",
        nfs: Option<NFSVolumeSource> = "nfs",
        iscsi: Option<ISCSIVolumeSource> = "iscsi",
        glusterfs: Option<GlusterfsVolumeSource> = "glusterfs",
        persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource> = "persistentVolumeClaim",
        rbd: Option<RBDVolumeSource> = "rbd",
        flex_volume: Option<FlexVolumeSource> = "flexVolume",
        cinder: Option<CinderVolumeSource> = "cinder",
        cephfs: Option<CephFSVolumeSource> = "cephfs",
        flocker: Option<FlockerVolumeSource> = "flocker",
        downward_api: Option<DownwardAPIVolumeSource> = "downwardAPI",
        fc: Option<FCVolumeSource> = "fc",
        azure_file: Option<AzureFileVolumeSource> = "azureFile",
        config_map: Option<ConfigMapVolumeSource> = "configMap",
        vsphere_volume: Option<VsphereVirtualDiskVolumeSource> = "vsphereVolume",
        quobyte: Option<QuobyteVolumeSource> = "quobyte",
        azure_disk: Option<AzureDiskVolumeSource> = "azureDisk",
        photon_persistent_disk: Option<PhotonPersistentDiskVolumeSource> = "photonPersistentDisk",
        projected: Option<ProjectedVolumeSource> = "projected",
        portworx_volume: Option<PortworxVolumeSource> = "portworxVolume",
        scale_io: Option<ScaleIOVolumeSource> = "scaleIO",
        storageos: Option<StorageOSVolumeSource> = "storageos",
        csi: Option<CSIVolumeSource> = "csi",
        ephemeral: Option<EphemeralVolumeSource> = "ephemeral",
        image: Option<ImageVolumeSource> = "image",
    }

    VolumeMount {
        name: String = "name" [always],
        read_only: bool = "readOnly",
        recursive_read_only: Option<String> = "recursiveReadOnly" as "v1.RecursiveReadOnlyMode",
        mount_path: String = "mountPath" [always],
        sub_path: String = "subPath",
        mount_propagation: Option<String> = "mountPropagation" as "v1.MountPropagationMode",
        sub_path_expr: String = "subPathExpr",
    }

    VolumeDevice {
        name: String = "name" [always],
        device_path: String = "devicePath" [always],
    }

    HostPathVolumeSource {
        path: String = "path" [always],
        r#type: Option<String> = "type" as "v1.HostPathType",
    }

    EmptyDirVolumeSource {
        medium: String = "medium" as "v1.StorageMedium",
        size_limit: Option<Quantity> = "sizeLimit",
    }

    SecretVolumeSource {
        secret_name: String = "secretName",
        items: Vec<KeyToPath> = "items",
        default_mode: Option<i32> = "defaultMode",
        optional: Option<bool> = "optional",
    }

    ConfigMapVolumeSource {
        name: String = "name",
        items: Vec<KeyToPath> = "items",
        default_mode: Option<i32> = "defaultMode",
        optional: Option<bool> = "optional",
    }

    KeyToPath {
        key: String = "key" [always],
        path: String = "path" [always],
        mode: Option<i32> = "mode",
    }

    DownwardAPIVolumeSource {
        items: Vec<DownwardAPIVolumeFile> = "items",
        default_mode: Option<i32> = "defaultMode",
    }

    DownwardAPIVolumeFile {
        path: String = "path" [always],
        field_ref: Option<ObjectFieldSelector> = "fieldRef",
        resource_field_ref: Option<ResourceFieldSelector> = "resourceFieldRef",
        mode: Option<i32> = "mode",
    }

    ProjectedVolumeSource {
        sources: Vec<VolumeProjection> = "sources" [always],
        default_mode: Option<i32> = "defaultMode",
    }

    VolumeProjection {
        secret: Option<SecretProjection> = "secret",
        downward_api: Option<DownwardAPIProjection> = "downwardAPI",
        config_map: Option<ConfigMapProjection> = "configMap",
        service_account_token: Option<ServiceAccountTokenProjection> = "serviceAccountToken",
        cluster_trust_bundle: Option<ClusterTrustBundleProjection> = "clusterTrustBundle",
        pod_certificate: Option<PodCertificateProjection> = "podCertificate",
    }

    SecretProjection {
        name: String = "name",
        items: Vec<KeyToPath> = "items",
        optional: Option<bool> = "optional",
    }

    ConfigMapProjection {
        name: String = "name",
        items: Vec<KeyToPath> = "items",
        optional: Option<bool> = "optional",
    }

    DownwardAPIProjection {
        items: Vec<DownwardAPIVolumeFile> = "items",
    }

    ServiceAccountTokenProjection {
        audience: String = "audience",
        expiration_seconds: Option<i64> = "expirationSeconds",
        path: String = "path" [always],
    }

    ClusterTrustBundleProjection {
        name: Option<String> = "name",
        signer_name: Option<String> = "signerName",
        label_selector: Option<LabelSelector> = "labelSelector",
        optional: Option<bool> = "optional",
        path: String = "path" [always],
    }

    PodCertificateProjection {
        signer_name: String = "signerName",
        key_type: String = "keyType",
        max_expiration_seconds: Option<i32> = "maxExpirationSeconds",
        credential_bundle_path: String = "credentialBundlePath",
        key_path: String = "keyPath",
        certificate_chain_path: String = "certificateChainPath",
        user_annotations: BTreeMap<String, String> = "userAnnotations",
    }

    PersistentVolumeClaimVolumeSource {
        claim_name: String = "claimName" [always],
        read_only: bool = "readOnly",
    }

    EphemeralVolumeSource {
        volume_claim_template: Option<PersistentVolumeClaimTemplate> = "volumeClaimTemplate",
    }

    PersistentVolumeClaimTemplate {
        metadata: ObjectMeta = "metadata",
        spec: PersistentVolumeClaimSpec = "spec",
    }

    ImageVolumeSource {
        reference: String = "reference",
        pull_policy: String = "pullPolicy" as "v1.PullPolicy",
    }
}

impl Volume {
    /// True when no source is named, which means an `emptyDir`.
    #[must_use]
    pub fn has_no_source(&self) -> bool {
        *self == Self { name: self.name.clone(), ..Self::default() }
    }
}
