//! Requests and limits.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::names;
use crate::manifest::path::Path;
use crate::manifest::types::{Container, PodSpec, ResourceClaim, ResourceRequirements};
use crate::model::Quantity;

type ResourceList = BTreeMap<String, Quantity>;

/// Plain names that stand for something somewhere in Kubernetes.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
/// Standard ones that are counted, not measured.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_hugepages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// The page size in the name `hugepages-2Mi`, bytes.
pub(in crate::manifest) fn hugepage_size(name: &str) -> Option<u64> {
    let size = Quantity::parse(name.strip_prefix("hugepages-")?)?;
    u64::try_from(size.value()).ok().filter(|bytes| *bytes > 0)
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A device plugin's resource, `example.com/gpu`.
pub(in crate::manifest) fn is_extended_resource(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_hugepages(name)
}

/// Whose resources are checked: the names allowed differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Container,
    Pod,
}

pub(super) fn container(
    check: &mut Check<'_>,
    resources: &ResourceRequirements,
    claims: &BTreeSet<&str>,
    path: &Path<'_>,
) {
    requirements(check, resources, Owner::Container, claims, path);
}

pub(super) fn overhead(check: &mut Check<'_>, overhead: &ResourceList, path: &Path<'_>) {
    let resources = ResourceRequirements { limits: overhead.clone(), ..Default::default() };
    requirements(check, &resources, Owner::Container, &BTreeSet::new(), path);
}

fn requirements(
    check: &mut Check<'_>,
    resources: &ResourceRequirements,
    owner: Owner,
    claims: &BTreeSet<&str>,
    path: &Path<'_>,
) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (name, quantity) in &resources.limits {
        amount(check, name, quantity, owner, &limits.key(name));
    }
    for (name, quantity) in &resources.requests {
        let place = requests.key(name);
        resource_name(check, name, owner, &place);
        quantity_value(check, name, quantity, &place);
        check.at(&place, |check| {
            within_limit(check, name, quantity, resources.limits.get(name), &requests, &limits);
        });
        hugepage_multiple(check, name, quantity, &place);
    }
    let names = || resources.limits.keys().chain(resources.requests.keys());
    let has_compute = names().any(|name| name == "cpu" || name == "memory");
    if !has_compute && names().any(|name| is_hugepages(name)) {
        check.forbidden(path, "HugePages require cpu or memory");
    }
    claim_names(check, &resources.claims, claims, &path.child("claims"));
}

fn amount(check: &mut Check<'_>, name: &str, quantity: &Quantity, owner: Owner, path: &Path<'_>) {
    resource_name(check, name, owner, path);
    quantity_value(check, name, quantity, path);
    hugepage_multiple(check, name, quantity, path);
}

fn within_limit(
    check: &mut Check<'_>,
    name: &str,
    request: &Quantity,
    limit: Option<&Quantity>,
    requests: &Path<'_>,
    limits: &Path<'_>,
) {
    match limit {
        Some(limit) if request.exact_milli() != limit.exact_milli() && !may_overcommit(name) => {
            check.invalid(requests, request, &format!("must be equal to {name} limit of {limit}"));
        }
        Some(limit) if request > limit => {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            check.invalid(requests, request, &detail);
        }
        None if !may_overcommit(name) => {
            check.required(limits, "Limit must be set for non overcommitable resources");
        }
        _ => {}
    }
}

fn resource_name(check: &mut Check<'_>, name: &str, owner: Owner, path: &Path<'_>) {
    let broken = names::qualified_name(name);
    let is_plain = !name.contains('/');
    let mut is_standard = broken.is_empty();
    check.invalid_each(path, name, broken);
    if is_standard && is_plain && !STANDARD.contains(&name) && !is_hugepages(name) {
        check.invalid(path, name, "must be a standard resource type or fully qualified");
        is_standard = false;
    }
    match owner {
        Owner::Container if is_plain => {
            let is_container_resource =
                ["cpu", "memory", "ephemeral-storage"].contains(&name) || is_hugepages(name);
            if !is_container_resource {
                check.invalid(path, name, "must be a standard resource for containers");
            }
        }
        Owner::Container => {
            if !is_native(name) && !is_extended_resource(name) {
                check.invalid(path, name, "doesn't follow extended resource name standard");
            }
        }
        Owner::Pod => {
            if is_standard && !["cpu", "memory"].contains(&name) && !is_hugepages(name) {
                check.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
            }
        }
    }
}

fn quantity_value(check: &mut Check<'_>, name: &str, quantity: &Quantity, path: &Path<'_>) {
    if quantity.is_negative() {
        check.invalid(path, quantity, "must be greater than or equal to 0");
    }
    let is_counted = COUNTED.contains(&name) || is_extended_resource(name);
    if is_counted && quantity.exact_milli() % 1000 != 0 {
        check.invalid(path, quantity, "must be an integer");
    }
}

