//! From policies to instructions of classic BPF.
//!
//! The numbers 0 to 2³²−1 of an architecture are cut into ranges of one
//! verdict each; a balanced tree of "not below" comparisons finds the range. A
//! call whose verdict depends on its arguments is a range of its own, with a
//! block of checks for each rule.

use libc::sock_filter;
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Operator};
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::policy::{FOREIGN, Policy, Ruling};
use super::syscalls::{Abi, NATIVE, X32_BIT};
use super::{Error, Result};

// linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_NOT_BELOW: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// From `start` to the next range's.
struct Range<'a> {
    start: u32,
    leaf: Leaf<'a>,
}

enum Leaf<'a> {
    Verdict(u32),
    /// The rules at this index of the policy's.
    Checked(&'a Policy, u16),
}

/// The program for these policies, of which the first is the native ABI's.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::ArgumentIndex`].
pub(super) fn assemble(policies: &[Policy]) -> Result<Vec<sock_filter>> {
    let of = |abi| policies.iter().find(|policy| policy.abi == abi);
    let mut program = Vec::with_capacity(1024);
    program.push(statement(LOAD_WORD, ARCHITECTURE));
    if let Some(native) = of(NATIVE) {
        section(NATIVE, &native_ranges(native, of(Abi::X32)), &mut program)?;
    }
    if let Some(i386) = of(Abi::I386) {
        section(Abi::I386, &ranges(i386), &mut program)?;
    }
    program.push(statement(RETURN, FOREIGN));
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::TooLarge { instructions: program.len() });
    }
    Ok(program)
}

/// What an architecture's calls go through; those of others jump over it.
fn section(abi: Abi, ranges: &[Range<'_>], program: &mut Vec<sock_filter>) -> Result<()> {
    program.push(jump(JUMP_IF_EQUAL, abi.audit(), 1, 0));
    // A section may be longer than a conditional jump reaches.
    let over = program.len();
    program.push(statement(JUMP, 0));
    program.push(statement(LOAD_WORD, NUMBER));
    tree(ranges, program)?;
    program[over].k = length(program.len() - over - 1)?;
    Ok(())
}

/// x86_64 and x32 share an architecture and are told apart by the number.
fn native_ranges<'a>(native: &'a Policy, x32: Option<&'a Policy>) -> Vec<Range<'a>> {
    let mut all = ranges(native);
    if native.abi != Abi::X86_64 {
        return all;
    }
    if let Some(x32) = x32 {
        all.extend(ranges(x32));
    } else if native.beyond.is_none() {
        // Foreign, but not −1, with which a tracer skips a call.
        push(&mut all, X32_BIT, Leaf::Verdict(FOREIGN));
        push(&mut all, u32::MAX, Leaf::Verdict(native.default));
    }
    all
}

fn ranges(policy: &Policy) -> Vec<Range<'_>> {
    let base = if policy.abi == Abi::X32 { X32_BIT } else { 0 };
    let mut ranges = Vec::with_capacity(256);
    let mut start = base;
    for ruling in &policy.rulings {
        let leaf = match *ruling {
            Ruling::Default => Leaf::Verdict(policy.default),
            Ruling::Always(verdict) => Leaf::Verdict(verdict),
            Ruling::Checked(at) => Leaf::Checked(policy, at),
        };
        push(&mut ranges, start, leaf);
        start += 1;
    }
    push(&mut ranges, start, Leaf::Verdict(policy.default));
    if let Some((highest, verdict)) = policy.beyond {
        push(&mut ranges, base + u32::from(highest) + 1, Leaf::Verdict(verdict));
    }
    ranges
}

/// Appends a range, or lets the last one go on where it says the same.
fn push<'a>(ranges: &mut Vec<Range<'a>>, start: u32, leaf: Leaf<'a>) {
    if let (Some(last), Leaf::Verdict(verdict)) = (ranges.last_mut(), &leaf) {
        if last.start == start {
            last.leaf = leaf;
            return;
        }
        if matches!(last.leaf, Leaf::Verdict(same) if same == *verdict) {
            return;
        }
    }
    ranges.push(Range { start, leaf });
}

fn tree(ranges: &[Range<'_>], program: &mut Vec<sock_filter>) -> Result<()> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let Some(first_high) = high.first() else { return Ok(()) };
    if low.is_empty() {
        return leaf(&first_high.leaf, program);
    }
    let at = program.len();
    program.push(jump(JUMP_IF_NOT_BELOW, first_high.start, 0, 0));
    tree(low, program)?;
    let over = program.len() - at - 1;
    if let Ok(near) = u8::try_from(over) {
        program[at].jt = near;
    } else {
        program[at].jf = 1;
        program.insert(at + 1, statement(JUMP, length(over)?));
    }
    tree(high, program)
}

fn leaf(leaf: &Leaf<'_>, program: &mut Vec<sock_filter>) -> Result<()> {
    match leaf {
        Leaf::Verdict(verdict) => program.push(statement(RETURN, *verdict)),
        Leaf::Checked(policy, at) => {
            for rule in &policy.checked[usize::from(*at)] {
                // The block goes on behind the return when a check fails.
                let block = BpfProgram::from(block(&rule.arguments, policy.abi)?);
                program.extend(block.iter().map(|i| jump(i.code, i.k, i.jt, i.jf)));
                program.push(statement(RETURN, rule.verdict));
            }
            program.push(statement(RETURN, policy.default));
        }
    }
    Ok(())
}

fn block(arguments: &[LinuxSeccompArg], abi: Abi) -> Result<SeccompRule> {
    let conditions: std::result::Result<Vec<_>, _> =
        arguments.iter().map(|argument| condition(argument, abi)).collect();
    // The only other failure of a rule is to have no conditions.
    conditions.and_then(SeccompRule::new).map_err(|_| Error::ArgumentIndex {
        syscall: String::new(),
        index: arguments.iter().map(LinuxSeccompArg::index).max().unwrap_or(0),
    })
}

fn condition(
    argument: &LinuxSeccompArg,
    abi: Abi,
) -> std::result::Result<SeccompCondition, seccompiler::BackendError> {
    let width = if abi.is_32_bit() { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    let value = argument.value();
    let (operator, value) = match argument.op() {
        Operator::ScmpCmpNe => (SeccompCmpOp::Ne, value),
        Operator::ScmpCmpLt => (SeccompCmpOp::Lt, value),
        Operator::ScmpCmpLe => (SeccompCmpOp::Le, value),
        Operator::ScmpCmpEq => (SeccompCmpOp::Eq, value),
        Operator::ScmpCmpGe => (SeccompCmpOp::Ge, value),
        Operator::ScmpCmpGt => (SeccompCmpOp::Gt, value),
        // The first value is the mask.
        Operator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(value), argument.value_two().unwrap_or(0))
        }
    };
    // An index beyond u8 is no valid one either.
    let index = u8::try_from(argument.index()).unwrap_or(u8::MAX);
    SeccompCondition::new(index, width, operator, value)
}

fn statement(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn length(instructions: usize) -> Result<u32> {
    u32::try_from(instructions).map_err(|_| Error::TooLarge { instructions })
}
