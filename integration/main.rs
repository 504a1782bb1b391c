//! Black-box tests of the built executables, and of the source tree's shape.
//!
//! The tests drive the real commands as root and leave the machine as it was.

mod attacks;
mod callers;
mod dependencies;
mod faults;
mod figures;
mod fuzz_corpus;
mod image_verbs;
mod limits_oci;
mod limits_pod;
mod oci_checkpoint;
mod oci_conformance;
mod oci_exec;
mod oci_failures;
mod oci_lifecycle;
mod oci_mounts;
mod oci_namespaces;
mod oci_process;
mod oci_rootless;
mod oci_systemd;
mod oci_update;
mod pod_config;
mod pod_crash;
mod pod_hooks;
mod pod_https;
mod pod_life;
mod pod_logs;
mod pod_machine;
mod pod_order;
mod pod_probes;
mod pod_seeds;
mod pod_shared;
mod pod_verbs;
mod pod_verbs_attach;
mod pod_verbs_debug;
mod pod_verbs_node;
mod pod_verbs_wait;
mod pod_verbs_write;
mod rooms;
mod sizes;
mod support;
mod vm_runner;
