//! `podrt completion`: a script by which a shell completes verbs, the flags of
//! OCI verbs and the ids of containers.

use super::flags::{Grammar, Typed};
use super::report::{Failure, Outcome};
use super::verb::{GRAMMARS, print};
use crate::cli::globals::Globals;

pub const GRAMMAR: Grammar = Grammar {
    verb: "completion",
    words: "bash|zsh",
    about: "Print a script for the shell: source <(podrt completion bash)",
    flags: &[],
    least: 1,
    most: 1,
};

/// Verbs of pods, whose flags are not completed.
const POD_VERBS: &str = "run get describe logs exec delete image";

const GLOBALS: &str =
    "--root --data-root --log-root --log --log-format --systemd-cgroup --cgroup-manager --debug";

pub fn run(_globals: &Globals, typed: &Typed) -> Outcome {
    match typed.words()[0].as_str() {
        "bash" => Ok(print(&bash())),
        "zsh" => Ok(print(&format!("autoload -U +X bashcompinit && bashcompinit\n{}", bash()))),
        other => Err(Failure::Contradiction(format!("no completion for {other:?}: bash or zsh"))),
    }
}

fn bash() -> String {
    let mut verbs: Vec<&str> = GRAMMARS.iter().map(|grammar| grammar.verb).collect();
    verbs.extend(POD_VERBS.split(' '));
    verbs.sort_unstable();
    verbs.dedup();
    let cases: String = GRAMMARS.iter().map(|grammar| case(grammar)).collect();
    SCRIPT
        .replace("@VERBS@", &verbs.join(" "))
        .replace("@GLOBALS@", GLOBALS)
        .replace("@CASES@", &cases)
}

fn case(grammar: &Grammar) -> String {
    let flags: Vec<String> = grammar.flags.iter().map(|flag| format!("--{}", flag.name)).collect();
    format!("    {}) flags=\"{}\" ;;\n", grammar.verb, flags.join(" "))
}

/// The verb is the first word that is no flag and no value of a global flag.
const SCRIPT: &str = r#"_podrt() {
  local word=${COMP_WORDS[COMP_CWORD]} verb= flags= at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
    --root | --data-root | --log-root | --log | --log-format) ((at++)) ;;
    -*) ;;
    *) verb=${COMP_WORDS[at]}; break ;;
    esac
  done
  if [ -z "$verb" ]; then
    COMPREPLY=($(compgen -W "@VERBS@ @GLOBALS@" -- "$word"))
    return
  fi
  case $verb in
@CASES@  esac
  case $word in
  -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
  *) COMPREPLY=($(compgen -W "$(podrt list -q 2>/dev/null)" -- "$word") $(compgen -f -- "$word")) ;;
  esac
}
complete -F _podrt podrt
"#;
