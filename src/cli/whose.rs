//! Whose word it is: some verbs are runc's and kubectl's alike. This decides
//! by what was typed and by which containers and pods exist, never by what
//! lies in the working directory.

/// Which command line a verb belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// runc's, flag for flag.
    Oci,
    /// kubectl's, flag for flag.
    Pod,
}

/// What exists, as far as the decision needs it. Asked at most once each, and
/// only for the verbs that both have.
pub trait Known {
    /// An OCI container of that id that no pod owns.
    fn container(&self, id: &str) -> bool;
    /// A pod of that name in the namespace that the arguments name.
    fn pod(&self, name: &str) -> bool;
}

/// Verbs that only runc has.
const OCI_VERBS: [&str; 13] = [
    "completion",
    "start",
    "state",
    "kill",
    "ps",
    "list",
    "pause",
    "resume",
    "update",
    "spec",
    "features",
    "checkpoint",
    "restore",
];

/// Flags of one shared verb, by who has them.
struct Flags {
    /// Only runc's; those in `oci_values` take a value.
    oci: &'static [&'static str],
    oci_values: &'static [&'static str],
    /// Only kubectl's.
    pod: &'static [&'static str],
    pod_values: &'static [&'static str],
    /// Of both, with a value in both.
    shared_values: &'static [&'static str],
}

fn flags_of(verb: &str) -> Flags {
    match verb {
        "exec" => Flags {
            oci: &["--detach", "-d", "--no-new-privs", "--ignore-paused"],
            oci_values: &[
                "--console-socket",
                "--pid-file",
                "--process",
                "-p",
                "--cwd",
                "--env",
                "-e",
                "--user",
                "-u",
                "--additional-gids",
                "-g",
                "--apparmor",
                "--cap",
                "--preserve-fds",
                "--cgroup",
                "--process-label",
            ],
            pod: &["--stdin", "-i", "-it", "-ti", "--quiet", "-q"],
            pod_values: &[
                "--container",
                "--namespace",
                "-n",
                "--filename",
                "--pod-running-timeout",
                "--detach-keys",
            ],
            shared_values: &["-c"],
        },
        "delete" => Flags {
            oci: &[],
            oci_values: &[],
            pod: &["--now", "--all", "--ignore-not-found", "-A", "--all-namespaces"],
            pod_values: &[
                "--grace-period",
                "--selector",
                "-l",
                "--namespace",
                "-n",
                "--filename",
                "--timeout",
                "--output",
                "-o",
                "--cascade",
                "--field-selector",
            ],
            shared_values: &[],
        },
        "run" => Flags {
            oci: &["--no-subreaper", "--no-pivot", "--no-new-keyring", "--keep"],
            oci_values: &["--bundle", "-b", "--console-socket", "--pid-file", "--preserve-fds"],
            pod: &["--rm", "--replace", "-i", "--stdin", "-it", "--command", "--seccomp-default"],
            pod_values: &[
                "--timeout",
                "--wait",
                "--image",
                "--restart",
                "--env",
                "--network",
                "--namespace",
                "-n",
                "--labels",
                "-l",
                "--port",
                "--max-container-backoff",
                "--log-max-size",
                "--log-max-files",
                "--annotations",
                "--image-pull-policy",
                "--overrides",
                "--output",
                "-o",
                "--detach-keys",
            ],
            shared_values: &[],
        },
        "create" => Flags {
            oci: &["--no-pivot", "--no-new-keyring"],
            oci_values: &["--bundle", "-b", "--console-socket", "--pid-file", "--preserve-fds"],
            pod: &[],
            pod_values: &[
                "--filename",
                "-f",
                "--namespace",
                "-n",
                "--from-literal",
                "--from-file",
                "--from-env-file",
                "--type",
                "--output",
                "-o",
            ],
            shared_values: &[],
        },
        _ => Flags {
            oci: &["--stats"],
            oci_values: &["--interval"],
            pod: &["--watch", "-w", "-A", "--all-namespaces"],
            pod_values: &["--namespace", "-n", "--output", "-o", "--for", "--types"],
            shared_values: &[],
        },
    }
}

/// The arguments of a shared verb, split far enough to decide.
#[derive(Debug, Default)]
struct Scan<'a> {
    positionals: Vec<&'a str>,
    oci_flag: bool,
    pod_flag: bool,
    /// The value of a short `-f`, which is runc's `--force` and kubectl's file.
    file: Option<&'a str>,
    image: bool,
    /// `--` before or right after the first positional.
    dashes: bool,
}

fn scan<'a>(flags: &Flags, args: &'a [String]) -> Scan<'a> {
    let mut scan = Scan::default();
    let mut at = 0;
    while let Some(word) = args.get(at).map(String::as_str) {
        at += 1;
        if word == "--" {
            scan.dashes |= scan.positionals.len() <= 1;
            scan.positionals.extend(args[at..].iter().map(String::as_str));
            break;
        }
        if word == "-" || !word.starts_with('-') {
            scan.positionals.push(word);
            continue;
        }
        // What follows runc's first positional belongs to the container, so
        // runc's flags count only before it.
        let before = scan.positionals.is_empty();
        let (name, inline) = word.split_once('=').map_or((word, false), |(name, _)| (name, true));
        let oci_value = flags.oci_values.contains(&name);
        let pod_value = flags.pod_values.contains(&name);
        scan.oci_flag |= before && (oci_value || flags.oci.contains(&name));
        scan.pod_flag |= pod_value || flags.pod.contains(&name);
        scan.image |= name == "--image";
        if name == "-f" && scan.file.is_none() {
            scan.file = args.get(at).map(String::as_str);
        }
        let takes_value = pod_value || oci_value || flags.shared_values.contains(&name);
        if takes_value && !inline {
            at += 1;
        }
    }
    scan
}

