//! `hooks`: each field of each moment.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::case::{Case, Place, leaf, put};
use super::process::no_change;
use super::table::Row;
use crate::support::Ran;

const MOMENTS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Where a hook writes, and where we read that.
struct Paper {
    inside: String,
    outside: PathBuf,
}

pub fn cases(place: &Place) -> Vec<Case> {
    MOMENTS.into_iter().flat_map(|moment| of(moment, place)).collect()
}

fn of(moment: &'static str, place: &Place) -> Vec<Case> {
    let paper = || paper(moment, place);
    let (path, args, env) = (paper(), paper(), paper());
    let case = |field: &str| leaf(&format!("hooks.{moment}.{field}"), Value::Null);
    let script = format!("#!/bin/sh\necho \"path\" >>{}\n", path.inside);
    vec![
        case("path").looks(move |place, _| {
            let program = program(moment, place, &script)?;
            written(place, moment, &path, json!({"path": program}), "path")
        }),
        case("args").looks(move |place, _| {
            let script = format!("echo \"$0\" >>{}", args.inside);
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script, "argument"]});
            written(place, moment, &args, hook, "argument")
        }),
        case("env").looks(move |place, _| {
            let script = format!("echo \"$LEAF\" >>{}", env.inside);
            let hook =
                json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["LEAF=set"]});
            written(place, moment, &env, hook, "set")
        }),
        case("timeout").looks(move |place, row| timeout(place, moment, row)),
    ]
}

/// A hook of the container's own reads and writes there.
fn paper(moment: &str, place: &Place) -> Paper {
    let name = format!("hook-{moment}");
    if moment == "startContainer" {
        return Paper {
            inside: format!("/tmp/{name}"),
            outside: place.rootfs().join("tmp").join(name),
        };
    }
    let outside = place.world.path().join(name);
    Paper { inside: outside.to_string_lossy().into_owned(), outside }
}

fn program(moment: &str, place: &Place, script: &str) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt;
    let inside = format!("/bin/hook-{moment}");
    let outside = if moment == "startContainer" {
        place.rootfs().join(inside.trim_start_matches('/'))
    } else {
        place.world.path().join("program")
    };
    let io = |error: std::io::Error| error.to_string();
    fs::write(&outside, script).map_err(io)?;
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).map_err(io)?;
    Ok(if moment == "startContainer" { inside } else { outside.to_string_lossy().into_owned() })
}

fn run(place: &Place, moment: &str, hook: Value) -> Ran {
    let mut config = place.config("true", &no_change());
    put(&mut config, &format!("hooks.{moment}"), json!([hook]));
    place.run(&config)
}

fn written(
    place: &Place,
    moment: &str,
    paper: &Paper,
    hook: Value,
    want: &str,
) -> Result<(), String> {
    let _ = fs::remove_file(&paper.outside);
    let ran = run(place, moment, hook);
    let text = fs::read_to_string(&paper.outside).unwrap_or_default();
    if ran.code == 0 && text.trim() == want { Ok(()) } else { Err(format!("{text:?}, {ran:?}")) }
}

/// A failing poststop hook is told and fails nothing, as the specification
/// has it; all others do.
fn timeout(place: &Place, moment: &str, _: &Row) -> Result<(), String> {
    let begin = std::time::Instant::now();
    let hook = json!({"path": "/bin/sleep", "args": ["sleep", "200"], "timeout": 1});
    let ran = run(place, moment, hook);
    let stopped = begin.elapsed().as_secs() < 60;
    let told = ran.stderr.contains("timed out after 1 s");
    match moment {
        "poststop" if stopped && ran.code == 0 => Ok(()),
        _ if stopped && ran.code != 0 && told => Ok(()),
        _ => Err(format!("{ran:?} after {:?}", begin.elapsed())),
    }
}
