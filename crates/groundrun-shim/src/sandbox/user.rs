//! Who the program is: an image's user string, answered from the image's own `/etc/passwd` and `/etc/group`.

use crate::enter::IDS;

/// Ids inside the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// For `HOME`, when the environment has none.
    pub(crate) home: String,
}

/// The user string cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserFault {
    #[error("no user {0:?} in the image's /etc/passwd")]
    NoUser(String),
    #[error("no group {0:?} in the image's /etc/group")]
    NoGroup(String),
    #[error("id {0} is not below {IDS}")]
    TooLarge(u32),
    #[error(
        "user or group id {id} is not below {count}, and containers of this server have no others (its start says why)"
    )]
    NotGiven { id: u32, count: u32 },
}

/// As many as a person would list; the kernel takes 65,536.
const GROUPS_MAX: usize = 1024;

/// Answers `spec` (empty, `1000`, `name`, `name:group`, `1000:1000`) as Docker does: a number needs no entry; without a
/// group in `spec` the group is the entry's and those that list the user are supplementary; else those are not. The group
/// is always a supplementary one, too: a program that gives it up shall not escape a file's refusal of that group.
///
/// `count` is how many ids there are. Where that is fewer than usual, supplementary groups without an id are left out: an
/// image's root has some in most distributions.
pub(crate) fn look_up(
    spec: &str,
    passwd: &str,
    group: &str,
    count: u32,
) -> Result<User, UserFault> {
    let (user, wanted_group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = accounts(passwd).find(|account| account.is(user));
    let uid = match (&entry, user.parse::<u32>()) {
        (Some(account), _) => account.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(UserFault::NoUser(user.to_owned())),
    };
    let (gid, groups) = match wanted_group {
        Some(name) => {
            let gid = find_group(name, group)?;
            (gid, vec![gid])
        }
        None => {
            let gid = entry.as_ref().map_or(0, |account| account.gid);
            let listed = entry.as_ref().map(|account| groups_of(account.name, group));
            let others = listed.into_iter().flatten().filter(|id| *id != gid);
            (gid, std::iter::once(gid).chain(others.take(GROUPS_MAX)).collect())
        }
    };
    if let Some(id) = [uid, gid].iter().chain(&groups).find(|id| **id >= IDS) {
        return Err(UserFault::TooLarge(*id));
    }
    if let Some(id) = [uid, gid].into_iter().find(|id| *id >= count) {
        return Err(UserFault::NotGiven { id, count });
    }
    let groups = groups.into_iter().filter(|id| *id < count).collect();
    let home = entry.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(User { uid, gid, groups, home: home.to_owned() })
}

/// `name:password:uid:gid:comment:home:shell`
#[derive(Clone, Copy, Debug)]
struct Account<'text> {
    name: &'text str,
    uid: u32,
    gid: u32,
    home: &'text str,
}

impl Account<'_> {
    fn is(&self, user: &str) -> bool {
        self.name == user || user.parse() == Ok(self.uid)
    }
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    })
}

/// `name:password:gid:member,member`
fn group_entries(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn find_group(wanted: &str, group: &str) -> Result<u32, UserFault> {
    let entry =
        group_entries(group).find(|(name, gid, _)| *name == wanted || wanted.parse() == Ok(*gid));
    match (entry, wanted.parse::<u32>()) {
        (Some((_, gid, _)), _) | (None, Ok(gid)) => Ok(gid),
        (None, Err(_)) => Err(UserFault::NoGroup(wanted.to_owned())),
    }
}

fn groups_of<'text>(name: &'text str, group: &'text str) -> impl Iterator<Item = u32> {
    group_entries(group)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == name))
        .map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/srv/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\nlogs:x:20:app\n";

    fn check(spec: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let want = User { uid, gid, groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(look_up(spec, PASSWD, GROUP, IDS), Ok(want), "{spec:?}");
    }

    #[test]
    fn no_user_is_root() {
        check("", 0, 0, &[0, 10], "/root");
    }

    #[test]
    fn a_name_brings_its_groups() {
        check("app", 1000, 1001, &[1001, 10, 20], "/srv/app");
    }

    #[test]
    fn a_number_with_an_entry_is_that_user() {
        check("1000", 1000, 1001, &[1001, 10, 20], "/srv/app");
    }

    #[test]
    fn a_number_needs_no_entry() {
        check("4711", 4711, 0, &[0], "/");
        check("4711:4712", 4711, 4712, &[4712], "/");
    }

    #[test]
    fn a_wanted_group_leaves_no_others() {
        check("app:logs", 1000, 20, &[20], "/srv/app");
        check("app:", 1000, 1001, &[1001, 10, 20], "/srv/app");
        check(":logs", 0, 20, &[20], "/root");
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let fault = |spec| look_up(spec, PASSWD, GROUP, IDS);
        assert_eq!(fault("nobody"), Err(UserFault::NoUser("nobody".to_owned())));
        assert_eq!(fault("app:none"), Err(UserFault::NoGroup("none".to_owned())));
    }

    #[test]
    fn an_id_that_is_not_the_containers_is_refused() {
        assert_eq!(look_up("65536", PASSWD, GROUP, IDS), Err(UserFault::TooLarge(65_536)));
        let sly = "root:x:0:4294967295::/:\n";
        assert_eq!(look_up("", sly, GROUP, IDS), Err(UserFault::TooLarge(u32::MAX)));
    }

    #[test]
    fn with_a_single_id_there_is_root_without_other_groups() {
        let root = look_up("", PASSWD, GROUP, 1).expect("root is there");
        assert_eq!((root.uid, root.gid, root.groups), (0, 0, vec![0]));
        let fault = look_up("app", PASSWD, GROUP, 1).expect_err("there is no such id");
        assert_eq!(fault, UserFault::NotGiven { id: 1000, count: 1 });
        assert!(fault.to_string().contains("1000"));
    }
}
