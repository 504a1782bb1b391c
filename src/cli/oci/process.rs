//! What the verbs that enter containers share: protection, paths, config.json.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::report::Failure;
use crate::sys::error::describe;
use crate::sys::exec_view::{self, ViewMounts};
use crate::sys::{fd, prctl};

/// Goes on only from a file that a container cannot write to, and with
/// children that wait to be asked. What is returned is to be dropped while
/// somebody else works.
pub fn protect() -> Result<ViewMounts, Failure> {
    prctl::default_sigchld();
    exec_view::ensure().map_err(|source| Failure::Call { doing: "protect own file", source })
}

/// The path from `/`, whatever the current folder becomes.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| file("resolve", path, &error))
}

/// An I/O error as a failure, in the words callers search for.
pub fn file(doing: &'static str, path: &Path, error: &std::io::Error) -> Failure {
    let problem = match error.raw_os_error() {
        Some(errno) => describe(nix::errno::Errno::from_raw(errno)),
        None => error.to_string(),
    };
    Failure::File { doing, path: path.display().to_string(), problem }
}

/// Reads config.json.
pub fn read_spec(path: &Path) -> Result<Spec, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::Contradiction("JSON specification file config.json not found".to_owned())
        } else {
            file("read", path, &error)
        }
    })?;
    let mut spec = parse(&bytes, path, "/process")?;
    add_monitoring(&mut spec, &bytes);
    Ok(spec)
}

/// The older names of `linux.intelRdt.enableMonitoring` are spelled otherwise
/// in the types we parse into, which would leave them out.
fn add_monitoring(spec: &mut Spec, bytes: &[u8]) {
    let Some(linux) = spec.linux() else { return };
    let Some(mut rdt) = linux.intel_rdt().clone() else { return };
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let on = |name| value["linux"]["intelRdt"][name] == true;
    if on("enableCMT") || on("enableMBM") {
        rdt.set_enable_monitoring(Some(true));
        let mut linux = linux.clone();
        linux.set_intel_rdt(Some(rdt));
        spec.set_linux(Some(linux));
    }
}

/// Parses `bytes`, whose process is at `process`. Capabilities that this podrt
/// does not know are left out with a warning, as runc does.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, process: &str) -> Result<T, Failure> {
    match serde_json::from_slice(bytes) {
        Ok(parsed) => Ok(parsed),
        Err(first) => {
            let problem = first.to_string();
            let softened = serde_json::from_slice::<Value>(bytes).ok().and_then(|mut value| {
                let process = value.pointer_mut(process)?;
                process.pointer_mut("/capabilities").map(soften);
                process.pointer_mut("/scheduler/flags").map(rename_flags);
                serde_json::from_value(value).ok()
            });
            softened.ok_or_else(|| Failure::File {
                doing: "parse",
                path: path.display().to_string(),
                problem,
            })
        }
    }
}

/// Two flags of the specification have other names in the types we parse into.
fn rename_flags(flags: &mut Value) {
    for flag in flags.as_array_mut().into_iter().flatten() {
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
}

fn soften(capabilities: &mut Value) {
    for set in capabilities.as_object_mut().into_iter().flat_map(|sets| sets.values_mut()) {
        let Some(names) = set.as_array_mut() else { continue };
        names.retain(|name| {
            let known = name.as_str().is_some_and(|name| name.parse::<caps::Capability>().is_ok());
            if !known {
                eprintln!("podrt: unknown capability {name}, ignoring");
            }
            known
        });
    }
}

/// Hands a pidfd to whoever listens at `path`.
pub fn send_pidfd(path: &Path, pidfd: &OwnedFd) -> Result<(), Failure> {
    let stream =
        UnixStream::connect(path).map_err(|error| file("connect to pidfd socket", path, &error))?;
    fd::send_with_fds(stream.as_fd(), b"pidfd", &[pidfd.as_fd()])
        .map_err(|source| Failure::Call { doing: "send pidfd", source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_older_names_of_monitoring_are_read() {
        for (field, wanted) in
            [("enableCMT", Some(true)), ("enableMBM", Some(true)), ("closID", None)]
        {
            let mut spec = crate::container::spec::example(None);
            let value = if field == "closID" { json!("x") } else { json!(true) };
            spec["linux"]["intelRdt"] = json!({field: value});
            let bytes = spec.to_string();
            let mut parsed: Spec = serde_json::from_str(&bytes).unwrap();
            add_monitoring(&mut parsed, bytes.as_bytes());
            let rdt = parsed.linux().as_ref().unwrap().intel_rdt().clone().unwrap();
            assert_eq!(rdt.enable_monitoring(), &wanted, "{field}");
        }
    }

    #[test]
    fn an_unknown_capability_is_left_out_and_other_errors_stay() {
        let mut spec = crate::container::spec::example(None);
        spec["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_FROM_THE_FUTURE"]);
        let parse =
            |value: &Value| parse::<Spec>(value.to_string().as_bytes(), Path::new("c"), "/process");
        let parsed = parse(&spec).unwrap();
        let caps = parsed.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!(caps.bounding().as_ref().unwrap().len(), 1);
        spec["process"]["scheduler"] = json!({"policy": "SCHED_OTHER", "flags":
            ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]});
        assert!(parse(&spec).is_ok(), "flags as the specification names them");
        spec["process"]["args"] = json!(3);
        assert!(parse(&spec).is_err());
    }
}
