//! The kinds of host that the guest can be, and how a command is started in each as its user would start it.

use std::{fs, io, os::unix::fs::chown, path::Path};

/// Where what was put in lies in the guest; also the working directory of each command.
pub(super) const IN: &str = "/in";

/// The cgroup that is given to the user by `chown`, without systemd.
const DELEGATED: &str = "/sys/fs/cgroup/delegated";

/// The user of the settings that are not root's.
const TESTER: u32 = 1000;

/// What the user may write in a cgroup that is given to him (cgroup-v2.rst, "Model of Delegation").
const GIVEN: &[&str] = &["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/// Refusing user namespaces, as Debian's kernels and as all others do.
const CLONE: (&str, &str, &str) = ("/proc/sys/kernel/unprivileged_userns_clone", "0", "1");
const COUNT: (&str, &str, &str) = ("/proc/sys/user/max_user_namespaces", "0", "7000");

/// A kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// Root, in a service of systemd's with `Delegate=yes`.
    Root,
    /// Root, as somebody who logged in: in a cgroup that nobody delegated.
    RootLogin,
    /// An ordinary user with subordinate ids who logged in; his systemd runs.
    Tester,
    /// The same user without his systemd, in a cgroup that was given to him by `chown`.
    Delegated,
    /// An ordinary user without subordinate ids who logged in.
    Single,
    /// The user with subordinate ids, where `kernel.unprivileged_userns_clone` is 0.
    RefusedClone,
    /// The same where `user.max_user_namespaces` is 0.
    RefusedCount,
}

/// All of them by name.
pub(super) const SETTINGS: &[(&str, Setting)] = &[
    ("root", Setting::Root),
    ("root-login", Setting::RootLogin),
    ("tester", Setting::Tester),
    ("delegated", Setting::Delegated),
    ("single", Setting::Single),
    ("refused-clone", Setting::RefusedClone),
    ("refused-count", Setting::RefusedCount),
];

impl Setting {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = SETTINGS.iter().find(|(known, _)| *known == name);
        found.map(|(_, setting)| *setting).ok_or_else(|| {
            let names: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
            format!("no setting {name:?}; there are: {}", names.join(", "))
        })
    }

    pub(super) fn name(self) -> &'static str {
        SETTINGS.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }

    /// Makes the guest into this kind of host.
    pub(super) fn make(self) -> io::Result<()> {
        match self {
            Self::Delegated => delegate(),
            Self::RefusedClone => fs::write(CLONE.0, CLONE.1),
            Self::RefusedCount => fs::write(COUNT.0, COUNT.1),
            _ => Ok(()),
        }
    }

    /// And back.
    pub(super) fn unmake(self) -> io::Result<()> {
        match self {
            Self::Delegated => fs::remove_dir(DELEGATED),
            Self::RefusedClone => fs::write(CLONE.0, CLONE.2),
            Self::RefusedCount => fs::write(COUNT.0, COUNT.2),
            _ => Ok(()),
        }
    }

    /// The command line that starts `command` there, for at most `seconds`.
    pub(super) fn wrap(self, command: &[String], env: &[String], seconds: u64) -> Vec<String> {
        let script = |command: &[String]| {
            format!("cd {IN} && exec env {}", quoted(&[env, command].concat()))
        };
        let bound = seconds.to_string();
        let mut line = words(&["timeout", "-k", "10", &bound]);
        match self {
            Self::Root => {
                line.extend(words(&["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]));
                // systemd-run that is killed leaves its service.
                line.push(format!("--property=RuntimeMaxSec={bound}"));
                line.extend(words(&["--property=Delegate=yes", "--property=KillMode=process"]));
                line.push(format!("--working-directory={IN}"));
                line.extend(env.iter().map(|variable| format!("--setenv={variable}")));
                line.push("--".to_owned());
                line.extend_from_slice(command);
            }
            Self::RootLogin => line.extend(words(&["su", "-", "root", "-c", &script(command)])),
            Self::Single => line.extend(words(&["su", "-", "single", "-c", &script(command)])),
            Self::Tester | Self::RefusedClone | Self::RefusedCount => {
                line.extend(words(&["su", "-", "tester", "-c", &script(command)]));
            }
            Self::Delegated => {
                let user = words(&["setpriv", "--reuid=tester", "--regid=tester", "--init-groups"]);
                let clean = words(&["env", "-i", "HOME=/home/tester", "USER=tester", PATH]);
                let inner = quoted(&[&user[..], &clean, env, command].concat());
                let enter = format!("echo 0 >{DELEGATED}/cgroup.procs && cd {IN} && exec {inner}");
                line.extend(words(&["sh", "-c", &enter]));
            }
        }
        line
    }
}

/// What Debian's login gives to an ordinary user.
const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin";

fn delegate() -> io::Result<()> {
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids")?;
    fs::create_dir(DELEGATED)?;
    GIVEN
        .iter()
        .try_for_each(|file| chown(Path::new(DELEGATED).join(file), Some(TESTER), Some(TESTER)))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// For a shell: each word as it is.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reaches_the_command_as_it_is() {
        let word = "it's $HOME; \"no\"".to_owned();
        let line = [
            "sh".to_owned(),
            "-c".to_owned(),
            format!("printf %s {}", quoted(std::slice::from_ref(&word))),
        ];
        let output = std::process::Command::new(&line[0]).args(&line[1..]).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&output.stdout), word);
    }

    #[test]
    fn every_setting_has_a_name_of_its_own() {
        for (name, setting) in SETTINGS {
            assert_eq!(Setting::named(name), Ok(*setting));
            assert_eq!(setting.name(), *name);
        }
    }
}
