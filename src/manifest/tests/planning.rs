//! Plans: the tables of pod semantics, field by field.

use std::collections::BTreeMap;

use super::*;
use crate::model::Quantity;
use crate::model::plan::{
    AppArmorChoice, DnsPlan, EnvValue, FieldRef, FilesPlugin, FilesSource, Handler, HostAlias,
    HostPathCheck, Medium, ObjectKind, ObjectRef, PortRef, Propagation, Protocol, PullPolicy,
    QosClass, RecursiveReadOnly, ResourceRef, RestartAction, RestartPolicy, SeccompChoice, SubPath,
    TerminationMessagePolicy, VolumeSource,
};

const FULL: &str = include_str!("full.yaml");

#[test]
fn every_pod_field_reaches_the_plan() {
    let plan = planned(FULL);
    assert_eq!((plan.namespace.as_str(), plan.name.as_str()), ("shop", "full"));
    assert_eq!(plan.labels["tier"], "web");
    assert_eq!(plan.annotations["note"], "say \"hi\"");
    assert_eq!(plan.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(plan.termination_grace_seconds, 20);
    assert_eq!(plan.active_deadline_seconds, Some(3600));
    assert_eq!(plan.readiness_gates, ["example.com/ready"]);
    assert!(!plan.enable_service_links);
    assert_eq!(plan.service_account_name, "default");
    assert_eq!(plan.qos, QosClass::Burstable);

    let sandbox = &plan.sandbox;
    assert_eq!(sandbox.hostname, "front");
    assert_eq!(sandbox.domain.as_deref(), Some("web.shop.svc.cluster.local"));
    assert_eq!(sandbox.network, NetworkMode::Bridge);
    assert!(sandbox.share_process_namespace && !sandbox.host_pid && !sandbox.privileged);
    assert_eq!(sandbox.sysctls["net.ipv4.ip_unprivileged_port_start"], "0");
    let dns = DnsPlan {
        from_host: false,
        cluster_dns_missing: false,
        nameservers: vec!["10.0.0.53".into()],
        searches: vec!["example.com".into(), "svc.local.".into()],
        options: vec!["ndots:2".into(), "edns0".into()],
    };
    assert_eq!(sandbox.dns, dns);
    let alias =
        HostAlias { ip: "10.1.2.3".into(), hostnames: vec!["db".into(), "db.example.com".into()] };
    assert_eq!(sandbox.host_aliases, [alias]);
    assert_eq!(sandbox.host_ports, []);
    assert_eq!((sandbox.run_as_user, sandbox.run_as_group), (Some(1000), Some(1001)));
    assert_eq!((sandbox.fs_group, sandbox.fs_group_on_root_mismatch), (Some(2000), true));
    assert_eq!(sandbox.supplemental_groups, [3000, 3001]);
    assert!(sandbox.strict_groups);
}

#[test]
fn every_container_field_reaches_the_plan() {
    let plan = planned(FULL);
    let app = &plan.containers[0];
    assert_eq!(app.pull_policy, PullPolicy::Never);
    assert_eq!(app.command.as_deref(), Some(["httpd".to_owned()].as_slice()));
    assert_eq!(app.args.as_ref().map(Vec::len), Some(3));
    assert_eq!(app.working_dir.as_deref(), Some("/srv"));
    assert!(app.stdin && app.stdin_once && app.tty);
    assert_eq!(app.ports[1].protocol, Protocol::Udp);
    assert_eq!(app.termination_message_path, "/tmp/message");
    assert_eq!(app.termination_message_policy, TerminationMessagePolicy::FallbackToLogsOnError);
    assert_eq!(app.restart_policy, Some(RestartPolicy::Never));
    assert_eq!(app.restart_rules[0].exit_codes, [42, 43]);
    assert!(app.restart_rules[0].matches_values && !app.restart_rules[1].matches_values);
    assert_eq!(app.restart_rules[1].action, RestartAction::RestartAllContainers);

    let security = &app.security;
    assert_eq!((security.run_as_user, security.run_as_group), (Some(1005), Some(1001)));
    assert!(security.run_as_non_root && security.read_only_root);
    assert!(!security.allow_privilege_escalation && !security.privileged);
    assert_eq!(security.capabilities_add, ["NET_ADMIN"]);
    assert_eq!(security.capabilities_drop, ["ALL"]);
    assert_eq!(security.seccomp, SeccompChoice::Localhost("profiles/app.json".into()));
    assert_eq!(security.apparmor, AppArmorChoice::Unconfined);
    assert_eq!(security.selinux.as_ref().and_then(|l| l.level.as_deref()), Some("s0:c1,c2"));
    let helper = &plan.containers[1];
    assert_eq!(helper.security.seccomp, SeccompChoice::RuntimeDefault);
    assert_eq!(helper.security.apparmor, AppArmorChoice::Unset);
    assert_eq!(helper.pull_policy, PullPolicy::Always);
    assert_eq!(helper.command, None);

    assert!(!plan.init_containers[0].is_sidecar() && plan.init_containers[1].is_sidecar());
    assert_eq!(plan.init_containers[1].pull_policy, PullPolicy::IfNotPresent);
}

#[test]
fn environment_sources_reach_the_plan() {
    let app = &planned(FULL).containers[0];
    let object = |kind, name: &str, optional| ObjectRef { kind, name: name.into(), optional };
    assert_eq!(app.env_from[0].prefix, "S_");
    assert_eq!(app.env_from[1].source, object(ObjectKind::Secret, "keys", false));
    let env: BTreeMap<_, _> = app.env.iter().map(|var| (var.name.as_str(), &var.value)).collect();
    let table = [
        ("PLAIN", EnvValue::Literal("x".into())),
        ("POD", EnvValue::Field(FieldRef::Name)),
        ("TIER", EnvValue::Field(FieldRef::Label("tier".into()))),
        ("CPU", EnvValue::Resource(ResourceRef::Value(2))),
        ("MEM", EnvValue::Resource(ResourceRef::Value(2048))),
        ("DISK", EnvValue::Resource(ResourceRef::NodeEphemeralStorage { divisor: 1 << 30 })),
        (
            "MODE",
            EnvValue::Key {
                object: object(ObjectKind::ConfigMap, "settings", true),
                key: "mode".into(),
            },
        ),
        (
            "TOKEN",
            EnvValue::Key {
                object: object(ObjectKind::Secret, "keys", false),
                key: "token".into(),
            },
        ),
        (
            "FILE",
            EnvValue::FileKey {
                volume: "scratch".into(),
                path: "env/file".into(),
                key: "K".into(),
                optional: true,
            },
        ),
    ];
    for (name, want) in &table {
        assert_eq!(env[name], want, "{name}");
    }
}

#[test]
fn volumes_and_mounts_reach_the_plan() {
    let plan = planned(FULL);
    let source = |name: &str| {
        let volume = plan.volumes.iter().find(|volume| volume.name == name);
        &volume.expect("the volume").source
    };
    let disk = VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: None };
    assert_eq!(source("scratch"), &disk);
    let memory =
        VolumeSource::EmptyDir { medium: Medium::Memory, size_limit_bytes: Some(64 << 20) };
    assert_eq!(source("fast"), &memory);
    let host = VolumeSource::HostPath { path: "/var/log".into(), check: HostPathCheck::Directory };
    assert_eq!(source("logs"), &host);
    assert_eq!(source("data"), &VolumeSource::Claim { name: "data".into(), read_only: true });
    let VolumeSource::Image { reference, pull_policy } = source("tools") else { panic!("image") };
    assert_eq!((reference.as_str(), *pull_policy), ("busybox:1.37", PullPolicy::IfNotPresent));
    let VolumeSource::Files(files) = source("settings") else { panic!("files") };
    assert_eq!((files.plugin, files.default_mode), (FilesPlugin::ConfigMap, 0o400));
    let FilesSource::Object { object, items } = &files.sources[0] else { panic!("object") };
    assert!(object.optional);
    assert_eq!((items[0].path.as_str(), items[0].mode), ("etc/a", Some(0o444)));
    let VolumeSource::Files(files) = source("all") else { panic!("files") };
    assert_eq!((files.plugin, files.sources.len()), (FilesPlugin::Projected, 3));

    let mounts = &plan.containers[0].mounts;
    assert_eq!(mounts[0].sub_path, Some(SubPath::Expression("$(POD)".into())));
    assert_eq!(mounts[1].path, "/cache");
    assert_eq!(
        (mounts[2].read_only, mounts[2].recursive_read_only),
        (true, RecursiveReadOnly::IfPossible)
    );
    assert_eq!(mounts[3].sub_path, Some(SubPath::Literal("etc/a".into())));
    assert_eq!(mounts[4].propagation, Propagation::HostToContainer);
}

