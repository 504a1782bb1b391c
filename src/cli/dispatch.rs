//! From the words of the command line to the verb that runs.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::model::{ContainerId, PodKey};
use crate::store::pods::PodStore;
use crate::sys::clock;

use super::error::CliError;
use super::globals::{Globals, split};
use super::help;
use super::image::{self, ImageArgs};
use super::node::{self, NodeArgs};
use super::oci;
use super::pod::args::{
    ApplyArgs, AttachArgs, CreateArgs, DebugArgs, DeleteArgs, DescribeArgs, EventsArgs, ExecArgs,
    GetArgs, LogsArgs, MetaArgs, Parsed, ReplaceArgs, RunArgs, RunImageArgs, WaitArgs, parse,
};
use super::pod::meta::What;
use super::pod::{
    apply, attach, debug, delete, describe, events, exec, get, logs, meta, run, run_image, wait,
};
use super::whose::{Face, Known, whose};

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let args = std::env::args_os().skip(1);
    let split = match split(args, |name| std::env::var_os(name)) {
        Ok(split) => split,
        Err(error) => return ExitCode::from(fail(&error)),
    };
    let Some(verb) = split.verb else {
        eprint!("{}", help::HELP);
        return ExitCode::from(2);
    };
    ExitCode::from(dispatch(&split.globals, &verb, split.rest))
}

fn dispatch(globals: &Globals, verb: &str, rest: Vec<OsString>) -> u8 {
    match verb {
        "--help" | "-h" | "help" => return print(help::HELP),
        "--version" | "-v" | "version" => return print(&help::version()),
        _ => {}
    }
    let words: Vec<String> = rest.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let known = OnDisk { globals, namespace: namespace_of(&words) };
    match whose(verb, &words, &known) {
        // The OCI face prints and logs its errors as its callers read them.
        Face::Oci => oci::run(globals, verb, rest),
        Face::Pod => match pod_verb(globals, verb, rest) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
    }
}

fn print(text: &str) -> u8 {
    // Nobody reads it: nothing to do about that.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

/// Prints an error, the only place for pod verbs to do so; its exit code.
fn fail(error: &CliError) -> u8 {
    eprintln!("podrt: {error}");
    error.exit_code()
}

fn pod_verb(globals: &Globals, verb: &str, rest: Vec<OsString>) -> Result<u8, CliError> {
    let roots = &globals.roots;
    let now = clock::now().wall;
    let done = |()| 0;
    match verb {
        "run" if names_an_image(&rest) => {
            with(rest, |args: RunImageArgs| run_image::run(&args, roots, now))
        }
        "run" => with(rest, |args: RunArgs| run::run(&args, roots, now)),
        "apply" => with(rest, |args: ApplyArgs| apply::apply(&args, roots, now).map(done)),
        "create" => with(rest, |args: CreateArgs| apply::create(&args, roots, now).map(done)),
        "replace" => with(rest, |args: ReplaceArgs| apply::replace(&args, roots, now).map(done)),
        "label" => {
            with(rest, |args: MetaArgs| meta::run(What::Labels, &args, roots, now).map(done))
        }
        "annotate" => {
            with(rest, |args: MetaArgs| meta::run(What::Annotations, &args, roots, now).map(done))
        }
        "get" => with(rest, |args: GetArgs| get::run(&args, roots, now).map(done)),
        "describe" => {
            with(rest, |args: DescribeArgs| Ok(print(&describe::run(&args, roots, now)?)))
        }
        "logs" => with(rest, |args: LogsArgs| logs::run(&args, roots, now).map(done)),
        "exec" => with(rest, |args: ExecArgs| exec::run(&args, roots)),
        "attach" => with(rest, |args: AttachArgs| attach::run(&args, roots)),
        "debug" => with(rest, |args: DebugArgs| debug::run(&args, roots, now)),
        "wait" => with(rest, |args: WaitArgs| wait::run(&args, roots).map(done)),
        "events" => with(rest, |args: EventsArgs| events::run(&args, roots, now).map(done)),
        "node" => with(rest, |args: NodeArgs| node::run(&args, roots).map(done)),
        "delete" => with(rest, |args: DeleteArgs| delete::run(&args, roots).map(done)),
        "image" => with(rest, |args: ImageArgs| Ok(print(&image::run(&args, roots, now)?))),
        other => Err(CliError::UnknownVerb(other.to_owned())),
    }
}

/// True for kubectl's `run NAME --image=…`.
fn names_an_image(words: &[OsString]) -> bool {
    let flags = words.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    flags.into_iter().any(|word| word == "--image" || word.starts_with("--image="))
}

fn with<T: clap::Parser>(
    rest: Vec<OsString>,
    verb: impl FnOnce(T) -> Result<u8, CliError>,
) -> Result<u8, CliError> {
    match parse(rest)? {
        Parsed::Args(args) => verb(args),
        Parsed::Help(text) => Ok(print(&text)),
    }
}

/// The value of `-n`, wherever it stands, for the question whether a pod of a
/// name exists.
fn namespace_of(words: &[String]) -> String {
    let value = words.iter().enumerate().find_map(|(at, word)| match word.as_str() {
        "-n" | "--namespace" => words.get(at + 1).cloned(),
        word => word.strip_prefix("--namespace=").map(str::to_owned),
    });
    value.unwrap_or_else(|| "default".into())
}

/// What exists below the roots.
struct OnDisk<'a> {
    globals: &'a Globals,
    namespace: String,
}

impl Known for OnDisk<'_> {
    fn container(&self, id: &str) -> bool {
        let Ok(id) = ContainerId::new(id) else { return false };
        let state = self.globals.roots.container(&id);
        state.is_dir() && !belongs_to_pod(&state)
    }

    fn pod(&self, name: &str) -> bool {
        let key = PodKey { namespace: self.namespace.clone(), name: name.to_owned() };
        PodStore::new(&self.globals.roots.root).find(&key).is_ok_and(|found| found.is_some())
    }
}

/// Whether the state of a container names a pod as its owner.
fn belongs_to_pod(state: &Path) -> bool {
    let text = std::fs::read(state.join("state.json")).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    json.get("owner").is_some_and(|owner| !owner.is_null())
}
