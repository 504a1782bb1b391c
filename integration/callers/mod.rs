//! Programs of Debian's packages that use podrt as their runtime.

mod buildah;
mod containerd;
mod podman;
mod support;
