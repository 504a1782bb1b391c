//! Plans in a few words.

use std::collections::BTreeMap;

use crate::model::plan::{
    AppArmorChoice, ContainerPlan, DnsPlan, Handler, HookPlan, NetworkMode, PLAN_VERSION, PodPlan,
    ProbePlan, PullPolicy, QosClass, Resources, RestartAction, RestartPolicy, RestartRule,
    SandboxPlan, SeccompChoice, SecurityPlan, TerminationMessagePolicy,
};
use crate::model::{PodUid, Roots, Timestamp};

pub fn pod(restart_policy: RestartPolicy, containers: Vec<ContainerPlan>) -> PodPlan {
    PodPlan {
        version: PLAN_VERSION,
        uid: PodUid::new("11111111-2222").expect("a uid"),
        namespace: "default".into(),
        name: "web".into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        generation: 1,
        created_at: Timestamp(0),
        roots: Roots::default(),
        node_name: "node".into(),
        service_account_name: "default".into(),
        enable_service_links: true,
        is_static: false,
        restart_policy,
        termination_grace_seconds: 30,
        active_deadline_seconds: None,
        readiness_gates: Vec::new(),
        qos: QosClass::BestEffort,
        max_backoff_seconds: 300,
        log_limits: crate::model::plan::LogLimits::default(),
        sandbox: sandbox(),
        volumes: Vec::new(),
        init_containers: Vec::new(),
        containers,
        ephemeral_containers: Vec::new(),
    }
}

fn sandbox() -> SandboxPlan {
    SandboxPlan {
        hostname: "web".into(),
        domain: None,
        network: NetworkMode::None,
        host_pid: false,
        host_ipc: false,
        share_process_namespace: false,
        user_namespace: false,
        sysctls: BTreeMap::new(),
        host_ports: Vec::new(),
        dns: DnsPlan {
            from_host: true,
            cluster_dns_missing: false,
            nameservers: Vec::new(),
            searches: Vec::new(),
            options: Vec::new(),
        },
        host_aliases: Vec::new(),
        privileged: false,
        run_as_user: None,
        run_as_group: None,
        fs_group: None,
        fs_group_on_root_mismatch: false,
        supplemental_groups: Vec::new(),
        strict_groups: false,
        resources: Resources::default(),
    }
}

pub fn container(name: &str) -> ContainerPlan {
    ContainerPlan {
        name: name.into(),
        image: format!("{name}:1"),
        pull_policy: PullPolicy::IfNotPresent,
        command: None,
        args: None,
        working_dir: None,
        env_from: Vec::new(),
        env: Vec::new(),
        mounts: Vec::new(),
        ports: Vec::new(),
        resources: Resources::default(),
        requests: BTreeMap::new(),
        limits: BTreeMap::new(),
        oom_score_adj: 1000,
        security: security(),
        startup_probe: None,
        liveness_probe: None,
        readiness_probe: None,
        post_start: None,
        pre_stop: None,
        stop_signal: None,
        termination_message_path: "/dev/termination-log".into(),
        termination_message_policy: TerminationMessagePolicy::File,
        restart_policy: None,
        restart_rules: Vec::new(),
        target_container: None,
        stdin: false,
        stdin_once: false,
        tty: false,
    }
}

pub fn sidecar(name: &str) -> ContainerPlan {
    ContainerPlan { restart_policy: Some(RestartPolicy::Always), ..container(name) }
}

fn security() -> SecurityPlan {
    SecurityPlan {
        privileged: false,
        run_as_user: None,
        run_as_group: None,
        run_as_non_root: false,
        read_only_root: false,
        allow_privilege_escalation: true,
        capabilities_add: Vec::new(),
        capabilities_drop: Vec::new(),
        unmasked_proc: false,
        seccomp: SeccompChoice::Unconfined,
        apparmor: AppArmorChoice::Unset,
        selinux: None,
    }
}

pub fn probe(period_seconds: u32, failure_threshold: u32) -> ProbePlan {
    ProbePlan {
        handler: Handler::Exec { command: vec!["true".into()] },
        initial_delay_seconds: 0,
        period_seconds,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold,
        termination_grace_seconds: None,
    }
}

pub fn hook() -> HookPlan {
    HookPlan { handler: Handler::Exec { command: vec!["true".into()] } }
}

pub fn rule(action: RestartAction, matches_values: bool, codes: &[i32]) -> RestartRule {
    RestartRule { action, matches_values, exit_codes: codes.to_vec() }
}
