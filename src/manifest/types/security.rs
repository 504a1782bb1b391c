//! Security contexts of pods and containers.

use crate::manifest::schema::objects;

objects! {
    PodSecurityContext {
        se_linux_options: Option<SELinuxOptions> = "seLinuxOptions",
        windows_options: Option<WindowsSecurityContextOptions> = "windowsOptions",
        run_as_user: Option<i64> = "runAsUser",
        run_as_group: Option<i64> = "runAsGroup",
        run_as_non_root: Option<bool> = "runAsNonRoot",
        supplemental_groups: Vec<i64> = "supplementalGroups",
        supplemental_groups_policy: Option<String> = "supplementalGroupsPolicy" as "v1.SupplementalGroupsPolicy",
        fs_group: Option<i64> = "fsGroup",
        sysctls: Vec<Sysctl> = "sysctls",
        fs_group_change_policy: Option<String> = "fsGroupChangePolicy" as "v1.PodFSGroupChangePolicy",
        seccomp_profile: Option<SeccompProfile> = "seccompProfile",
        app_armor_profile: Option<AppArmorProfile> = "appArmorProfile",
        se_linux_change_policy: Option<String> = "seLinuxChangePolicy" as "v1.PodSELinuxChangePolicy",
    }

    SecurityContext {
        capabilities: Option<Capabilities> = "capabilities",
        privileged: Option<bool> = "privileged",
        se_linux_options: Option<SELinuxOptions> = "seLinuxOptions",
        windows_options: Option<WindowsSecurityContextOptions> = "windowsOptions",
        run_as_user: Option<i64> = "runAsUser",
        run_as_group: Option<i64> = "runAsGroup",
        run_as_non_root: Option<bool> = "runAsNonRoot",
        read_only_root_filesystem: Option<bool> = "readOnlyRootFilesystem",
        allow_privilege_escalation: Option<bool> = "allowPrivilegeEscalation",
        proc_mount: Option<String> = "procMount" as "v1.ProcMountType",
        seccomp_profile: Option<SeccompProfile> = "seccompProfile",
        app_armor_profile: Option<AppArmorProfile> = "appArmorProfile",
    }

    Capabilities {
        add: Vec<String> = "add",
        drop: Vec<String> = "drop",
    }

    SELinuxOptions {
        user: String = "user",
        role: String = "role",
        r#type: String = "type",
        level: String = "level",
    }

    WindowsSecurityContextOptions {
        gmsa_credential_spec_name: Option<String> = "gmsaCredentialSpecName",
        gmsa_credential_spec: Option<String> = "gmsaCredentialSpec",
        run_as_user_name: Option<String> = "runAsUserName",
        host_process: Option<bool> = "hostProcess",
    }

    SeccompProfile {
        r#type: String = "type" as "v1.SeccompProfileType" [always],
        localhost_profile: Option<String> = "localhostProfile",
    }

    AppArmorProfile {
        r#type: String = "type" as "v1.AppArmorProfileType" [always],
        localhost_profile: Option<String> = "localhostProfile",
    }

    Sysctl {
        name: String = "name" [always],
        value: String = "value" [always],
    }
}