/// True for an argument of `run` that names a manifest.
#[must_use]
pub fn is_manifest(argument: &str) -> bool {
    argument == "-"
        || argument.contains('/')
        || [".yaml", ".yml", ".json"].iter().any(|end| argument.ends_with(end))
}

/// Decides whose `verb` is, given the arguments behind it.
pub fn whose(verb: &str, args: &[String], known: &dyn Known) -> Face {
    if OCI_VERBS.contains(&verb) {
        return Face::Oci;
    }
    if !["run", "create", "exec", "delete", "events"].contains(&verb) {
        return Face::Pod;
    }
    let scan = scan(&flags_of(verb), args);
    let first = scan.positionals.first().copied();
    match verb {
        "run" => {
            if first.is_some_and(is_manifest) || scan.image {
                Face::Pod
            } else if scan.oci_flag || first.is_some() {
                Face::Oci
            } else {
                Face::Pod
            }
        }
        "create" => {
            if !scan.oci_flag
                && (scan.pod_flag || scan.file.is_some() || scan.positionals.len() > 1)
            {
                Face::Pod
            } else {
                Face::Oci
            }
        }
        "events" => match first {
            Some(id) if scan.oci_flag || !scan.pod_flag || known.container(id) => Face::Oci,
            Some(_) | None => Face::Pod,
        },
        _ => whose_existing(verb, &scan, known),
    }
}

/// `exec` and `delete`, which name something that exists.
fn whose_existing(verb: &str, scan: &Scan<'_>, known: &dyn Known) -> Face {
    let first = scan.positionals.first().copied();
    if scan.oci_flag {
        return Face::Oci;
    }
    if verb == "delete"
        && let Some(file) = scan.file
    {
        return if known.container(file) { Face::Oci } else { Face::Pod };
    }
    let Some(first) = first else { return Face::Pod };
    if known.container(first) {
        return Face::Oci;
    }
    let typed = first.contains('/') || (verb == "delete" && scan.positionals.len() > 1);
    if typed || scan.pod_flag || (verb == "exec" && scan.dashes) || known.pod(first) {
        return Face::Pod;
    }
    Face::Oci
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Both;

    impl Known for Both {
        fn container(&self, id: &str) -> bool {
            id == "ctr"
        }
        fn pod(&self, name: &str) -> bool {
            name == "web"
        }
    }

    fn decide(line: &str) -> Face {
        let mut words = line.split(' ').map(String::from);
        let verb = words.next().expect("a verb");
        whose(&verb, &words.collect::<Vec<_>>(), &Both)
    }

    /// A flag whose value the scan took for the first word would turn the
    /// call into the other's.
    #[test]
    fn every_flag_with_a_value_is_in_the_table() {
        use crate::cli::pod::args;
        use clap::CommandFactory as _;
        let verbs = [
            ("run", args::RunArgs::command()),
            ("run", args::RunImageArgs::command()),
            ("events", args::EventsArgs::command()),
            ("create", args::CreateArgs::command()),
            ("exec", args::ExecArgs::command()),
            ("delete", args::DeleteArgs::command()),
        ];
        for (verb, command) in verbs {
            let Flags { oci_values, pod_values, shared_values, .. } = flags_of(verb);
            let known = |name: &str| {
                // kubectl's `-f` is looked at apart.
                name == "-f"
                    || [oci_values, pod_values, shared_values].iter().any(|t| t.contains(&name))
            };
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
            {
                let long = arg.get_long().map(|name| format!("--{name}"));
                let short = arg.get_short().map(|name| format!("-{name}"));
                for name in long.into_iter().chain(short) {
                    assert!(known(&name), "{verb} {name}");
                }
            }
        }
    }

    #[test]
    fn runc_calls_are_runcs() {
        let lines = [
            "start web",
            "state x",
            "kill x 9",
            "list",
            "ps --format json x",
            "features",
            "run x",
            "run -b /tmp x",
            "run --bundle /a/b --detach x",
            "run -d x",
            "create --bundle /b --pid-file /p x",
            "create x",
            "create -b . x",
            "exec ctr ls",
            "exec -t ctr ls",
            "exec --process p.json --detach gone",
            "exec gone ls",
            "exec -e A=1 web ls",
            "exec --user 1:1 ctr sh -c x",
            "delete ctr",
            "delete --force ctr",
            "delete --force gone",
            "delete gone",
            "delete -f ctr",
            "events ctr",
            "events --stats ctr",
            "events gone",
        ];
        for line in lines {
            assert_eq!(decide(line), Face::Oci, "{line}");
        }
    }

    #[test]
    fn kubectl_calls_are_kubectls() {
        let lines = [
            "get pods",
            "logs web",
            "run pod.yaml",
            "run -",
            "run ./x",
            "run -d dir/pod.yml",
            "run web --image=busybox",
            "run --rm -d pod.json",
            "create -f pod.yaml",
            "create configmap cm --from-literal=a=b",
            "create namespace n",
            "exec web -- ls",
            "exec -it web -- sh",
            "exec web -c app -- ls",
            "exec pod/gone ls",
            "exec gone -- ls",
            "exec -n other web ls",
            "exec web ls",
            "delete pod web",
            "delete web",
            "delete -f pod.yaml",
            "delete pod/web",
            "delete pods --all",
            "delete --now web",
            "delete --force web",
            "events",
            "events -w",
            "delete",
        ];
        for line in lines {
            assert_eq!(decide(line), Face::Pod, "{line}");
        }
    }

    #[test]
    fn flags_behind_the_command_of_a_container_are_the_commands() {
        assert_eq!(decide("exec ctr ls -i"), Face::Oci);
        assert_eq!(decide("exec web -- ls -p --process"), Face::Pod);
    }
}
