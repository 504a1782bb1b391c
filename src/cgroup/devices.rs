//! Which device nodes a container may make, read and write: a program of our
//! own on cgroup v2, the `devices` controller on v1.

use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::error::Error;
use super::file;
use super::hierarchy::Layout;
use crate::sys::bpf::{self, Instruction};

/// One rule: what it matches, and whether that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// `None` is both kinds.
    kind: Option<Kind>,
    /// `None` is any.
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

impl Rule {
    fn is_everything(&self) -> bool {
        (self.kind, self.major, self.minor, self.access) == (None, None, None, ALL)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Char,
}

/// Bits of `BPF_DEVCG_ACC_*`.
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// What every container may use, after its own rules: making any node (which
/// allows nothing), the default devices, terminals.
const DEFAULTS: [(Kind, Option<u32>, Option<u32>, u8); 11] = [
    (Kind::Char, None, None, MKNOD),
    (Kind::Block, None, None, MKNOD),
    (Kind::Char, Some(1), Some(3), ALL),
    (Kind::Char, Some(1), Some(5), ALL),
    (Kind::Char, Some(1), Some(7), ALL),
    (Kind::Char, Some(1), Some(8), ALL),
    (Kind::Char, Some(1), Some(9), ALL),
    (Kind::Char, Some(5), Some(0), ALL),
    (Kind::Char, Some(5), Some(1), ALL),
    (Kind::Char, Some(5), Some(2), ALL),
    (Kind::Char, Some(136), None, ALL),
];

/// Replaces the cgroup's device rules.
pub(super) fn apply(path: &str, here: &Layout, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
    let rules = with_defaults(rules)?;
    if let Some(v1) = here.v1_of("devices") {
        return apply_v1(v1, &rules);
    }
    let Some(v2) = here.v2.as_deref() else {
        return Err(Error::MissingController {
            controller: "devices".to_owned(),
            setting: "devices".to_owned(),
        });
    };
    let cgroup = file::open_directory(v2)?;
    bpf::load_device_program(&program(&rules))
        .and_then(|program| bpf::set_device_program(cgroup.as_fd(), program.as_fd()))
        .map_err(|source| Error::Devices { path: path.to_owned(), source })
}

fn with_defaults(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    let defaults = DEFAULTS.iter().map(|&(kind, major, minor, access)| {
        Ok(Rule { allow: true, kind: Some(kind), major, minor, access })
    });
    rules.iter().map(rule).chain(defaults).collect()
}

fn rule(given: &LinuxDeviceCgroup) -> Result<Rule, Error> {
    let bad = |value: String| Error::Value { setting: "devices", value };
    let kind = match given.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Char),
        Some(LinuxDeviceType::P) => return Err(bad("p".to_owned())),
    };
    let number = |value: Option<i64>| match value {
        // -1 is any.
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| bad(value.to_string())),
    };
    let (major, minor) = (number(given.major())?, number(given.minor())?);
    let access = match given.access().as_deref() {
        None | Some("") => ALL,
        Some(text) => text.chars().try_fold(0, |bits, c| match c {
            'm' => Ok(bits | MKNOD),
            'r' => Ok(bits | READ),
            'w' => Ok(bits | WRITE),
            _ => Err(bad(text.to_owned())),
        })?,
    };
    Ok(Rule { allow: given.allow(), kind, major, minor, access })
}

mod op {
    pub const LOAD_WORD: u8 = 0x61;
    pub const MOVE: u8 = 0xbf;
    pub const MOVE_VALUE: u8 = 0xb7;
    pub const AND: u8 = 0x57;
    pub const SHIFT_RIGHT: u8 = 0x77;
    pub const JUMP_NOT_EQUAL: u8 = 0x55;
    /// 32 bits wide: a minor number above 2³¹ is no negative one.
    pub const JUMP_NOT_EQUAL_32: u8 = 0x56;
    pub const EXIT: u8 = 0x95;
}

