//! Seccomp profiles: what compiles is a program that the kernel can take, and
//! the same each time.

use oci_spec::runtime::LinuxSeccomp;
use podrt::seccomp::Filter;

/// `BPF_MAXINSNS` of linux/bpf_common.h.
const INSTRUCTIONS_MAX: usize = 4096;

pub fn check(bytes: &[u8]) {
    let Ok(profile) = serde_json::from_slice::<LinuxSeccomp>(bytes) else { return };
    match Filter::compile(&profile) {
        Err(problem) => assert!(!problem.to_string().contains('\n'), "{problem}"),
        Ok(filter) => {
            let count = filter.instructions();
            assert!((1..=INSTRUCTIONS_MAX).contains(&count), "{count}");
            let again = Filter::compile(&profile).map(|filter| filter.instructions());
            assert_eq!(again.ok(), Some(count));
        }
    }
}