#[test]
fn probes_and_hooks_reach_the_plan() {
    let plan = planned(FULL);
    let app = &plan.containers[0];
    let liveness = app.liveness_probe.as_ref().expect("liveness");
    let Handler::HttpGet(http) = &liveness.handler else { panic!("{liveness:?}") };
    assert!(http.https);
    assert_eq!((http.path.as_str(), http.host.as_deref()), ("/health", Some("localhost")));
    assert_eq!(http.port, PortRef::Name("http".into()));
    assert_eq!(http.headers, [("X-A".to_owned(), "b".to_owned())]);
    let numbers = (
        liveness.initial_delay_seconds,
        liveness.period_seconds,
        liveness.timeout_seconds,
        liveness.success_threshold,
        liveness.failure_threshold,
        liveness.termination_grace_seconds,
    );
    assert_eq!(numbers, (3, 10, 1, 1, 3, Some(5)));
    let startup = app.startup_probe.as_ref().map(|probe| &probe.handler);
    assert_eq!(startup, Some(&Handler::Grpc { port: 9000, service: "live".into() }));
    let hook = app.pre_stop.as_ref().map(|hook| &hook.handler);
    assert_eq!(hook, Some(&Handler::Sleep { seconds: 3 }));
    assert!(matches!(
        app.post_start.as_ref().map(|hook| &hook.handler),
        Some(Handler::Exec { command }) if command.len() == 3
    ));
    let proxy = plan.init_containers[1].startup_probe.as_ref().expect("startup");
    assert_eq!((proxy.failure_threshold, proxy.period_seconds), (30, 1));
}