/// Registers: the context, the device's kind, the access still to be decided,
/// the device's numbers, and one for calculation.
mod reg {
    pub const RESULT: u8 = 0;
    pub const CONTEXT: u8 = 1;
    pub const KIND: u8 = 2;
    pub const ACCESS: u8 = 3;
    pub const MAJOR: u8 = 4;
    pub const MINOR: u8 = 5;
    pub const SCRATCH: u8 = 6;
}

/// The rules as a program. They are asked last to first, so that a later one
/// wins: an allowing rule settles the kinds of access it names, and all being
/// settled allows; a denying rule that names an unsettled one denies. What no
/// rule settles is denied.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(op::LOAD_WORD, reg::KIND, reg::CONTEXT, 0, 0),
        instruction(op::MOVE, reg::ACCESS, reg::KIND, 0, 0),
        instruction(op::AND, reg::KIND, 0, 0, 0xffff),
        instruction(op::SHIFT_RIGHT, reg::ACCESS, 0, 0, 16),
        instruction(op::LOAD_WORD, reg::MAJOR, reg::CONTEXT, 4, 0),
        instruction(op::LOAD_WORD, reg::MINOR, reg::CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        if rule.is_everything() {
            // Nothing after it could be reached, which the verifier refuses.
            program.extend(verdict(rule.allow));
            return program;
        }
        program.extend(asked(rule));
    }
    program.extend(verdict(false));
    program
}

fn asked(rule: &Rule) -> Vec<Instruction> {
    let body = decision(rule);
    let kind = rule.kind.map(|kind| match kind {
        Kind::Block => 1,
        Kind::Char => 2,
    });
    let conditions: Vec<(u8, u32)> =
        [(reg::KIND, kind), (reg::MAJOR, rule.major), (reg::MINOR, rule.minor)]
            .into_iter()
            .filter_map(|(register, wanted)| wanted.map(|wanted| (register, wanted)))
            .collect();
    let mut asked = Vec::new();
    for (index, (register, wanted)) in conditions.iter().enumerate() {
        let ahead = conditions.len() - index - 1 + body.len();
        let ahead = i16::try_from(ahead).expect("a rule is a dozen instructions");
        let wanted = wanted.cast_signed();
        asked.push(instruction(op::JUMP_NOT_EQUAL_32, *register, 0, ahead, wanted));
    }
    asked.extend(body);
    asked
}

fn decision(rule: &Rule) -> Vec<Instruction> {
    let access = i32::from(rule.access);
    if rule.allow {
        let mut body = vec![
            instruction(op::AND, reg::ACCESS, 0, 0, !access),
            instruction(op::JUMP_NOT_EQUAL, reg::ACCESS, 0, 2, 0),
        ];
        body.extend(verdict(true));
        return body;
    }
    let mut body = vec![
        instruction(op::MOVE, reg::SCRATCH, reg::ACCESS, 0, 0),
        instruction(op::AND, reg::SCRATCH, 0, 0, access),
        // Jumps over the two instructions of the verdict when none is left.
        instruction(op::JUMP_NOT_EQUAL, reg::SCRATCH, 0, 1, 0),
        instruction(JUMP_ALWAYS, 0, 0, 2, 0),
    ];
    body.extend(verdict(false));
    body
}

const JUMP_ALWAYS: u8 = 0x05;

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        instruction(op::MOVE_VALUE, reg::RESULT, 0, 0, i32::from(allow)),
        instruction(op::EXIT, 0, 0, 0, 0),
    ]
}

const fn instruction(
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate }
}

/// v1 keeps the list itself: closed first, then rule by rule in order.
fn apply_v1(folder: &Path, rules: &[Rule]) -> Result<(), Error> {
    let opens = rules.first().is_some_and(|rule| rule.allow && rule.is_everything());
    if !opens {
        file::write(&folder.join("devices.deny"), "a")?;
    }
    for rule in rules {
        let name = if rule.allow { "devices.allow" } else { "devices.deny" };
        for line in v1_lines(rule) {
            file::write(&folder.join(name), &line)?;
        }
    }
    Ok(())
}

