//! Manifests: reading, defaults, validation and planning never fail but with a
//! report, and an object that was read survives being written and read again.

use podrt::manifest::{self, Object, PlanOptions};
use podrt::model::plan::{LogLimits, NetworkMode};
use podrt::model::{PodUid, Roots, Timestamp};

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let objects = match manifest::parse(text, "fuzz.yaml") {
        Ok(objects) => objects,
        Err(report) => return assert!(!report.to_string().is_empty()),
    };
    for object in objects {
        let json = object.to_json();
        if let Object::Pod(pod) = &object
            && pod.validate().is_ok()
        {
            let _ = manifest::plan(pod, &options());
            let again = Object::from_json(&json).expect("a valid pod can be read again");
            assert_eq!(again.to_json(), json);
        }
    }
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
        is_static: false,
        log_limits: LogLimits::default(),
    }
}
