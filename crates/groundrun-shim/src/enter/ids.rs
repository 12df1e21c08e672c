//! Which user and group ids containers can have: the machine's for root, for others what `/etc/subuid` and `/etc/subgid`
//! give them. Pure.

/// How many ids a container has where it can have all.
pub(crate) const IDS: u32 = 65_536;

/// The ids that containers of this server can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Any of the machine: the server is its root.
    Machine,
    /// In a namespace of the user's own, 1 to `count` are subordinate ids of the user; 0 is the user, and no container's.
    Range {
        /// At most 65,536.
        count: u32,
    },
    /// In a namespace of the user's own there is 0 alone: the user, as whom every container runs.
    Single,
}

impl Ids {
    /// First of the ids that containers get, as the server sees it, where they are not the machine's.
    #[must_use]
    pub const fn base(self) -> Option<u32> {
        match self {
            Self::Machine => None,
            Self::Range { .. } => Some(1),
            Self::Single => Some(0),
        }
    }

    /// How many ids a container has.
    #[must_use]
    pub const fn count(self) -> u32 {
        match self {
            Self::Machine => IDS,
            Self::Range { count } => count,
            Self::Single => 1,
        }
    }

    /// The greatest id that the server has for anybody.
    #[must_use]
    pub const fn last(self) -> u32 {
        match self {
            // Beyond it, ids are negative to programs that keep one in a signed number.
            Self::Machine => 0x7FFF_FFFF,
            Self::Range { count } => count,
            Self::Single => 0,
        }
    }

    /// Whether the server is in a namespace of an ordinary user's.
    #[must_use]
    pub const fn are_a_users(self) -> bool {
        !matches!(self, Self::Machine)
    }

    /// Read from what the kernel says of a namespace, `uid_map` and `gid_map`: the fewer ids of both.
    pub(super) fn of_maps(uid_map: &str, gid_map: &str) -> Self {
        match after_zero(uid_map).min(after_zero(gid_map)).min(IDS) {
            0 => Self::Single,
            count => Self::Range { count },
        }
    }
}

/// How many ids from 1 on are mapped without a gap.
fn after_zero(map: &str) -> u32 {
    let mut extents: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let inside = fields.next()?.parse().ok()?;
            Some((inside, fields.nth(1)?.parse().ok()?))
        })
        .collect();
    extents.sort_unstable();
    extents.iter().fold(1, |next: u32, (inside, count)| {
        if *inside <= next { next.max(inside.saturating_add(*count)) } else { next }
    }) - 1
}

/// Who enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names under which the machine may know this uid.
    pub(super) names: Vec<String>,
}

/// Names of `uid` in an `/etc/passwd`, then `also` (an account that is not in that file).
pub(super) fn names_of(uid: u32, passwd: &str, also: Option<String>) -> Vec<String> {
    let listed = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    listed.chain(also).collect()
}

/// Ids of the machine that a person may use: first, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    first: u32,
    count: u32,
}

/// Ranges that one person uses; more is a generated file gone wrong, and old kernels take five.
const EXTENTS_MAX: usize = 4;

/// What an `/etc/subuid` or `/etc/subgid` gives `person`, as far as a container needs it. A range with `own` in it is none:
/// no id can be two.
pub(super) fn subordinate(file: &str, person: &Person, own: u32) -> Vec<Extent> {
    let mut wanted = IDS;
    let mut extents = Vec::new();
    for line in file.lines() {
        let mut fields = line.trim().split(':');
        let (Some(who), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(first), Ok(count)) = (first.parse::<u32>(), count.parse::<u32>()) else { continue };
        let theirs = who.parse() == Ok(person.uid) || person.names.iter().any(|name| name == who);
        let has_own = first <= own && own - first < count;
        if !theirs || has_own || first.checked_add(count).is_none() {
            continue;
        }
        let count = count.min(wanted);
        if count > 0 && extents.len() < EXTENTS_MAX {
            extents.push(Extent { first, count });
            wanted -= count;
        }
    }
    extents
}

/// What follows the process's id on the command line of newuidmap or newgidmap: 0 is `own`, 1 and on are `extents`.
pub(super) fn map_arguments(own: u32, extents: &[Extent]) -> Vec<String> {
    let mut arguments = vec![0, own, 1];
    let mut inside = 1;
    for extent in extents {
        arguments.extend([inside, extent.first, extent.count]);
        inside += extent.count;
    }
    arguments.iter().map(u32::to_string).collect()
}

/// The same as the kernel would list it.
pub(super) fn mapped_lines(own: u32, extents: &[Extent]) -> String {
    map_arguments(own, extents).chunks(3).map(|extent| extent.join(" ") + "\n").collect()
}

