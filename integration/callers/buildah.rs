//! buildah, with its own store, and podrt as `--runtime`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::support::{Place, installed, on_terminal, ran, works_with_runc};
use crate::support::{Ran, podrt_path};

struct Buildah {
    place: Place,
}

impl Buildah {
    /// With a working container `c` of the fixture image. `None` where buildah
    /// cannot be tested, which is noted for `test`.
    fn new(test: &str) -> Option<Self> {
        if !installed(test, &["buildah"]) {
            return None;
        }
        let buildah = Self { place: Place::new() };
        let image = format!("docker-archive:{}", buildah.place.archive().display());
        buildah.ran(&["from", "--name", "c", &image]).ok();
        buildah.works(test).then_some(buildah)
    }

    fn works(&self, test: &str) -> bool {
        static TRIED: OnceLock<Option<Ran>> = OnceLock::new();
        let runc = Path::new("runc");
        let tried = TRIED.get_or_init(|| {
            installed("", &["runc"]).then(|| ran(&mut self.run(runc, &["c", "true"])))
        });
        tried.as_ref().is_none_or(|tried| works_with_runc(test, tried))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        for (flag, folder) in [("--root", "store"), ("--runroot", "runroot")] {
            command.arg(flag).arg(self.place.path(folder));
        }
        command.args(["--storage-driver", "vfs"]).args(args);
        command
    }

    #[track_caller]
    fn ran(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// `buildah run ARGS` with this runtime, without a network.
    fn run(&self, runtime: &Path, args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--isolation", "oci", "--network", "none"]);
        command.arg("--runtime").arg(runtime).args(args);
        command
    }

    fn run_podrt(&self, args: &[&str]) -> Command {
        self.run(&podrt_path(), args)
    }

    /// Removes the containers and looks for what is left. buildah's cgroups
    /// are the runtime's to name and to remove.
    #[track_caller]
    fn assert_clean(&self) {
        self.ran(&["rm", "-a"]).ok();
        self.place.assert_clean();
    }
}

#[test]
fn buildah_runs_commands_in_a_working_container() {
    let Some(buildah) = Buildah::new("buildah_runs_commands_in_a_working_container") else {
        return;
    };
    let script = "echo out; id -u; pwd; echo $A >/tmp/left; exit 4";
    let args =
        ["--user", "1000:1000", "--workingdir", "/tmp", "-e", "A=b", "c", "sh", "-c", script];
    let done = ran(&mut buildah.run_podrt(&args));
    assert_eq!((done.code, done.stdout.as_str()), (4, "out\n1000\n/tmp\n"), "{}", done.stderr);
    let done = ran(&mut buildah.run_podrt(&["c", "cat", "/tmp/left"]));
    assert_eq!(done.ok(), "b\n", "what a command wrote is there for the next");
    let done = ran(&mut buildah.run_podrt(&["c", "nope"]));
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("executable file not found in $PATH"), "{}", done.stderr);
    buildah.assert_clean();
}

#[test]
fn buildah_gives_a_command_a_terminal() {
    let Some(buildah) = Buildah::new("buildah_gives_a_command_a_terminal") else { return };
    let script = "tty; echo ready; read line; echo \"got $line\"";
    let mut command = buildah.run_podrt(&["-t", "c", "sh", "-c", script]);
    let (code, text) = on_terminal(&mut command, (12, 34), "ready", "hello\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("/dev/pts/0\nready\n") && text.contains("\ngot hello\n"), "{text}");
    buildah.assert_clean();
}

#[test]
fn buildah_builds_an_image_step_by_step() {
    let Some(buildah) = Buildah::new("buildah_builds_an_image_step_by_step") else { return };
    buildah.ran(&["commit", "-q", "c", "localhost/base:latest"]).ok();
    let text = "FROM localhost/base:latest\n\
                RUN id -u > /built && hostname -s >> /built\n\
                RUN [\"/bin/sh\", \"-c\", \"mkdir /own && chown user:user /own && touch /own/file\"]\n\
                RUN --mount=type=tmpfs,destination=/t touch /t/x && mount | grep -c ' /t type tmpfs' >>/built\n\
                USER user\n\
                RUN id -un > /own/who\n";
    let file = buildah.place.world.file("Containerfile", text);
    let context = buildah.place.path("context");
    std::fs::create_dir(&context).expect("an empty context");
    let mut command = buildah.command(&["bud", "--isolation", "oci", "--network", "none"]);
    command.arg("--runtime").arg(podrt_path()).args([
        "--pull-never",
        "-t",
        "localhost/built:latest",
    ]);
    ran(command.arg("-f").arg(&file).arg(&context)).ok();
    buildah.ran(&["from", "--name", "new", "--pull-never", "localhost/built:latest"]).ok();
    let script = "head -n 1 /built; tail -n 1 /built; cat /own/who; stat -c %U:%a /own; ls -a /t 2>/dev/null | grep x";
    let done = ran(&mut buildah.run_podrt(&["new", "sh", "-c", script]));
    assert_eq!(done.stdout, "0\n1\nuser\nuser:755\n", "{}", done.stderr);
    // A step that fails ends the build.
    let text = "FROM localhost/base:latest\nRUN exit 3\nRUN echo not reached\n";
    let file = buildah.place.world.file("Containerfile", text);
    let mut command = buildah.command(&["bud", "--isolation", "oci", "--network", "none"]);
    command.arg("--runtime").arg(podrt_path()).arg("--pull-never");
    let done = ran(command.arg("-f").arg(&file).arg(&context));
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(!done.stdout.contains("\nnot reached"), "{}", done.stdout);
    buildah.assert_clean();
}
