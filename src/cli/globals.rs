//! The flags in front of the verb. Read by hand: most commands are over before
//! a general parser would have been set up.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::CliError;
use crate::container::CgroupDriver;
use crate::model::Roots;

/// How errors are written to the `--log` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What was typed before the verb, with the environment's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Globals {
    pub roots: Roots,
    /// Errors are appended here besides standard error.
    pub log: Option<PathBuf>,
    pub log_format: LogFormat,
    pub debug: bool,
    pub cgroup_driver: CgroupDriver,
    /// `--rootless auto|true|false`: runc's, taken and without effect.
    pub rootless: Option<String>,
}

/// The whole command line, split at the verb.
#[derive(Debug, PartialEq, Eq)]
pub struct Split {
    pub globals: Globals,
    /// `None` for `podrt` alone, `--help` and `--version` included as verbs.
    pub verb: Option<String>,
    pub rest: Vec<OsString>,
}

/// Splits `args` (without the program's name) at the verb. `env` reads one
/// variable of the environment.
///
/// # Errors
/// An unknown flag, a flag without its value, an unknown `--log-format`.
pub fn split(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Split, CliError> {
    let mut globals = Globals { roots: roots_from(env), ..Globals::default() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        if matches!(text.as_str(), "--help" | "-h" | "--version" | "-v") || !text.starts_with('-') {
            return Ok(Split { globals, verb: Some(text), rest: args.collect() });
        }
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (text.clone(), None),
        };
        let mut value =
            || inline.clone().or_else(|| args.next()).ok_or(CliError::FlagNeedsValue(name.clone()));
        // Go's flag package, which runc uses, takes one dash as well as two.
        match name.trim_start_matches('-') {
            "root" => globals.roots.root = value()?.into(),
            "data-root" => globals.roots.data_root = value()?.into(),
            "log-root" => globals.roots.log_root = value()?.into(),
            "log" => globals.log = Some(value()?.into()),
            "log-format" => globals.log_format = log_format(&value()?)?,
            "rootless" => globals.rootless = Some(value()?.to_string_lossy().into_owned()),
            "criu" => drop(value()?),
            "debug" => globals.debug = true,
            "systemd-cgroup" => globals.cgroup_driver = CgroupDriver::Systemd,
            "cgroup-manager" => globals.cgroup_driver = cgroup_driver(&value()?)?,
            _ => return Err(CliError::UnknownFlag(text)),
        }
    }
    Ok(Split { globals, verb: None, rest: Vec::new() })
}

fn roots_from(env: impl Fn(&str) -> Option<OsString>) -> Roots {
    let default = Roots::default();
    let path = |name: &str, otherwise: PathBuf| {
        env(name).filter(|value| !value.is_empty()).map_or(otherwise, PathBuf::from)
    };
    // As runc's: /run is not a user's to write.
    let own = env("XDG_RUNTIME_DIR").filter(|_| !nix::unistd::geteuid().is_root());
    let root = own.map_or(default.root, |folder| PathBuf::from(folder).join("podrt"));
    Roots {
        root: path("PODRT_ROOT", root),
        data_root: path("PODRT_DATA_ROOT", default.data_root),
        log_root: path("PODRT_LOG_ROOT", default.log_root),
    }
}

fn log_format(value: &OsString) -> Result<LogFormat, CliError> {
    match value.to_string_lossy().as_ref() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(CliError::BadFlagValue {
            flag: "--log-format".into(),
            value: other.into(),
            want: "text or json",
        }),
    }
}

/// crun's way to name the driver, which podman uses for containers without a
/// cgroup.
fn cgroup_driver(value: &OsString) -> Result<CgroupDriver, CliError> {
    match value.to_string_lossy().as_ref() {
        "cgroupfs" => Ok(CgroupDriver::Cgroupfs),
        "systemd" => Ok(CgroupDriver::Systemd),
        "disabled" => Ok(CgroupDriver::Disabled),
        other => Err(CliError::BadFlagValue {
            flag: "--cgroup-manager".into(),
            value: other.into(),
            want: "cgroupfs, systemd or disabled",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_line(line: &str) -> Result<Split, CliError> {
        split(line.split_whitespace().map(OsString::from), |_| None)
    }

    #[test]
    fn flags_before_the_verb_are_global_and_those_behind_it_are_not() {
        let split =
            split_line("--root /r --log=/l --log-format json --systemd-cgroup state --root x")
                .expect("splits");
        assert_eq!(split.globals.roots.root, PathBuf::from("/r"));
        assert_eq!(split.globals.log, Some(PathBuf::from("/l")));
        assert_eq!(split.globals.log_format, LogFormat::Json);
        assert_eq!(split.globals.cgroup_driver, CgroupDriver::Systemd);
        assert_eq!(split.verb.as_deref(), Some("state"));
        assert_eq!(split.rest, ["--root", "x"].map(OsString::from));
    }

    #[test]
    fn a_flag_nobody_knows_is_named() {
        assert_eq!(split_line("--nope state x"), Err(CliError::UnknownFlag("--nope".into())));
        assert!(split_line("--cgroup-manager=nope create x").is_err());
        assert_eq!(split_line("--root"), Err(CliError::FlagNeedsValue("--root".into())));
    }

    #[test]
    fn the_environment_moves_the_roots_and_flags_win() {
        let env = |name: &str| (name == "PODRT_ROOT").then(|| OsString::from("/env"));
        let args = |line: &str| line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let from_env = split(args("list"), env).expect("splits").globals.roots.root;
        let from_flag = split(args("--root /flag list"), env).expect("splits").globals.roots.root;
        assert_eq!((from_env, from_flag), (PathBuf::from("/env"), PathBuf::from("/flag")));
    }
}
