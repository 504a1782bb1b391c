//! Plans.

use super::*;

#[test]
fn a_plain_pod_is_planned() {
    let plan = planned(&with_spec(""));
    assert_eq!(plan.name, "web");
    assert_eq!(plan.containers.len(), 1);
}