/// What containers of `person` will be able to have, and why it is not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Empty: a single id.
    pub(super) uids: Vec<Extent>,
    /// Empty: a single id.
    pub(super) gids: Vec<Extent>,
    pub(super) lacking: Option<String>,
}

/// What this machine has to give ids with.
#[derive(Clone, Debug, Default)]
pub(super) struct Means {
    pub(super) subuid: String,
    pub(super) subgid: String,
    /// newuidmap and newgidmap are there.
    pub(super) programs: bool,
}

pub(super) fn plan(person: &Person, means: &Means) -> Plan {
    let uids = subordinate(&means.subuid, person, person.uid);
    let gids = subordinate(&means.subgid, person, person.gid);
    let total = |extents: &[Extent]| extents.iter().map(|extent| extent.count).sum::<u32>();
    let (users, groups) = (total(&uids), total(&gids));
    let name = person.names.first().cloned().unwrap_or_else(|| person.uid.to_string());
    let give =
        format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}");
    let single = |why: String| Plan {
        uids: vec![],
        gids: vec![],
        lacking: Some(format!(
            "{why}: tasks run as you, with one user id; files of an image that belong to others become root's, and an image or job that asks for another user is refused"
        )),
    };
    match (users.min(groups), means.programs) {
        (0, _) => single(format!(
            "/etc/subuid and /etc/subgid give {name} no ids (`{give}`, with a range that nobody has, gives some)"
        )),
        (_, false) => single(
            "newuidmap and newgidmap are not installed (Debian: `sudo apt install uidmap`)"
                .to_owned(),
        ),
        (IDS.., true) => Plan { uids, gids, lacking: None },
        (count, true) => Plan {
            uids,
            gids,
            lacking: Some(format!(
                "/etc/subuid and /etc/subgid give {name} {count} ids and not {IDS}: a container has the ids below {count} only (`{give}` gives the rest)"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Person {
        Person { uid: 1000, gid: 1000, names: vec!["ada".into()] }
    }

    fn means(subuid: &str, subgid: &str) -> Means {
        Means { subuid: subuid.into(), subgid: subgid.into(), programs: true }
    }

    fn arguments(file: &str) -> String {
        map_arguments(1000, &subordinate(file, &ada(), 1000)).join(" ")
    }

    #[test]
    fn a_range_goes_to_its_name_or_its_number() {
        for file in ["ada:100000:65536\n", "1000:100000:65536\n", "eve:1:9\nada:100000:70000\n"] {
            assert_eq!(arguments(file), "0 1000 1 1 100000 65536", "{file}");
        }
        for file in ["", "eve:100000:65536\n", "ada:100000\n", "ada:x:1\n", "ada:4294967295:9\n"] {
            assert_eq!(arguments(file), "0 1000 1", "{file}");
        }
    }

    #[test]
    fn ranges_add_up_to_what_a_container_needs() {
        let file = "ada:100000:60000\nada:300000:60000\nada:500000:60000\n";
        assert_eq!(arguments(file), "0 1000 1 1 100000 60000 60001 300000 5536");
    }

    #[test]
    fn a_range_with_the_user_in_it_is_left_out() {
        assert_eq!(arguments("ada:0:65536\nada:100000:10\n"), "0 1000 1 1 100000 10");
    }

    #[test]
    fn what_is_lacking_is_said_with_what_gives_it() {
        let full = "ada:100000:65536\n";
        let lacking = |means: &Means| plan(&ada(), means).lacking.unwrap_or_default();
        assert_eq!(lacking(&means(full, full)), "");
        assert!(lacking(&means(full, "")).contains("usermod"), "one file is not enough");
        assert!(lacking(&means(full, "ada:100000:100\n")).contains("below 100 only"));
        let without = Means { programs: false, ..means(full, full) };
        assert!(lacking(&without).contains("uidmap"));
        assert_eq!(plan(&ada(), &without).uids, []);
    }

    #[test]
    fn the_kernels_maps_tell_the_ids() {
        let range = "         0       1000          1\n         1     100000      65536\n";
        let short = "0 1000 1\n1 100000 10\n";
        let single = "         0       1000          1\n";
        assert_eq!(Ids::of_maps(range, range), Ids::Range { count: 65_536 });
        assert_eq!(Ids::of_maps(range, short), Ids::Range { count: 10 });
        assert_eq!(Ids::of_maps(range, single), Ids::Single);
        assert_eq!(Ids::of_maps("0 1000 1\n5 100000 10\n", range), Ids::Single);
    }

    #[test]
    fn names_are_the_files_and_the_environments() {
        let passwd = "root:x:0:0::/:\nada:x:1000:1000::/:\n";
        assert_eq!(names_of(1000, passwd, None), ["ada"]);
        assert_eq!(names_of(7, passwd, Some("ldap".into())), ["ldap"]);
    }
}
