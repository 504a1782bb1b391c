//! Dockerfile instructions for the config of an imported image, as in
//! `docker import --change`.

use std::fmt;

use super::ImageConfig;
use crate::model::Signal;

/// An instruction that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadChange {
    instruction: String,
    problem: &'static str,
}

impl fmt::Display for BadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read change {:?}: {}", self.instruction, self.problem)
    }
}

impl std::error::Error for BadChange {}

/// Applies one instruction: `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`,
/// `STOPSIGNAL`, `USER`, `VOLUME` or `WORKDIR`.
///
/// # Errors
/// [`BadChange`] for another one, or for arguments it cannot have.
pub fn apply(config: &mut ImageConfig, instruction: &str) -> Result<(), BadChange> {
    let bad = |problem| BadChange { instruction: instruction.to_owned(), problem };
    let text = instruction.trim();
    let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(bad("it needs an argument"));
    }
    match verb.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = command(rest),
        "ENTRYPOINT" => config.entrypoint = command(rest),
        "ENV" => {
            for (name, value) in pairs(rest).ok_or_else(|| bad("want NAME=value"))? {
                set_env(config, &name, &value);
            }
        }
        "LABEL" => config.labels.extend(pairs(rest).ok_or_else(|| bad("want NAME=value"))?),
        "USER" => rest.clone_into(&mut config.user),
        "WORKDIR" => config.working_dir = join(&config.working_dir, rest),
        "STOPSIGNAL" => {
            config.stop_signal = Some(Signal::parse(rest).ok_or_else(|| bad("unknown signal"))?);
        }
        "VOLUME" => add(&mut config.volumes, list(rest)),
        "EXPOSE" => {
            let ports = words(rest).ok_or_else(|| bad("unclosed quote"))?;
            let full = |port: String| if port.contains('/') { port } else { port + "/tcp" };
            add(&mut config.exposed_ports, ports.into_iter().map(full).collect());
        }
        _ => return Err(bad("unknown instruction")),
    }
    Ok(())
}

/// Sets one variable, in place of one of the same name.
pub fn set_env(config: &mut ImageConfig, name: &str, value: &str) {
    let variable = format!("{name}={value}");
    let same = |old: &&mut String| old.split_once('=').is_some_and(|(old, _)| old == name);
    match config.env.iter_mut().find(same) {
        Some(old) => *old = variable,
        None => config.env.push(variable),
    }
}

/// A JSON list of strings is the command; anything else is for a shell.
#[must_use]
pub fn command(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| vec!["/bin/sh".into(), "-c".into(), text.to_owned()])
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect())
}

fn add(to: &mut Vec<String>, items: Vec<String>) {
    to.extend(items);
    to.sort();
    to.dedup();
}

fn join(base: &str, path: &str) -> String {
    if path.starts_with('/') || base.is_empty() {
        return if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    }
    format!("{}/{path}", base.trim_end_matches('/'))
}

/// `A=1 B="two words"`, or the old `A one and all`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Words at blanks, with quotes and backslashes; `None` when a quote stays
/// open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instructions_change_what_they_name() {
        let mut config = ImageConfig::default();
        for change in [
            r#"CMD ["a", "b c"]"#,
            "entrypoint exec a b",
            "ENV A=1 B=\"two words\" C=it\\ is",
            "ENV A=2",
            "ENV D and all of this",
            "LABEL x.y='z'",
            "USER 1000:1000",
            "WORKDIR /srv",
            "WORKDIR app",
            "STOPSIGNAL SIGQUIT",
            r#"VOLUME ["/b", "/a"]"#,
            "VOLUME /c",
            "EXPOSE 80 53/udp",
        ] {
            apply(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd, ["a", "b c"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "exec a b"]);
        assert_eq!(config.env, ["A=2", "B=two words", "C=it is", "D=and all of this"]);
        assert_eq!(config.labels["x.y"], "z");
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1000:1000", "/srv/app"));
        assert_eq!(config.stop_signal, Some(Signal::QUIT));
        assert_eq!(config.volumes, ["/a", "/b", "/c"]);
        assert_eq!(config.exposed_ports, ["53/udp", "80/tcp"]);
    }

    #[test]
    fn other_instructions_are_refused_by_name() {
        for (change, want) in [
            ("RUN x", "read change \"RUN x\": unknown instruction"),
            ("CMD", "read change \"CMD\": it needs an argument"),
            ("ENV A=\"x", "read change \"ENV A=\\\"x\": want NAME=value"),
            ("ENV =x", "read change \"ENV =x\": want NAME=value"),
            ("STOPSIGNAL NOPE", "read change \"STOPSIGNAL NOPE\": unknown signal"),
        ] {
            let error = apply(&mut ImageConfig::default(), change).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn no_instruction_panics(text in "(ENV|LABEL|EXPOSE|CMD|VOLUME) [\\\\\"'a= \\[\\],]{0,20}") {
            let _ = apply(&mut ImageConfig::default(), &text);
        }
    }
}