#[test]
fn resources_reach_containers_and_pod() {
    let plan = planned(FULL);
    let app = &plan.containers[0].resources;
    assert_eq!((app.cpu_shares, app.cpu_quota_us), (Some(256), Some(150_000)));
    assert_eq!(app.cpu_period_us, Some(100_000));
    assert_eq!(app.memory_limit_bytes, Some(2 << 30));
    assert!(app.memory_oom_group && app.no_swap);
    let helper = &plan.containers[1].resources;
    assert_eq!((helper.cpu_shares, helper.cpu_quota_us), (Some(2), None));
    assert_eq!(helper.memory_limit_bytes, None);
    // 250m + no request of helper and proxy; helper has no limits, so that the
    // pod has none either.
    let pod = &plan.sandbox.resources;
    assert_eq!((pod.cpu_shares, pod.cpu_quota_us, pod.memory_limit_bytes), (Some(256), None, None));
}

/// The pod's class, and the score of its first container.
fn class_and_score(fields: &str) -> (QosClass, i32) {
    let plan = planned(&with_spec(fields));
    (plan.qos, plan.containers[0].oom_score_adj)
}

#[test]
fn qos_and_oom_scores_follow_the_tables() {
    use QosClass::{BestEffort, Burstable, Guaranteed};
    let memory = |request: &str| format!("    resources: {{requests: {{memory: {request}}}}}\n");
    let table = [
        (String::new(), (BestEffort, 1000)),
        ("    resources: {requests: {cpu: 0}}\n".into(), (BestEffort, 1000)),
        ("    resources: {requests: {cpu: 100m}}\n".into(), (Burstable, 999)),
        (memory("100Mi"), (Burstable, 988)),
        (memory("512Mi"), (Burstable, 938)),
        (memory("1Gi"), (Burstable, 875)),
        (memory("4Gi"), (Burstable, 500)),
        (memory("8Gi"), (Burstable, 3)),
        ("    resources: {limits: {cpu: 1, memory: 1Gi}}\n".into(), (Guaranteed, -997)),
        ("    resources: {limits: {memory: 1Gi}}\n".into(), (Burstable, 875)),
        (
            "    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}\n".into(),
            (Burstable, 875),
        ),
        (
            "    resources: {limits: {cpu: 1, memory: 1Gi}}\n  initContainers: [{name: i, image: i}]\n".into(),
            (Burstable, 875),
        ),
        (
            "  resources: {limits: {cpu: 1, memory: 1Gi}}\n".into(),
            (Guaranteed, -997),
        ),
        (
            "  resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}\n".into(),
            (Burstable, 875),
        ),
        ("  priorityClassName: system-node-critical\n".into(), (BestEffort, -997)),
    ];
    for (fields, want) in table {
        assert_eq!(class_and_score(&fields), want, "{fields}");
    }
}

#[test]
fn a_sidecar_is_no_easier_prey_than_the_smallest_app() {
    let plan = planned(&with_spec(
        "    resources: {requests: {memory: 4Gi}}\n  initContainers:\n  - {name: s, image: i, restartPolicy: Always}\n",
    ));
    assert_eq!(plan.init_containers[0].oom_score_adj, 500);
}

