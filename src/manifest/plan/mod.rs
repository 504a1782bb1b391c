//! A pod and facts of the node → the plan.

mod admit;
mod container;
mod env;
mod handler;
mod qos;
mod refuse;
mod resources;
mod sandbox;
mod security;
mod volume;

use super::error::{Problem, Report};
use super::object::PodObject;
use super::validate::Check;
use crate::model::plan::{LogLimits, NetworkMode, PLAN_VERSION, PodPlan, RestartPolicy};
use crate::model::{PodUid, Roots, Timestamp};

/// What a plan needs beside the pod.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    pub roots: Roots,
    pub uid: PodUid,
    pub node_name: String,
    /// What a pod without `hostNetwork` gets.
    pub network: NetworkMode,
    pub created_at: Timestamp,
    /// The machine's memory, for the OOM score.
    pub node_memory_bytes: u64,
    /// The machine's CPUs.
    pub node_cpus: u32,
    /// The cluster's DNS domain (`cluster.local`).
    pub cluster_domain: String,
    /// `RuntimeDefault` instead of `Unconfined` where no profile is named.
    pub seccomp_default: bool,
    /// The cap of the restart back-off, 1–300.
    pub max_backoff_seconds: u32,
    pub log_limits: LogLimits,
    /// A pod of a manifest directory.
    pub is_static: bool,
}

/// Plans a pod that is defaulted and valid.
///
/// # Errors
/// What this machine cannot honour, each with its field; or, as
/// [`Report::rejection`], why a kubelet would not admit the pod.
pub fn plan(pod: &PodObject, options: &PlanOptions) -> Result<PodPlan, Report> {
    let report = |problem| Report::new(&pod.origin().file, vec![problem]);
    let (kind, name) = ("Pod".to_owned(), pod.metadata.name.clone());
    let mut check = Check::new(pod.origin().node.as_deref());
    refuse::refuse(&mut check, pod, options);
    if !check.errors.is_empty() {
        let errors = check.errors;
        return Err(report(Problem::CannotHonour { kind, name, errors }));
    }
    if let Some(rejection) = admit::rejection(&pod.spec, options) {
        return Err(report(Problem::Rejected { kind, name, rejection }));
    }
    Ok(build(pod, options))
}

fn build(pod: &PodObject, options: &PlanOptions) -> PodPlan {
    let PodObject { metadata, spec, .. } = pod;
    let planner = container::Planner::new(pod, options);
    let sandbox = sandbox::sandbox(pod, options);
    PodPlan {
        version: PLAN_VERSION,
        uid: options.uid.clone(),
        namespace: namespace(pod).to_owned(),
        name: metadata.name.clone(),
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        generation: metadata.generation.max(1),
        created_at: options.created_at,
        roots: options.roots.clone(),
        node_name: options.node_name.clone(),
        service_account_name: spec.service_account_name.clone(),
        enable_service_links: spec.enable_service_links.unwrap_or(true),
        is_static: options.is_static,
        restart_policy: restart_policy(&spec.restart_policy),
        termination_grace_seconds: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
        active_deadline_seconds: spec.active_deadline_seconds.map(seconds),
        readiness_gates: spec.readiness_gates.iter().map(|g| g.condition_type.clone()).collect(),
        qos: qos::class(spec),
        max_backoff_seconds: options.max_backoff_seconds,
        log_limits: options.log_limits,
        sandbox,
        volumes: spec.volumes.iter().map(|v| volume::volume(v, &planner)).collect(),
        init_containers: spec.init_containers.iter().map(|c| planner.container(c)).collect(),
        containers: spec.containers.iter().map(|c| planner.container(c)).collect(),
        ephemeral_containers: spec
            .ephemeral_containers
            .iter()
            .map(|c| planner.ephemeral(c))
            .collect(),
    }
}

/// The pod's namespace; `default` until the caller set one.
fn namespace(pod: &PodObject) -> &str {
    match pod.metadata.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    }
}

/// Any unknown word counts as the default; validation has refused it before.
fn restart_policy(policy: &str) -> RestartPolicy {
    match policy {
        "OnFailure" => RestartPolicy::OnFailure,
        "Never" => RestartPolicy::Never,
        _ => RestartPolicy::Always,
    }
}

fn seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
