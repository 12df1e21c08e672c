//! Carries the commands out.

use groundrun_core::{
    allot::{Demand, Grant, Turn, Urgency, allot},
    id::{AttemptId, BootId, ExecutionUid},
    observe::{Heard, observe},
    plan::{Plan, Then, plan},
    port::{Action, ImageFault, ImageFaultKind, ImportedImage, Limits, News, Observation},
    progress::Run,
    quantity,
    record::{Attempt, Cause, Ending, Execution, Exit, Fault},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::answer;
use crate::sample::{self, Shape};

/// The script with the answers that the core gives now. Panics on a command that is none.
#[must_use]
pub fn play(script: &str) -> String {
    let mut player = Player::default();
    let mut played = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        played.push_str(line);
        played.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            for answer in player.obey(command) {
                played.push_str("  ");
                played.push_str(&answer);
                played.push('\n');
            }
        }
    }
    played
}

struct Player {
    budget: Limits,
    /// What other executions occupy.
    others: Option<Limits>,
    /// What one more task of another regular execution would take.
    rivals: Option<Limits>,
    turn: Turn,
    boot: u128,
    now: Timestamp,
    run: Option<Run>,
    /// The journal: what a restart brings back.
    execution: Option<Execution>,
    attempts: Vec<Attempt>,
    last_start: Option<Action>,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            budget: Limits { cpu_millis: 64_000, memory_bytes: 64 << 30 },
            others: None,
            rivals: None,
            turn: Turn::default(),
            boot: 1,
            now: Timestamp::UNIX_EPOCH,
            run: None,
            execution: None,
            attempts: Vec::new(),
            last_start: None,
        }
    }
}

impl Player {
    fn obey(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, words) = words.split_first().expect("a command has a verb");
        match *verb {
            "budget" => {
                self.budget = limits(words);
                return Vec::new();
            }
            "others" => {
                self.others = Some(limits(words)).filter(|others| *others != Limits::default());
            }
            "rivals" => {
                self.rivals = Some(limits(words)).filter(|rival| *rival != Limits::default());
            }
            "run" => {
                self.attempts.clear();
                self.execution = Some(sample::execution(&shape(words), 1, self.now));
                self.restore();
            }
            "cancel" => self.wish(|player| player.execution().wishes.cancel = Some(player.now)),
            "delete" => self.wish(|player| player.execution().wishes.delete = Some(player.now)),
            "wait" => self.now += words[0].parse::<SignedDuration>().expect("a duration"),
            "restart" => self.restore(),
            "reboot" => {
                self.boot += 1;
                self.restore();
            }
            "resync" => self.run().resync(),
            "state" => return answer::state(&self.execution().state),
            "spec" => {
                return answer::spec(self.last_start.as_ref().expect("something was started"));
            }
            verb => return self.tell(verb, words),
        }
        if self.run.is_some() { self.tick() } else { Vec::new() }
    }

    fn wish(&mut self, wish: impl FnOnce(&mut Self)) {
        wish(self);
        let execution = self.execution();
        execution.generation += 1;
        let (generation, wishes) = (execution.generation, execution.wishes);
        assert_eq!(self.run().hear_clients(generation, wishes), Heard::News);
    }

    fn restore(&mut self) {
        let boot = self.boot_id();
        let execution = self.execution().clone();
        self.run = Some(Run::restore(execution, self.attempts.clone(), boot, self.now));
    }

    fn tell(&mut self, verb: &str, words: &[&str]) -> Vec<String> {
        let news = self.news(verb, words);
        let now = self.now;
        match observe(self.run(), news, now) {
            Heard::News => self.tick(),
            Heard::Known => vec!["known".to_owned()],
            Heard::Stranger => vec!["never heard of it".to_owned()],
        }
    }

    fn news(&self, verb: &str, words: &[&str]) -> News {
        let execution = self.execution.as_ref().expect("something runs").uid;
        let import = |result| News::Imported { execution, result };
        let attempt = |seen| {
            let (task, attempt) = words[0].split_once('-').expect("TASK-ATTEMPT");
            let [task, attempt] = [task, attempt].map(|number| number.parse().expect("a number"));
            News::Attempt { id: AttemptId { execution, task, attempt }, seen }
        };
        let ended = |ending| attempt(Observation::Ended { at: self.now, ending });
        let rest = |from: usize| words[from..].join(" ");
        match verb {
            "imported" => import(Ok(vec![ImportedImage {
                digest: "sha256:1".to_owned(),
                stale: words
                    .first()
                    .and_then(|word| word.strip_prefix("stale="))
                    .map(str::to_owned),
            }])),
            "import" => import(Err(ImageFault {
                kind: match words[0] {
                    "missing" => ImageFaultKind::Missing,
                    "denied" => ImageFaultKind::PermissionDenied,
                    "unusable" => ImageFaultKind::Unusable,
                    "unreachable" => ImageFaultKind::Unreachable,
                    kind => panic!("no such fault: {kind}"),
                },
                image: "registry.example/tool:1".to_owned(),
                message: rest(1),
            })),
            "started" => attempt(Observation::Started { at: self.now }),
            "exited" => ended(exited(words[1], words.get(2).copied())),
            "probe-failed" => {
                ended(Ending::ProbeFailed { container: words[1].to_owned(), why: rest(2) })
            }
            "unstarted" => ended(Ending::StartFailed {
                whose: if words[1] == "ours" { Fault::Ours } else { Fault::Theirs },
                why: rest(2),
                container: None,
            }),
            "lost" => ended(Ending::Lost { why: rest(1) }),
            verb => panic!("no such command: {verb}"),
        }
    }

    fn tick(&mut self) -> Vec<String> {
        let (boot, now) = (self.boot_id(), self.now);
        let grant = self.grant();
        let plan = plan(self.run(), grant, boot, now);
        self.write(&plan);
        let start = plan.actions.iter().rev().find(|action| matches!(action, Action::Start(_)));
        self.last_start = start.cloned().or(self.last_start.take());
        answer::plan(&plan, now)
    }

    fn grant(&mut self) -> Grant {
        let now = self.now;
        let demand = self.run().demand(now);
        let others = self.others.map(|task| {
            let execution = ExecutionUid(Uuid::from_u128(2));
            Demand { execution, urgency: Urgency::Regular, task, live: 1, wants: 0 }
        });
        let rivals = self.rivals.map(|task| {
            let execution = ExecutionUid(Uuid::from_u128(3));
            Demand { execution, urgency: Urgency::Regular, task, live: 0, wants: 1 }
        });
        let demands: Vec<Demand> = [Some(demand), others, rivals].into_iter().flatten().collect();
        let mut grants = allot(self.budget, &demands, &mut self.turn);
        grants.swap_remove(0)
    }

    fn write(&mut self, plan: &Plan) {
        for attempt in plan.changed.iter().chain(&plan.begun) {
            self.attempts.retain(|other| other.id != attempt.id);
            self.attempts.push(attempt.clone());
        }
        if let Some(state) = &plan.state {
            self.execution().state = state.clone();
        }
        if plan.then == Then::Reap {
            self.attempts.clear();
        }
    }

    fn run(&mut self) -> &mut Run {
        self.run.as_mut().expect("a script begins with run")
    }

    fn execution(&mut self) -> &mut Execution {
        self.execution.as_mut().expect("a script begins with run")
    }

    fn boot_id(&self) -> BootId {
        BootId(Uuid::from_u128(self.boot))
    }
}