#[test]
fn pod_cgroups_have_the_sums() {
    let plan = planned(&with_spec(
        "    resources: {limits: {cpu: 500m, memory: 100Mi}}\n  - name: d\n    image: i\n    resources: {limits: {cpu: 1, memory: 200Mi}}\n  initContainers:\n  - {name: side, image: i, restartPolicy: Always, resources: {limits: {cpu: 500m, memory: 50Mi}}}\n  - {name: big, image: i, resources: {limits: {cpu: 2, memory: 1Gi}}}\n",
    ));
    assert_eq!(plan.qos, QosClass::Guaranteed);
    // The big init container beside the sidecar needs more than the apps.
    let pod = &plan.sandbox.resources;
    assert_eq!(pod.cpu_shares, Some(2560));
    assert_eq!(pod.cpu_quota_us, Some(250_000));
    assert_eq!(pod.memory_limit_bytes, Some(1074 << 20));
}

#[test]
fn pod_level_resources_bound_pod_and_containers() {
    let text = with_spec("  resources: {limits: {cpu: 2, memory: 1Gi}}\n");
    let plan = planned(&text);
    let (pod, own) = (&plan.sandbox.resources, &plan.containers[0].resources);
    assert_eq!((pod.cpu_quota_us, pod.memory_limit_bytes), (Some(200_000), Some(1 << 30)));
    assert_eq!((own.cpu_quota_us, own.memory_limit_bytes), (Some(200_000), Some(1 << 30)));
    let requests = &self::pod(&text).spec.resources.expect("resources").requests;
    assert_eq!(requests.get("cpu"), Quantity::parse("2").as_ref());
}

#[test]
fn hostnames_follow_the_table() {
    let long = "a".repeat(70);
    let hostname = |name: &str, fields: &str| {
        let text = with_spec(fields).replace("name: web", &format!("name: {name}"));
        let sandbox = planned(&text).sandbox;
        (sandbox.hostname, sandbox.domain)
    };
    let domain = Some("s.default.svc.cluster.local".to_owned());
    let cut = "a".repeat(63);
    let table = [
        ("web", "", "web", None),
        (long.as_str(), "", cut.as_str(), None),
        ("web", "  hostname: h\n", "h", None),
        ("web", "  subdomain: s\n", "web", domain.clone()),
        (
            "web",
            "  subdomain: s\n  setHostnameAsFQDN: true\n",
            "web.s.default.svc.cluster.local",
            domain,
        ),
        ("web", "  setHostnameAsFQDN: true\n", "web", None),
        ("web", "  subdomain: s\n  hostnameOverride: o.x\n", "o.x", None),
        ("web", "  hostNetwork: true\n", "node", None),
    ];
    for (name, fields, want, domain) in table {
        assert_eq!(hostname(name, fields), (want.to_owned(), domain), "{name} {fields}");
    }
    let tail = format!("{}-.b", "a".repeat(61));
    assert_eq!(hostname(&tail.replace("-.b", ".bc-d"), "").0, format!("{}.b", "a".repeat(61)));
}

#[test]
fn dns_falls_back_where_there_is_no_cluster() {
    let table = [
        ("", true, true),
        ("  dnsPolicy: Default\n", true, false),
        ("  hostNetwork: true\n", true, false),
        ("  hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet\n", true, true),
        ("  dnsPolicy: None\n  dnsConfig: {nameservers: [1.1.1.1]}\n", false, false),
    ];
    for (fields, from_host, missing) in table {
        let dns = planned(&with_spec(fields)).sandbox.dns;
        assert_eq!((dns.from_host, dns.cluster_dns_missing), (from_host, missing), "{fields}");
    }
}

#[test]
fn the_seccomp_default_applies_where_nothing_is_named() {
    let options = PlanOptions { seccomp_default: true, ..options() };
    let seccomp = |fields: &str| {
        let plan = plan(&pod(&with_container(fields)), &options).expect("a plan");
        plan.containers[0].security.seccomp.clone()
    };
    assert_eq!(seccomp(""), SeccompChoice::RuntimeDefault);
    assert_eq!(
        seccomp("securityContext: {seccompProfile: {type: Unconfined}}"),
        SeccompChoice::Unconfined
    );
    assert_eq!(seccomp("securityContext: {privileged: true}"), SeccompChoice::Unconfined);
}

