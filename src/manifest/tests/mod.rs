//! Tests of the whole room, from text to report, object and plan.

mod conformance;
mod decoding;
mod defaulting;
mod planning;
mod rules;
mod updating;

use super::{Object, PlanOptions, PodObject, Report, generated_name, parse, plan};
use crate::model::plan::{NetworkMode, PodPlan};
use crate::model::{PodUid, Roots, Timestamp};

/// The pod of a manifest that is valid.
fn pod(text: &str) -> PodObject {
    match parse(text, "pod.yaml").map(|mut objects| objects.pop()) {
        Ok(Some(Object::Pod(pod))) => *pod,
        other => panic!("no pod: {other:?}\n{text}"),
    }
}

/// What is wrong with a manifest, as it is printed.
fn refused(text: &str) -> String {
    match parse(text, "pod.yaml") {
        Ok(objects) => panic!("accepted: {objects:?}\n{text}"),
        Err(report) => report.to_string(),
    }
}

/// A one-container pod with more fields in its spec.
fn with_spec(fields: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: c\n    image: busybox\n{fields}"
    )
}

/// A one-container pod with more fields in its container.
fn with_container(fields: &str) -> String {
    let indented: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    with_spec(&indented)
}

fn options() -> PlanOptions {
    PlanOptions {
        roots: Roots::default(),
        uid: PodUid::new("6f2c").expect("a uid"),
        node_name: "node".to_owned(),
        network: NetworkMode::Bridge,
        created_at: Timestamp(1_769_903_999_000_000_000),
        node_memory_bytes: 8 << 30,
        node_cpus: 4,
        cluster_domain: "cluster.local".to_owned(),
        seccomp_default: false,
        max_backoff_seconds: 300,
        log_limits: crate::model::plan::LogLimits::default(),
        is_static: false,
    }
}

fn planned(text: &str) -> PodPlan {
    plan(&pod(text), &options()).unwrap_or_else(|report| panic!("{report}\n{text}"))
}

fn unplanned(text: &str) -> Report {
    match plan(&pod(text), &options()) {
        Ok(plan) => panic!("planned: {plan:?}"),
        Err(report) => report,
    }
}
