//! Lists: newest first, by page, narrowed by a label selector, all of it by index.
//!
//! A token says where the last page ended (creation and uid), so it never expires: what was created since is newer, and
//! what was deleted is skipped. The first requirement that asks a label for one value drives the query, since the label
//! index has the same order as the list; without one, the index by age does. The others are looked up row by row.

use std::{fmt, num::NonZeroU32, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use groundrun_api::selector::{Requirement, Selector, Test};
use groundrun_core::secret::Secret;
use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use uuid::Uuid;

use crate::{error::StoreError, rows::micros};

/// What to list.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// Project id.
    pub project: &'a str,
    /// One region, or all of the project.
    pub region: Option<&'a str>,
    /// Labels.
    pub selector: &'a Selector,
    /// Items of a page, at most.
    pub limit: NonZeroU32,
    /// Where the page before this one ended.
    pub after: Option<Continue>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// For the next page, if there is more.
    pub next: Option<Continue>,
}

/// Where a page ended. Its text is the `continue` token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continue {
    created: i64,
    uid: Uuid,
}

/// The text is no token of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a continue token of this server: {0:?}")]
pub struct NotAToken(String);

/// First byte of a token: another shape gets another one.
const TOKEN_VERSION: u8 = 1;

impl Continue {
    /// After this secret.
    #[must_use]
    pub fn after(secret: &Secret) -> Self {
        Self::new(secret.created, secret.uid.0)
    }

    pub(crate) fn new(created: Timestamp, uid: Uuid) -> Self {
        Self { created: micros(created), uid }
    }

    pub(crate) fn position(&self) -> (i64, Uuid) {
        (self.created, self.uid)
    }
}

impl fmt::Display for Continue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [TOKEN_VERSION; 25];
        bytes[1..9].copy_from_slice(&self.created.to_be_bytes());
        bytes[9..].copy_from_slice(self.uid.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Continue {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let bytes: [u8; 25] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
            let (version, rest) = bytes.split_first()?;
            let (created, uid) = rest.split_first_chunk::<8>()?;
            let uid = Uuid::from_slice(uid).ok()?;
            (*version == TOKEN_VERSION)
                .then_some(Self { created: i64::from_be_bytes(*created), uid })
        };
        parse().ok_or_else(|| NotAToken(text.to_owned()))
    }
}

/// What differs between lists.
pub(crate) struct Kind {
    table: &'static str,
    label_kind: &'static str,
    /// Which rows there are for clients.
    visible: &'static str,
}

pub(crate) const JOBS: Kind = Kind { table: "jobs", label_kind: "job", visible: "true" };

pub(crate) const EXECUTIONS: Kind =
    Kind { table: "executions", label_kind: "execution", visible: "delete_wish IS NULL" };

/// Reads one page; `position` is where an item stands in the list.
pub(crate) fn page<T>(
    conn: &Connection,
    kind: &Kind,
    query: &ListQuery<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    position: impl Fn(&T) -> (Timestamp, Uuid),
) -> Result<Page<T>, StoreError> {
    let limit = query.limit.get();
    let Statement { sql, params } = statement(kind, query, limit.saturating_add(1));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(params))?;
    let mut items = Vec::new();
    let mut next = None;
    while let Some(row) = rows.next()? {
        if items.len() == limit as usize {
            next = items.last().map(&position);
            break;
        }
        items.push(read(row)?);
    }
    let next = next.map(|(created, uid)| Continue::new(created, uid));
    Ok(Page { items, next })
}

const WITH_SPEC: &str = " CROSS JOIN specs ON specs.owner = this.uid";

/// A query under construction: text and values grow together.
pub(crate) struct Statement<'a> {
    pub(crate) sql: String,
    pub(crate) params: Vec<Box<dyn ToSql + 'a>>,
}

impl<'a> Statement<'a> {
    fn add(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn value(&mut self, value: impl ToSql + 'a) {
        self.params.push(Box::new(value));
        self.sql.push('?');
    }
}

pub(crate) fn statement<'a>(kind: &Kind, query: &ListQuery<'a>, limit: u32) -> Statement<'a> {
    let table = kind.table;
    let mut out = Statement { sql: String::new(), params: Vec::new() };
    out.add("SELECT this.*, specs.spec FROM ");
    let (driver, others) = split(&query.selector.requirements);
    // CROSS JOIN: SQLite keeps the order of the tables, and so of the rows.
    match driver {
        Some((key, value)) => {
            out.add("labels AS driver CROSS JOIN ");
            out.add(table);
            out.add(" AS this ON this.uid = driver.owner");
            out.add(WITH_SPEC);
            where_driven(&mut out, kind, query, key, value);
        }
        None => {
            out.add(table);
            out.add(" AS this");
            out.add(WITH_SPEC);
            where_by_age(&mut out, kind, query);
        }
    }
    for requirement in others {
        where_required(&mut out, requirement);
    }
    let order = if driver.is_some() {
        " ORDER BY driver.created DESC, driver.owner DESC LIMIT "
    } else {
        " ORDER BY this.created DESC, this.uid DESC LIMIT "
    };
    out.add(order);
    out.value(limit);
    out
}

