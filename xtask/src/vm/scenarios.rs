//! What has to hold on every kind of host, asked in one boot.
//!
//! On each: `groundrun doctor` says what is so, the README's main job runs, and the backend conformance suite passes;
//! where user namespaces are refused, the clear error is the result. After each step nothing may be left in the guest.

use super::{
    always, machine,
    plan::{Done, Step},
    recipe,
    setting::Setting,
    test_program,
};

/// A step, and what has to become of it.
struct Scenario {
    setting: Setting,
    name: &'static str,
    command: &'static [&'static str],
    /// The exit code.
    code: i32,
    /// What its output has to contain.
    says: &'static [&'static str],
    /// In the guest, with everything five times slower.
    seconds: u64,
}

const DOCTOR: &[&str] = &["groundrun", "doctor"];
const RUN: &[&str] = &["groundrun", "run", "examples/primes/job.yaml"];

/// All that is expected of the README's main job.
const RUN_SAYS: &[&str] = &["8 succeeded, 0 failed, 0 cancelled, 1 retried"];

/// Scenarios wait more than they work: more threads than processors.
const CONFORMANCE: &[&str] = &["conformance", "--test-threads=6"];

/// The same without what is said of the server itself, whoever its user is.
const CONFORMANCE_OF_A_USER: &[&str] = &[
    "conformance",
    "--test-threads=6",
    "--skip=two hundred attempts",
    "--skip=ten thousand waiting starts",
];

/// As `groundrun` starts itself where nothing was handed over.
const IN_A_SCOPE: &[&str] = &[
    "systemd-run",
    "--user",
    "--scope",
    "--quiet",
    "--collect",
    "--property=Delegate=yes",
    "--unit=suite.scope",
    "env",
    "GROUNDRUN_SCOPE=suite.scope",
    "conformance",
    "--test-threads=6",
    "--skip=two hundred attempts",
    "--skip=ten thousand waiting starts",
];

const fn doctor(setting: Setting, code: i32, says: &'static [&'static str]) -> Scenario {
    Scenario { setting, name: "doctor", command: DOCTOR, code, says, seconds: 30 }
}

const fn main_job(setting: Setting) -> Scenario {
    Scenario { setting, name: "main job", command: RUN, code: 0, says: RUN_SAYS, seconds: 60 }
}

const fn refused(setting: Setting, says: &'static [&'static str]) -> Scenario {
    Scenario { setting, name: "main job", command: RUN, code: 3, says, seconds: 30 }
}

const fn suite(setting: Setting, command: &'static [&'static str]) -> Scenario {
    let says = &["test result: ok."];
    Scenario { setting, name: "conformance suite", command, code: 0, says, seconds: 400 }
}

/// As somebody who logged in, who may stop and start services.
const SERVICE: Scenario = Scenario {
    setting: Setting::RootLogin,
    name: "systemd service",
    command: &["sh", "service.sh"],
    code: 0,
    says: &[
        "a restart leaves tasks running",
        "an upgrade leaves tasks running",
        "kill -9 of the server leaves tasks running",
        "the next server tells how they ended",
        "nothing of the service is left",
    ],
    seconds: 240,
};

/// As root, for whom alone the kernel mounts NFS directories.
const NFS: Scenario = Scenario {
    setting: Setting::Root,
    name: "nfs",
    command: &["sh", "nfs.sh"],
    code: 0,
    says: &[
        "two tasks write and read by version 4.2, over the ends of both servers",
        "what a server does not let tasks do is said",
        "two tasks write and read by version 3",
        "a server that is away is named",
    ],
    seconds: 120,
};

const SCENARIOS: &[Scenario] = &[
    doctor(Setting::Root, 0, &["cgroup version 2", "Jobs can run here"]),
    main_job(Setting::Root),
    suite(Setting::Root, CONFORMANCE),
    NFS,
    SERVICE,
    doctor(
        Setting::Tester,
        0,
        &["without root", "in a scope of the user's systemd", "Jobs can run here"],
    ),
    main_job(Setting::Tester),
    suite(Setting::Tester, IN_A_SCOPE),
    doctor(Setting::Delegated, 0, &["without root", "Jobs can run here"]),
    main_job(Setting::Delegated),
    suite(Setting::Delegated, CONFORMANCE_OF_A_USER),
    doctor(Setting::Single, 0, &["single user id", "Jobs can run here"]),
    main_job(Setting::Single),
    doctor(Setting::RefusedClone, 3, &["kernel.unprivileged_userns_clone"]),
    refused(Setting::RefusedClone, &["kernel.unprivileged_userns_clone"]),
    doctor(Setting::RefusedCount, 3, &["user.max_user_namespaces"]),
    refused(Setting::RefusedCount, &["user.max_user_namespaces"]),
];

/// Plays those that `names` has by their names or by the settings that they are in, or all.
pub(crate) fn main(names: &[String]) -> Result<(), String> {
    let is_named = |s: &Scenario, name: &str| s.name == name || s.setting.name() == name;
    let unknown = names.iter().find(|name| !SCENARIOS.iter().any(|s| is_named(s, name)));
    if let Some(name) = unknown {
        Setting::named(name)?;
    }
    let is_chosen = |s: &&Scenario| names.is_empty() || names.iter().any(|name| is_named(s, name));
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(is_chosen).collect();
    let mut puts = always();
    if chosen.iter().any(|scenario| scenario.command.contains(&"conformance")) {
        puts.push(test_program("groundrun-host/conformance")?);
    }
    let steps: Vec<Step> = chosen.iter().map(|scenario| scenario.step()).collect();
    let done = machine::run(&puts, &steps, &recipe::cache().join("out"))?;
    let mut faults: Vec<String> =
        chosen.iter().zip(&done).flat_map(|(scenario, done)| scenario.faults(done)).collect();
    if done.len() < chosen.len() {
        faults.push(format!("only {} of {} steps were done", done.len(), chosen.len()));
    }
    eprintln!("== vm: {} steps, {} faults", chosen.len(), faults.len());
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!("in the guest:\n  {}", faults.join("\n  ")))
    }
}

impl Scenario {
    fn step(&self) -> Step {
        Step {
            name: self.name.to_owned(),
            setting: self.setting,
            command: self.command.iter().map(|&word| word.to_owned()).collect(),
            seconds: self.seconds,
        }
    }

    fn faults(&self, done: &Done) -> Vec<String> {
        let mut faults = Vec::new();
        if done.code != self.code {
            faults.push(format!("exit code {}, not {}", done.code, self.code));
        }
        let unsaid = self.says.iter().filter(|text| !done.output.contains(**text));
        faults.extend(unsaid.map(|text| format!("it does not say {text:?}")));
        faults.extend(done.left.iter().map(|name| format!("left: {name}")));
        let name = format!("{} as {}", self.name, self.setting.name());
        faults.into_iter().map(|fault| format!("{name}: {fault}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_code_a_missing_word_and_a_leftover_are_faults() {
        let scenario = doctor(Setting::Root, 0, &["well"]);
        let done = |code, output: &str, left: &[&str]| Done {
            code,
            output: output.to_owned(),
            left: left.iter().map(|&name| name.to_owned()).collect(),
        };
        assert!(scenario.faults(&done(0, "all is well", &[])).is_empty());
        assert_eq!(scenario.faults(&done(1, "ill", &["file x"])).len(), 3);
    }
}
