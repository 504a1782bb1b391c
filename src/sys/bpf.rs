//! `bpf(2)`, as far as cgroup device programs need it.