#[test]
fn what_no_machine_can_honour_is_refused_by_its_field() {
    let table = [
        (
            "  volumes: [{name: v, csi: {driver: d}}]\n",
            "spec.volumes[0].csi: Not supported by podrt: CSI drivers need a cluster (pod.yaml:8:23)",
        ),
        (
            "  volumes: [{name: v, nfs: {server: s, path: /p}}]\n",
            "spec.volumes[0].nfs: Not supported by podrt: podrt mounts no network storage; mount it on the machine and use hostPath (pod.yaml:8:23)",
        ),
        (
            "  volumes: [{name: v, emptyDir: {medium: Tape}}]\n",
            "spec.volumes[0].emptyDir.medium: Not supported by podrt: unknown storage medium \"Tape\" (pod.yaml:8:42)",
        ),
        (
            "    ports: [{containerPort: 80, hostPort: 8080}]\n",
            "spec.containers[0].ports[0].hostPort: Not supported by podrt: ports of the machine are not mapped yet; use the pod's own address or hostNetwork (pod.yaml:8:43)",
        ),
        (
            "  hostUsers: false\n",
            "spec.hostUsers: Not supported by podrt: pods get no user namespace of their own yet (pod.yaml:8:14)",
        ),
        (
            "  runtimeClassName: gvisor\n",
            "spec.runtimeClassName: Not supported by podrt: RuntimeClass \"gvisor\" not found: podrt runs every pod itself (pod.yaml:8:21)",
        ),
        (
            "  schedulingGates: [{name: g}]\n",
            "spec.schedulingGates: Not supported by podrt: no controller here would ever clear a scheduling gate (pod.yaml:8:3)",
        ),
        (
            "  resourceClaims: [{name: r, resourceClaimName: r}]\n",
            "spec.resourceClaims: Not supported by podrt: dynamic resource allocation needs a cluster and its drivers (pod.yaml:8:3)",
        ),
        (
            "    resources: {limits: {example.com/gpu: 1}}\n",
            "spec.containers[0].resources.limits[example.com/gpu]: Not supported by podrt: no device plugin offers example.com/gpu (pod.yaml:8:43)",
        ),
        (
            "    securityContext: {windowsOptions: {}}\n",
            "spec.containers[0].securityContext.windowsOptions: Not supported by podrt: podrt runs Linux containers (pod.yaml:8:23)",
        ),
        (
            "    env: [{name: A, valueFrom: {resourceFieldRef: {containerName: x, resource: limits.cpu}}}]\n",
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.containerName: Not supported by podrt: container x not found (pod.yaml:8:67)",
        ),
        (
            "  volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]\n",
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Not supported by podrt: service account tokens need an API server (pod.yaml:8:46)",
        ),
    ];
    for (fields, want) in table {
        let report = unplanned(&with_spec(fields));
        assert_eq!(report.to_string(), format!("The Pod \"web\" cannot run here: {want}"));
        assert_eq!(report.kind(), crate::model::ErrorKind::Unsupported);
        assert_eq!(report.field_errors().count(), 1);
    }
    let long = with_spec("  subdomain: s\n  setHostnameAsFQDN: true\n")
        .replace("name: web", &format!("name: {}", "a".repeat(60)));
    assert!(
        unplanned(&long)
            .to_string()
            .contains("is too long (64 characters is the max, 88 characters requested)")
    );
}

#[test]
fn what_a_kubelet_would_not_admit_is_a_rejection() {
    let table = [
        (
            "  securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}\n",
            "SysctlForbidden",
            "forbidden sysctl: \"kernel.msgmax\" not allowlisted",
        ),
        (
            "    resources: {requests: {cpu: 5}}\n",
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000",
        ),
        (
            "    resources: {requests: {memory: 9Gi}}\n",
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 9663676416, used: 0, capacity: 8589934592",
        ),
        (
            "  os: {name: windows}\n",
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        ),
    ];
    for (fields, reason, message) in table {
        let report = unplanned(&with_spec(fields));
        let rejection = report.rejection().expect("a rejection");
        assert_eq!((rejection.reason, rejection.message.as_str()), (reason, message));
    }
}

#[test]
fn static_pods_refer_to_no_api_object() {
    let options = PlanOptions { is_static: true, ..options() };
    let table = [
        ("  serviceAccountName: x\n", "serviceaccounts"),
        ("  imagePullSecrets: [{name: x}]\n", "secrets"),
        ("  volumes: [{name: v, configMap: {name: c}}]\n", "configmaps"),
        ("    envFrom: [{secretRef: {name: s}}]\n", "secrets"),
        (
            "  volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]\n",
            "persistentvolumeclaims",
        ),
    ];
    for (fields, what) in table {
        let report = plan(&pod(&with_spec(fields)), &options).expect_err(fields);
        let want = format!("static pods may not reference {what}");
        assert!(report.to_string().contains(&want), "{report}");
    }
    assert!(plan(&pod(&with_spec("")), &options).expect("a plan").is_static);
}
