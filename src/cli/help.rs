//! What `--help` and `--version` print.

/// `podrt --version`: the three lines that callers of an OCI runtime read.
#[must_use]
pub fn version() -> String {
    format!(
        "podrt version {}\ncommit: {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("PODRT_COMMIT").unwrap_or("unknown"),
        "1.3.0"
    )
}

/// `podrt --help`.
pub const HELP: &str = "\
Run Kubernetes pods and OCI bundles on this machine.

Usage: podrt [FLAGS] VERB [ARGS]

Pods:
  run FILE...           Run the pods of Kubernetes manifests (- for standard input)
  run NAME --image=IMG  Run an image in a pod of one container (-it for a terminal)
  apply -f FILE         Make objects what their manifests say
  create -f, replace -f Make new objects; replace those that are there
  create TYPE NAME      Make a configmap, secret generic or namespace
                        (--from-literal, --from-file, --from-env-file)
  get TYPE [NAME...]    Show pods, configmaps, secrets, events, ... (-w; -o json|yaml|wide|
                        name|jsonpath=|custom-columns=)
  describe pod [NAME]   Show all about a pod
  logs POD              Print the output of a pod's containers
  exec POD -- COMMAND   Run a command in a container of a pod
  attach POD            Attach to a container that runs
  debug POD --image=IMG Add a container to a pod that runs (--target, -it)
  wait TYPE/NAME --for  Wait for a condition, a value, a deletion
  events                Show the events of pods (--for pod/NAME, -w)
  delete pod NAME...    End pods and remove everything of them
  label, annotate       Set and remove labels and annotations of objects
  node                  Run the pods of a manifest directory, and those of before a reboot
  image VERB            Import, load, list and remove images

OCI containers, as runc:
  create, start, state, kill, delete, run, exec, list, ps, pause, resume, update,
  events, spec, features; completion bash|zsh

Flags:
  --root DIR            Running state (default /run/podrt, PODRT_ROOT)
  --data-root DIR       Objects, images and volumes (default /var/lib/podrt, PODRT_DATA_ROOT)
  --log-root DIR        Container logs (default /var/log/podrt/pods, PODRT_LOG_ROOT)
  --log FILE            Write errors to a file too
  --log-format FORMAT   text or json
  --systemd-cgroup      Let systemd make the cgroups
  --cgroup-manager NAME Who makes them: cgroupfs, systemd or disabled
  --debug               Log more
  -h, --help            Print this, or the help of a verb
  -v, --version         Print the version
";