fn hugepage_multiple(check: &mut Check<'_>, name: &str, quantity: &Quantity, path: &Path<'_>) {
    if !is_hugepages(name) {
        return;
    }
    let is_multiple = hugepage_size(name).is_some_and(|size| {
        quantity.exact_milli() % 1000 == 0 && quantity.exact_milli() / 1000 % i128::from(size) == 0
    });
    if !is_multiple {
        let detail = format!("{quantity} is not positive integer multiple of {name}");
        check.invalid(path, quantity, &detail);
    }
}

fn claim_names(
    check: &mut Check<'_>,
    claims: &[ResourceClaim],
    known: &BTreeSet<&str>,
    path: &Path<'_>,
) {
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        if claim.name.is_empty() {
            check.required(&path, "");
            continue;
        }
        if !seen.insert((claim.name.as_str(), claim.request.as_str())) {
            check.duplicate(&path, &claim.name);
        }
        if !claim.request.is_empty() {
            check.invalid_each(
                &path.child("request"),
                &claim.request,
                names::label(&claim.request),
            );
        }
        if !known.contains(claim.name.as_str()) {
            let list: Vec<_> = known.iter().copied().collect();
            let rest = match list.as_slice() {
                [] => " which is empty".to_owned(),
                list => format!(": {}", list.join(", ")),
            };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{rest}");
            check.not_found(&path, &claim.name, &detail);
        }
    }
}

/// `spec.resources` and what it must hold of the containers'.
pub(super) fn pod(check: &mut Check<'_>, spec: &PodSpec, path: &Path<'_>) {
    let Some(resources) = &spec.resources else { return };
    if !resources.claims.is_empty() {
        check.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    let bare = ResourceRequirements { claims: Vec::new(), ..resources.clone() };
    requirements(check, &bare, Owner::Pod, &BTreeSet::new(), path);
    let requests = path.child("requests");
    for (name, sum) in aggregate_requests(spec) {
        if let Some(request) = resources.requests.get(&name)
            && sum > request.exact_milli()
        {
            let sum = quantity_like(sum, request);
            let detail =
                format!("must be greater than or equal to aggregate container requests of {sum}");
            check.invalid(&requests.key(&name), request, &detail);
        }
    }
    container_limits(check, &spec.containers, &resources.limits, path);
}

fn container_limits(
    check: &mut Check<'_>,
    containers: &[Container],
    pod: &ResourceList,
    path: &Path<'_>,
) {
    let shown = path.child("containers");
    let (spec, places) = (Path::ROOT.child("spec"), "containers");
    let places = spec.child(places);
    for (index, container) in containers.iter().enumerate() {
        for (name, limit) in &container.resources.limits {
            let Some(pod_limit) = pod.get(name).filter(|pod_limit| limit > *pod_limit) else {
                continue;
            };
            let item = places.index(index);
            check.at(&item.child("resources").child("limits").key(name), |check| {
                let detail = format!("must be less than or equal to pod limits of {pod_limit}");
                check.invalid(&shown.index(index).key(name).child("limits"), limit, &detail);
            });
        }
    }
}

/// A sum in thousandths, written in the unit of `like`.
fn quantity_like(milli: i128, like: &Quantity) -> Quantity {
    let suffix = if like.to_string().ends_with('i') { "Ki" } else { "" };
    if suffix == "Ki" && milli % 1_024_000 == 0 {
        let text = format!("{}Ki", milli / 1_024_000);
        return Quantity::parse(&text).unwrap_or_default().canonical();
    }
    Quantity::parse(&format!("{milli}m")).unwrap_or_default().canonical()
}

/// What all containers together request at any one time, thousandths: the
/// regular ones and sidecars, or an init container and the sidecars before it.
pub(in crate::manifest) fn aggregate_requests(spec: &PodSpec) -> BTreeMap<String, i128> {
    let mut regular: BTreeMap<String, i128> = BTreeMap::new();
    let add = |sum: &mut BTreeMap<String, i128>, container: &Container| {
        for (name, quantity) in &container.resources.requests {
            *sum.entry(name.clone()).or_default() += quantity.exact_milli();
        }
    };
    for container in &spec.containers {
        add(&mut regular, container);
    }
    let mut sidecars: BTreeMap<String, i128> = BTreeMap::new();
    let mut peak: BTreeMap<String, i128> = BTreeMap::new();
    for container in &spec.init_containers {
        let mut now = sidecars.clone();
        add(&mut now, container);
        for (name, amount) in now {
            let peak = peak.entry(name).or_default();
            *peak = amount.max(*peak);
        }
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, container);
            add(&mut regular, container);
        }
    }
    for (name, amount) in peak {
        let sum = regular.entry(name).or_default();
        *sum = amount.max(*sum);
    }
    regular
}