/// The requirement that drives the query, and the others.
fn split(all: &[Requirement]) -> (Option<(&str, &str)>, Vec<&Requirement>) {
    let driver = all.iter().enumerate().find_map(|(index, requirement)| match &requirement.test {
        Test::In(values) if values.len() == 1 => {
            values.first().map(|value| (index, requirement.key.as_str(), value.as_str()))
        }
        _ => None,
    });
    let others = all
        .iter()
        .enumerate()
        .filter(|(index, _)| driver.is_none_or(|(driver, ..)| driver != *index))
        .map(|(_, requirement)| requirement);
    (driver.map(|(_, key, value)| (key, value)), others.collect())
}

fn where_driven<'a>(
    out: &mut Statement<'a>,
    kind: &Kind,
    query: &ListQuery<'a>,
    key: &'a str,
    value: &'a str,
) {
    out.add(" WHERE driver.kind = ");
    out.value(kind.label_kind);
    out.add(" AND driver.project = ");
    out.value(query.project);
    out.add(" AND driver.key = ");
    out.value(key);
    out.add(" AND driver.value = ");
    out.value(value);
    if let Some(region) = query.region {
        out.add(" AND this.region = ");
        out.value(region);
    }
    where_visible(out, kind);
    if let Some(after) = query.after {
        out.add(" AND (driver.created, driver.owner) < (");
        out.value(after.created);
        out.add(", ");
        out.value(after.uid.into_bytes());
        out.add(")");
    }
}

fn where_by_age<'a>(out: &mut Statement<'a>, kind: &Kind, query: &ListQuery<'a>) {
    out.add(" WHERE this.project = ");
    out.value(query.project);
    if let Some(region) = query.region {
        out.add(" AND this.region = ");
        out.value(region);
    }
    where_visible(out, kind);
    if let Some(after) = query.after {
        out.add(" AND (this.created, this.uid) < (");
        out.value(after.created);
        out.add(", ");
        out.value(after.uid.into_bytes());
        out.add(")");
    }
}

fn where_visible(out: &mut Statement<'_>, kind: &Kind) {
    out.add(" AND ");
    out.add(kind.visible);
}

fn where_required<'a>(out: &mut Statement<'a>, requirement: &'a Requirement) {
    let (exists, values) = match &requirement.test {
        Test::Exists => (" AND EXISTS", None),
        Test::Absent => (" AND NOT EXISTS", None),
        Test::In(values) => (" AND EXISTS", Some(values)),
        Test::NotIn(values) => (" AND NOT EXISTS", Some(values)),
    };
    out.add(exists);
    out.add(" (SELECT 1 FROM labels WHERE owner = this.uid AND key = ");
    out.value(requirement.key.as_str());
    if let Some(values) = values {
        out.add(" AND value IN (");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.add(", ");
            }
            out.value(value.as_str());
        }
        out.add(")");
    }
    out.add(")");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// How SQLite would run the query.
    fn plan(kind: &Kind, selector: &str, region: Option<&str>, after: Option<Continue>) -> String {
        let mut conn = Connection::open_in_memory().expect("memory");
        schema::migrate(&mut conn, 0).expect("the schema holds");
        let selector: Selector = selector.parse().expect("it parses");
        let limit = NonZeroU32::MIN;
        let query = ListQuery { project: "p", region, selector: &selector, limit, after };
        let Statement { sql, params } = statement(kind, &query, 101);
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("it is SQL");
        let steps = statement
            .query_map(params_from_iter(params), |row| row.get::<_, String>("detail"))
            .expect("it is planned");
        steps.collect::<Result<Vec<_>, _>>().expect("it is planned").join("\n")
    }

    #[test]
    fn every_list_is_read_in_order_from_an_index() {
        let after = Some(Continue { created: 5, uid: Uuid::nil() });
        for kind in [&JOBS, &EXECUTIONS] {
            for selector in ["", "a=b", "a=b,c=d", "a", "!a", "a in (b,c)", "a!=b", "c,a=b"] {
                for region in [None, Some("r")] {
                    for after in [None, after] {
                        let plan = plan(kind, selector, region, after);
                        assert!(!plan.contains("SCAN"), "{selector}: {plan}");
                        assert!(!plan.contains("TEMP B-TREE"), "{selector}: {plan}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_page_begins_where_the_last_one_ended() {
        let after = Some(Continue { created: 5, uid: Uuid::nil() });
        let by_age = plan(&EXECUTIONS, "", Some("r"), after);
        assert!(
            by_age
                .contains("executions_by_region (project=? AND region=? AND (created,uid)<(?,?))"),
            "{by_age}"
        );
        let by_label = plan(&EXECUTIONS, "a=b", Some("r"), after);
        assert!(
            by_label.contains(
                "labels_by_value (kind=? AND project=? AND key=? AND value=? AND (created,owner)<(?,?))"
            ),
            "{by_label}"
        );
    }
}