fn limits(words: &[&str]) -> Limits {
    let mut limits = Limits::default();
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        match name {
            "memory" => limits.memory_bytes = quantity::units(value).expect("a quantity"),
            "cpu" => limits.cpu_millis = quantity::millis(value).expect("a quantity"),
            name => panic!("no such resource: {name}"),
        }
    }
    limits
}

fn shape(words: &[&str]) -> Shape {
    let mut shape = Shape::default();
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        let number = || value.parse().expect("a number");
        match name {
            "tasks" => shape.tasks = number(),
            "parallelism" => shape.parallelism = number(),
            "retries" => shape.max_retries = number(),
            "memory" => shape.memory = value.to_owned(),
            "cpu" => shape.cpu = value.to_owned(),
            "delay" => {
                shape.urgency = if value == "true" { Urgency::Delayed } else { Urgency::Regular };
            }
            name => panic!("no such part of an execution: {name}"),
        }
    }
    shape
}

/// `of` names the container, where there are several.
fn exited(word: &str, of: Option<&str>) -> Ending {
    let (exit, cause) = match word.split_once('=') {
        Some(("signal", signal)) => {
            (Exit::Signal(signal.parse().expect("a number")), Cause::OnItsOwn)
        }
        Some(_) => panic!("not an exit: {word}"),
        None => match word {
            "timeout" => (Exit::Signal(15), Cause::Deadline),
            "oom" => (Exit::Signal(9), Cause::OutOfMemory),
            "asked" => (Exit::Code(0), Cause::Asked),
            code => (Exit::Code(code.parse().expect("an exit code")), Cause::OnItsOwn),
        },
    };
    Ending::Exited {
        exit,
        cause,
        memory_peak: None,
        message: None,
        container: of.map(str::to_owned),
    }
}
