//! Volume sources that need a storage system: read strictly, so that a wrong
//! field is found, and refused when a pod is planned.

use std::collections::BTreeMap;

use super::LocalObjectReference;
use crate::manifest::schema::objects;

objects! {
    GCEPersistentDiskVolumeSource {
        pd_name: String = "pdName" [always],
        fs_type: String = "fsType",
        partition: i32 = "partition",
        read_only: bool = "readOnly",
    }

    AWSElasticBlockStoreVolumeSource {
        volume_id: String = "volumeID" [always],
        fs_type: String = "fsType",
        partition: i32 = "partition",
        read_only: bool = "readOnly",
    }

    GitRepoVolumeSource {
        repository: String = "repository" [always],
        revision: String = "revision",
        directory: String = "directory",
    }

    NFSVolumeSource {
        server: String = "server" [always],
        path: String = "path" [always],
        read_only: bool = "readOnly",
    }

    ISCSIVolumeSource {
        target_portal: String = "targetPortal" [always],
        iqn: String = "iqn" [always],
        lun: i32 = "lun" [always],
        iscsi_interface: String = "iscsiInterface",
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
        portals: Vec<String> = "portals",
        chap_auth_discovery: bool = "chapAuthDiscovery",
        chap_auth_session: bool = "chapAuthSession",
        secret_ref: Option<LocalObjectReference> = "secretRef",
        initiator_name: Option<String> = "initiatorName",
    }

    GlusterfsVolumeSource {
        endpoints: String = "endpoints" [always],
        path: String = "path" [always],
        read_only: bool = "readOnly",
    }

    RBDVolumeSource {
        monitors: Vec<String> = "monitors" [always],
        image: String = "image" [always],
        fs_type: String = "fsType",
        pool: String = "pool",
        user: String = "user",
        keyring: String = "keyring",
        secret_ref: Option<LocalObjectReference> = "secretRef",
        read_only: bool = "readOnly",
    }

    FlexVolumeSource {
        driver: String = "driver" [always],
        fs_type: String = "fsType",
        secret_ref: Option<LocalObjectReference> = "secretRef",
        read_only: bool = "readOnly",
        options: BTreeMap<String, String> = "options",
    }

    CinderVolumeSource {
        volume_id: String = "volumeID" [always],
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
        secret_ref: Option<LocalObjectReference> = "secretRef",
    }

    CephFSVolumeSource {
        monitors: Vec<String> = "monitors" [always],
        path: String = "path",
        user: String = "user",
        secret_file: String = "secretFile",
        secret_ref: Option<LocalObjectReference> = "secretRef",
        read_only: bool = "readOnly",
    }

    FlockerVolumeSource {
        dataset_name: String = "datasetName",
        dataset_uuid: String = "datasetUUID",
    }

    FCVolumeSource {
        target_wwns: Vec<String> = "targetWWNs",
        lun: Option<i32> = "lun",
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
        wwids: Vec<String> = "wwids",
    }

    AzureFileVolumeSource {
        secret_name: String = "secretName" [always],
        share_name: String = "shareName" [always],
        read_only: bool = "readOnly",
    }

    VsphereVirtualDiskVolumeSource {
        volume_path: String = "volumePath" [always],
        fs_type: String = "fsType",
        storage_policy_name: String = "storagePolicyName",
        storage_policy_id: String = "storagePolicyID",
    }

    QuobyteVolumeSource {
        registry: String = "registry" [always],
        volume: String = "volume" [always],
        read_only: bool = "readOnly",
        user: String = "user",
        group: String = "group",
        tenant: String = "tenant",
    }

    AzureDiskVolumeSource {
        disk_name: String = "diskName" [always],
        disk_uri: String = "diskURI" [always],
        caching_mode: Option<String> = "cachingMode" as "v1.AzureDataDiskCachingMode",
        fs_type: Option<String> = "fsType",
        read_only: Option<bool> = "readOnly",
        kind: Option<String> = "kind" as "v1.AzureDataDiskKind",
    }

    PhotonPersistentDiskVolumeSource {
        pd_id: String = "pdID" [always],
        fs_type: String = "fsType",
    }

    PortworxVolumeSource {
        volume_id: String = "volumeID" [always],
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
    }

    ScaleIOVolumeSource {
        gateway: String = "gateway" [always],
        system: String = "system" [always],
        secret_ref: Option<LocalObjectReference> = "secretRef" [always],
        ssl_enabled: bool = "sslEnabled",
        protection_domain: String = "protectionDomain",
        storage_pool: String = "storagePool",
        storage_mode: String = "storageMode",
        volume_name: String = "volumeName",
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
    }

    StorageOSVolumeSource {
        volume_name: String = "volumeName",
        volume_namespace: String = "volumeNamespace",
        fs_type: String = "fsType",
        read_only: bool = "readOnly",
        secret_ref: Option<LocalObjectReference> = "secretRef",
    }

    CSIVolumeSource {
        driver: String = "driver" [always],
        read_only: Option<bool> = "readOnly",
        fs_type: Option<String> = "fsType",
        volume_attributes: BTreeMap<String, String> = "volumeAttributes",
        node_publish_secret_ref: Option<LocalObjectReference> = "nodePublishSecretRef",
    }
}
