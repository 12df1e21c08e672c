//! Why a namespace of one's own cannot be entered here, and what to do. Pure, but for the look at the machine's settings.

use std::{fmt, fs, io};

use rustix::io::Errno;

/// An ordinary user cannot make containers here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterFault {
    /// What was being done, and the kernel's word.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for EnterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

impl std::error::Error for EnterFault {}

/// The machine's settings that forbid namespaces to ordinary users, where it has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Knobs {
    /// `kernel.unprivileged_userns_clone`, Debian's.
    unprivileged: Option<String>,
    /// `user.max_user_namespaces`.
    most: Option<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, Ubuntu's.
    apparmor: Option<String>,
    /// This program's file.
    program: String,
}

impl Knobs {
    pub(super) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let program = std::env::current_exe().unwrap_or_default();
        Self {
            unprivileged: read("/proc/sys/kernel/unprivileged_userns_clone"),
            most: read("/proc/sys/user/max_user_namespaces"),
            apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            program: program.display().to_string(),
        }
    }
}

/// Why `step` was refused with `err`.
pub(super) fn explain(step: &str, err: &io::Error, knobs: &Knobs) -> EnterFault {
    let is = |knob: &Option<String>, value: &str| knob.as_deref() == Some(value);
    let errno = Errno::from_io_error(err);
    let refused = matches!(errno, Some(Errno::PERM | Errno::ACCESS));
    let remedy = if refused && is(&knobs.unprivileged, "0") {
        "this machine refuses user namespaces to ordinary users; `sudo sysctl -w kernel.unprivileged_userns_clone=1` allows them, or run it as root".to_owned()
    } else if is(&knobs.most, "0") {
        "this machine allows no user namespaces; `sudo sysctl -w user.max_user_namespaces=15000` allows them, or run it as root".to_owned()
    } else if refused && is(&knobs.apparmor, "1") {
        let program = &knobs.program;
        format!(
            "AppArmor keeps user namespaces from programs that it does not know; `printf 'abi <abi/4.0>,\\nprofile groundrun {program} flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/groundrun && sudo apparmor_parser -r /etc/apparmor.d/groundrun` makes this one known, or run it as root"
        )
    } else {
        match errno {
            Some(Errno::NOSPC | Errno::USERS) => "too many user namespaces are in use, or nested too deep; end some, raise user.max_user_namespaces, or run it as root".to_owned(),
            Some(Errno::INVAL | Errno::NOSYS) => "the kernel is built without user namespaces; run it as root".to_owned(),
            _ if refused => "something keeps user namespaces from this process, as the filters of containers do; run it outside of the container, or as root".to_owned(),
            _ => "run it as root".to_owned(),
        }
    };
    EnterFault { what: format!("{step}: {err}"), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(errno: Errno, change: impl FnOnce(&mut Knobs)) -> String {
        let mut knobs = Knobs { most: Some("96365".into()), ..Knobs::default() };
        change(&mut knobs);
        let fault = explain("make a user namespace", &errno.into(), &knobs);
        assert!(fault.what.starts_with("make a user namespace: "), "{fault}");
        fault.remedy
    }

    #[test]
    fn the_setting_that_refuses_is_named_with_the_command_that_mends_it() {
        let debian = remedy(Errno::PERM, |knobs| knobs.unprivileged = Some("0".into()));
        assert!(debian.contains("sysctl -w kernel.unprivileged_userns_clone=1"), "{debian}");
        let none = remedy(Errno::NOSPC, |knobs| knobs.most = Some("0".into()));
        assert!(none.contains("sysctl -w user.max_user_namespaces="), "{none}");
        for errno in [Errno::PERM, Errno::ACCESS] {
            let ubuntu = remedy(errno, |knobs| {
                knobs.unprivileged = Some("1".into());
                knobs.apparmor = Some("1".into());
                knobs.program = "/opt/groundrun".into();
            });
            assert!(ubuntu.contains("profile groundrun /opt/groundrun "), "{ubuntu}");
        }
        assert!(remedy(Errno::PERM, |_| {}).contains("container"));
        assert!(remedy(Errno::NOSPC, |_| {}).contains("too many"));
        assert!(remedy(Errno::INVAL, |_| {}).contains("kernel is built without"));
    }
}
