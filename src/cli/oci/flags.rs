//! The flags of an OCI verb, as Go's flag package reads them for runc: one
//! dash or two, `--flag=value` or `--flag value`, switches with `=false`, and
//! nothing after the first word is a flag (`exec ID ls -l`).
//!
//! Not clap: it knows neither the single dash nor where flags end, and costs
//! more than a whole `state` takes.

use std::ffi::OsString;
use std::fmt;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
    /// One value each time, as often as wanted.
    Values,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    pub name: &'static str,
    /// Another name, or empty.
    pub short: &'static str,
    pub takes: Takes,
    pub help: &'static str,
}

/// A switch.
pub const fn switch(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag { name, short, takes: Takes::Nothing, help }
}

/// A flag with a value.
pub const fn value(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag { name, short, takes: Takes::Value, help }
}

/// A flag that may be given many times.
pub const fn values(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag { name, short, takes: Takes::Values, help }
}

/// A verb's command line.
#[derive(Debug)]
pub struct Grammar {
    pub verb: &'static str,
    /// The words behind the flags, for `--help`.
    pub words: &'static str,
    pub about: &'static str,
    pub flags: &'static [Flag],
    /// How many words there must and may be.
    pub least: usize,
    pub most: usize,
}

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    given: Vec<(&'static str, OsString)>,
    words: Vec<String>,
}

/// Why a command line is none.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    /// `--help`: not an error at all.
    Help,
    UnknownFlag(String),
    NeedsValue(String),
    BadValue {
        flag: String,
        value: String,
    },
    NotUtf8,
    /// How many words the verb takes.
    Words {
        verb: &'static str,
        least: usize,
        most: usize,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help => f.write_str("help requested"),
            Self::UnknownFlag(flag) => write!(f, "flag provided but not defined: -{flag}"),
            Self::NeedsValue(flag) => write!(f, "flag needs an argument: -{flag}"),
            Self::BadValue { flag, value } => {
                write!(f, "invalid value {value:?} for flag -{flag}")
            }
            Self::NotUtf8 => f.write_str("an argument is not UTF-8"),
            Self::Words { verb, least, most } if least == most => {
                write!(f, "{verb:?} requires exactly {least} argument(s)")
            }
            Self::Words { verb, least, .. } => {
                write!(f, "{verb:?} requires a minimum of {least} argument(s)")
            }
        }
    }
}

impl Grammar {
    /// Reads `args`.
    pub fn parse(&self, args: Vec<OsString>) -> Result<Typed, UsageError> {
        let mut typed = Typed::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let bytes = arg.as_encoded_bytes();
            if bytes == b"--" {
                break;
            }
            if !bytes.starts_with(b"-") || bytes == b"-" {
                typed.words.push(text(arg)?);
                break;
            }
            let (name, inline) = split(&arg)?;
            if name == "help" || name == "h" {
                return Err(UsageError::Help);
            }
            let flag = self.flags.iter().find(|flag| flag.name == name || flag.short == name);
            let flag = flag.ok_or_else(|| UsageError::UnknownFlag(name.clone()))?;
            if flag.takes == Takes::Nothing {
                if switched_on(&name, inline)? {
                    typed.given.push((flag.name, OsString::new()));
                }
            } else {
                let value = inline.or_else(|| args.next()).ok_or(UsageError::NeedsValue(name))?;
                typed.given.push((flag.name, value));
            }
        }
        for word in args {
            typed.words.push(text(word)?);
        }
        if (self.least..=self.most).contains(&typed.words.len()) {
            Ok(typed)
        } else {
            Err(UsageError::Words { verb: self.verb, least: self.least, most: self.most })
        }
    }

    /// What `--help` prints.
    pub fn help(&self) -> String {
        let mut text =
            format!("{}\n\nUsage: podrt {} [FLAGS] {}\n", self.about, self.verb, self.words);
        if !self.flags.is_empty() {
            text.push_str("\nFlags:\n");
        }
        for flag in self.flags {
            let short =
                if flag.short.is_empty() { String::new() } else { format!(", -{}", flag.short) };
            let value = if flag.takes == Takes::Nothing { "" } else { " VALUE" };
            let names = format!("--{}{short}{value}", flag.name);
            text.push_str(&format!("  {names:<30} {}\n", flag.help));
        }
        text
    }
}

fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string().map_err(|_| UsageError::NotUtf8)
}

/// The name without dashes, and what stands behind a `=`.
fn split(arg: &OsString) -> Result<(String, Option<OsString>), UsageError> {
    let arg = arg.to_str().ok_or(UsageError::NotUtf8)?;
    let bare = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or(arg);
    Ok(match bare.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.into())),
        None => (bare.to_owned(), None),
    })
}

fn switched_on(name: &str, inline: Option<OsString>) -> Result<bool, UsageError> {
    let Some(value) = inline else { return Ok(true) };
    match value.to_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        _ => Err(UsageError::BadValue {
            flag: name.to_owned(),
            value: value.to_string_lossy().into_owned(),
        }),
    }
}

impl Typed {
    /// Whether the switch `name` is on.
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// The value of `name`: the last one counts, an empty one is none.
    pub fn value(&self, name: &str) -> Option<&OsString> {
        let mut all = self.given.iter().rev().filter(|(given, _)| *given == name);
        all.next().map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// The value of `name` as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, UsageError> {
        self.value(name).map(|value| value.to_str().ok_or(UsageError::NotUtf8)).transpose()
    }

    /// All values of `name`, in order.
    ///
    /// # Errors
    /// When one is not UTF-8.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, UsageError> {
        let all = self.given.iter().filter(|(given, _)| *given == name);
        all.map(|(_, value)| value.to_str().ok_or(UsageError::NotUtf8)).collect()
    }

    /// The value of `name` as a number.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str) -> Result<Option<u32>, UsageError> {
        let bad =
            |value: &str| UsageError::BadValue { flag: name.to_owned(), value: value.to_owned() };
        self.text(name)?.map(|text| text.parse().map_err(|_| bad(text))).transpose()
    }

    /// The words behind the flags.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar = Grammar {
        verb: "exec",
        words: "ID COMMAND...",
        about: "",
        flags: &[
            switch("detach", "d", ""),
            value("pid-file", "", ""),
            values("env", "e", ""),
            value("preserve-fds", "", ""),
        ],
        least: 1,
        most: usize::MAX,
    };

    fn parse(line: &str) -> Result<Typed, UsageError> {
        GRAMMAR.parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn one_dash_or_two_and_either_form_of_value_are_the_same() {
        for line in ["--detach --pid-file=f x", "-detach -pid-file f x", "-d --pid-file f -- x"] {
            let typed = parse(line).unwrap();
            assert!(typed.has("detach"), "{line}");
            assert_eq!(typed.text("pid-file").unwrap(), Some("f"), "{line}");
            assert_eq!(typed.words(), ["x"], "{line}");
        }
        assert!(!parse("--detach=false x").unwrap().has("detach"));
        assert_eq!(parse("-e a=1 --env b=2 x").unwrap().texts("env").unwrap(), ["a=1", "b=2"]);
    }

    #[test]
    fn nothing_behind_the_first_word_is_a_flag() {
        let typed = parse("id ls -l --detach -- x").unwrap();
        assert_eq!(typed.words(), ["id", "ls", "-l", "--detach", "--", "x"]);
        assert!(!typed.has("detach"));
    }

    #[test]
    fn a_wrong_line_is_named_as_runc_names_it() {
        let error = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(error("--nope x"), "flag provided but not defined: -nope");
        assert_eq!(error("--pid-file"), "flag needs an argument: -pid-file");
        assert_eq!(error("--detach=maybe x"), "invalid value \"maybe\" for flag -detach");
        assert_eq!(error("-d"), "\"exec\" requires a minimum of 1 argument(s)");
        assert_eq!(parse("x --help").unwrap().words().len(), 2);
        assert_eq!(parse("--help").unwrap_err(), UsageError::Help);
        let number = parse("--preserve-fds many x").unwrap();
        assert!(number.number("preserve-fds").is_err());
    }
}
