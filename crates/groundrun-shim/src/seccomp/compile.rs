//! Makes rules a filter: a binary search over ranges of call numbers with the same verdict.

use linux_raw_sys::ptrace;

use super::Instruction;

/// What one system call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) call: u32,
    pub(super) verdict: Verdict,
}

/// What happens to a call. Arguments are compared by their low 32 bits, which is what the kernel looks at in these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error.
    Errno(u16),
    /// EPERM when the first argument has one of these bits.
    AllowUnlessBits(u32),
    /// EPERM when the first argument is this.
    AllowUnless(u32),
    /// EPERM unless the first argument is one of these.
    AllowOnly(&'static [u32]),
    /// EPERM when the first argument is one of these and the fourth has one of these bits.
    AllowUnlessWith { requests: &'static [u32], bits: u32 },
}

/// What a call without a rule gets.
const OTHERS: Verdict = Verdict::Errno(1);

/// Offsets in the kernel's `struct seccomp_data`, little endian.
const CALL: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const FOURTH_ARGUMENT: u32 = 40;

/// The filter: another `architecture` kills; x32's numbers have bit 30 and are beyond every rule.
pub(super) fn compile(architecture: u32, rules: Vec<Rule>) -> Vec<Instruction> {
    let mut filter = vec![
        load(ARCHITECTURE),
        jump(ptrace::BPF_JEQ, architecture, 1, 0),
        give(ptrace::SECCOMP_RET_KILL_PROCESS),
        load(CALL),
    ];
    filter.extend(search(&ranges(rules)));
    filter
}

/// First number of each range with one verdict, ascending, from 0.
fn ranges(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_unstable_by_key(|rule| rule.call);
    let mut ranges = vec![Rule { call: 0, verdict: OTHERS }];
    let mut begin = |call: u32, verdict: Verdict| {
        if let Some(last) = ranges.last_mut() {
            if last.verdict == verdict {
                return;
            }
            if last.call == call {
                last.verdict = verdict;
                return;
            }
        }
        ranges.push(Rule { call, verdict });
    };
    for (index, rule) in rules.iter().enumerate() {
        begin(rule.call, rule.verdict);
        if rules.get(index + 1).is_none_or(|next| next.call > rule.call + 1) {
            begin(rule.call + 1, OTHERS);
        }
    }
    // A range that became the same as the one before it is no range.
    ranges.dedup_by(|later, earlier| later.verdict == earlier.verdict);
    ranges
}

fn search(ranges: &[Rule]) -> Vec<Instruction> {
    match ranges {
        [] => decide(OTHERS),
        [only] => decide(only.verdict),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let mut code = search(low);
            let over = u8::try_from(code.len())
                .expect("half of the profile is under 256 instructions, as a test checks");
            code.insert(0, jump(ptrace::BPF_JGE, high[0].call, over, 0));
            code.extend(search(high));
            code
        }
    }
}

fn decide(verdict: Verdict) -> Vec<Instruction> {
    let refuse = give_errno(1);
    match verdict {
        Verdict::Allow => vec![give(ptrace::SECCOMP_RET_ALLOW)],
        Verdict::Errno(errno) => vec![give_errno(errno)],
        Verdict::AllowUnlessBits(bits) => vec![
            load(FIRST_ARGUMENT),
            jump(ptrace::BPF_JSET, bits, 1, 0),
            give(ptrace::SECCOMP_RET_ALLOW),
            refuse,
        ],
        Verdict::AllowUnless(value) => vec![
            load(FIRST_ARGUMENT),
            jump(ptrace::BPF_JEQ, value, 1, 0),
            give(ptrace::SECCOMP_RET_ALLOW),
            refuse,
        ],
        Verdict::AllowOnly(values) => {
            let mut code = vec![load(FIRST_ARGUMENT)];
            for value in values {
                code.extend([jump(ptrace::BPF_JEQ, *value, 0, 1), give(ptrace::SECCOMP_RET_ALLOW)]);
            }
            code.push(refuse);
            code
        }
        Verdict::AllowUnlessWith { requests, bits } => {
            let look = [
                give(ptrace::SECCOMP_RET_ALLOW),
                load(FOURTH_ARGUMENT),
                jump(ptrace::BPF_JSET, bits, 1, 0),
                give(ptrace::SECCOMP_RET_ALLOW),
                refuse,
            ];
            let mut code = vec![load(FIRST_ARGUMENT)];
            // Over those that follow and the first verdict.
            for (request, over) in requests.iter().zip((1..=requests.len()).rev()) {
                let over = u8::try_from(over).expect("a rule names a few requests");
                code.push(jump(ptrace::BPF_JEQ, *request, over, 0));
            }
            code.extend(look);
            code
        }
    }
}

