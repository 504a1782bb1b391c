//! The config that the flags of `image import` describe.

use super::args::ImportArgs;
use crate::cli::error::CliError;
use crate::image::{ImageConfig, change};
use crate::model::Signal;

/// `--change` first, then the flags, which win.
pub(super) fn config(args: &ImportArgs) -> Result<ImageConfig, CliError> {
    let mut config = ImageConfig::default();
    for instruction in &args.change {
        change::apply(&mut config, instruction).map_err(|e| CliError::Refused(e.to_string()))?;
    }
    if let Some(text) = &args.entrypoint {
        config.entrypoint = change::command(text);
    }
    if let Some(text) = &args.cmd {
        config.cmd = change::command(text);
    }
    for variable in &args.env {
        let Some((name, value)) = variable.split_once('=').filter(|(name, _)| !name.is_empty())
        else {
            return Err(bad("--env", variable, "NAME=VALUE"));
        };
        change::set_env(&mut config, name, value);
    }
    if let Some(user) = &args.user {
        config.user.clone_from(user);
    }
    if let Some(folder) = &args.workdir {
        config.working_dir.clone_from(folder);
    }
    if let Some(text) = &args.stop_signal {
        let signal =
            Signal::parse(text).ok_or_else(|| bad("--stop-signal", text, "a signal's name"))?;
        config.stop_signal = Some(signal);
    }
    Ok(config)
}

fn bad(flag: &str, value: &str, want: &'static str) -> CliError {
    CliError::BadFlagValue { flag: flag.into(), value: value.into(), want }
}