/// `a` means everything whatever follows, so a rule for both kinds that is less
/// than that is written as two.
fn v1_lines(rule: &Rule) -> Vec<String> {
    let kinds = match rule.kind {
        None if rule.is_everything() => vec!['a'],
        None => vec!['b', 'c'],
        Some(Kind::Block) => vec!['b'],
        Some(Kind::Char) => vec!['c'],
    };
    let number = |value: Option<u32>| value.map_or("*".to_owned(), |value| value.to_string());
    let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .into_iter()
        .filter_map(|(bit, letter)| (rule.access & bit != 0).then_some(letter))
        .collect();
    let numbers = format!("{}:{}", number(rule.major), number(rule.minor));
    kinds.into_iter().map(|kind| format!("{kind} {numbers} {access}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`program`] must say, by the words of the specification: for each
    /// kind of access asked for, the last rule that matches decides.
    fn model(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let matches = |rule: &&Rule| {
                rule.kind.is_none_or(|one| one == kind)
                    && rule.major.is_none_or(|one| one == major)
                    && rule.minor.is_none_or(|one| one == minor)
                    && rule.access & bit != 0
            };
            rules.iter().rev().find(matches).is_some_and(|rule| rule.allow)
        })
    }

    /// Runs the few instructions that the program is made of.
    fn run(program: &[Instruction], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        let kind = if kind == Kind::Block { 1 } else { 2 };
        let context = [u32::from(access) << 16 | kind, major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0_usize;
        loop {
            let now = program[at];
            at += 1;
            let to = usize::from(now.registers & 15);
            let from = usize::from(now.registers >> 4);
            let value = i64::from(now.immediate).cast_unsigned();
            let jump = |at: usize| at.checked_add_signed(now.offset.into()).unwrap();
            match now.code {
                op::LOAD_WORD => {
                    registers[to] = context[usize::try_from(now.offset).unwrap() / 4].into();
                }
                op::MOVE => registers[to] = registers[from],
                op::MOVE_VALUE => registers[to] = value,
                op::AND => registers[to] &= value,
                op::SHIFT_RIGHT => registers[to] >>= value,
                op::JUMP_NOT_EQUAL if registers[to] != value => at = jump(at),
                op::JUMP_NOT_EQUAL_32 if registers[to] != value & 0xffff_ffff => at = jump(at),
                op::JUMP_NOT_EQUAL | op::JUMP_NOT_EQUAL_32 => {}
                JUMP_ALWAYS => at = jump(at),
                op::EXIT => return registers[0] == 1,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let kind = prop_oneof![Just(None), Just(Some(Kind::Block)), Just(Some(Kind::Char))];
        let number = || prop_oneof![Just(None), (0..3_u32).prop_map(Some), Just(Some(u32::MAX))];
        (any::<bool>(), kind, number(), number(), 1..8_u8).prop_map(
            |(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access },
        )
    }

    proptest! {
        #[test]
        fn for_each_access_the_last_rule_that_names_it_decides(
            rules in proptest::collection::vec(any_rule(), 0..8),
            block in any::<bool>(), major in 0..3_u32, minor in 0..3_u32, access in 1..8_u8,
        ) {
            let kind = if block { Kind::Block } else { Kind::Char };
            prop_assert_eq!(
                run(&program(&rules), kind, major, minor, access),
                model(&rules, kind, major, minor, access)
            );
        }

        #[test]
        fn the_kernel_accepts_every_program(rules in proptest::collection::vec(any_rule(), 0..8)) {
            bpf::load_device_program(&program(&rules)).unwrap();
        }
    }

    #[test]
    fn rules_are_written_for_v1_as_the_kernel_reads_them() {
        let rule = |kind, major, minor, access| Rule { allow: true, kind, major, minor, access };
        assert_eq!(v1_lines(&rule(None, None, None, ALL)), ["a *:* rwm"]);
        assert_eq!(v1_lines(&rule(None, None, None, READ)), ["b *:* r", "c *:* r"]);
        assert_eq!(v1_lines(&rule(Some(Kind::Char), Some(5), None, READ | WRITE)), ["c 5:* rw"]);
    }
}