fn load(offset: u32) -> Instruction {
    instruction(ptrace::BPF_LD | ptrace::BPF_W | ptrace::BPF_ABS, offset, 0, 0)
}

fn jump(condition: u32, value: u32, if_so: u8, if_not: u8) -> Instruction {
    instruction(ptrace::BPF_JMP | condition | ptrace::BPF_K, value, if_so, if_not)
}

fn give(result: u32) -> Instruction {
    instruction(ptrace::BPF_RET | ptrace::BPF_K, result, 0, 0)
}

fn give_errno(errno: u16) -> Instruction {
    give(ptrace::SECCOMP_RET_ERRNO | u32::from(errno))
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: u16::try_from(code).expect("BPF codes have 8 bits"), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seccomp::profile;

    /// What the kernel would answer: (call, first and fourth argument) in, result out.
    fn run(filter: &[Instruction], architecture: u32, call: u32, arguments: [u32; 2]) -> u32 {
        let [first, fourth] = arguments;
        let data = BTreeMap::from([(0, call), (4, architecture), (16, first), (40, fourth)]);
        let (mut at, mut a) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = filter[at];
            let taken = |so: bool| usize::from(if so { jt } else { jf });
            at += 1;
            match code {
                0x20 => a = data[&k],
                0x15 => at += taken(a == k),
                0x35 => at += taken(a >= k),
                0x45 => at += taken(a & k != 0),
                0x06 => return k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;

    fn expected(rules: &[Rule], call: u32, [argument, fourth]: [u32; 2]) -> u32 {
        let allow_if = |condition| if condition { ALLOW } else { EPERM };
        match rules.iter().find(|rule| rule.call == call).map(|rule| rule.verdict) {
            None => EPERM,
            Some(Verdict::Allow) => ALLOW,
            Some(Verdict::Errno(errno)) => 0x0005_0000 | u32::from(errno),
            Some(Verdict::AllowUnlessBits(bits)) => allow_if(argument & bits == 0),
            Some(Verdict::AllowUnless(value)) => allow_if(argument != value),
            Some(Verdict::AllowOnly(values)) => allow_if(values.contains(&argument)),
            Some(Verdict::AllowUnlessWith { requests, bits }) => {
                allow_if(!requests.contains(&argument) || fourth & bits == 0)
            }
        }
    }

    #[test]
    fn every_call_gets_what_the_profile_says() {
        let (filter, rules) = (crate::seccomp::filter(), profile::rules());
        for call in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            let firsts = [0, 1, 8, 17, 21, 40, 0x4200, 0x4206, 0x2_0000, 0x1000_0000, 0x4000_0011];
            for first in firsts.into_iter().chain([u32::MAX]) {
                for arguments in [[first, 0], [first, 0x40], [first, u32::MAX]] {
                    let got = run(&filter, profile::ARCHITECTURE, call, arguments);
                    let want = expected(&rules, call, arguments);
                    assert_eq!(got, want, "call {call}, arguments {arguments:x?}");
                }
            }
        }
    }

    #[test]
    fn another_architecture_kills() {
        let filter = crate::seccomp::filter();
        assert_eq!(run(&filter, 0x4000_0003, 0, [0, 0]), 0x8000_0000);
    }

    #[test]
    fn a_filter_is_small_because_a_start_pays_for_it() {
        let filter = crate::seccomp::filter();
        assert!(filter.len() < 250, "{} instructions", filter.len());
    }

    #[test]
    fn no_call_has_two_rules() {
        let rules = profile::rules();
        let mut calls: Vec<u32> = rules.iter().map(|rule| rule.call).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), rules.len());
    }
}
