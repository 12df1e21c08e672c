//! The tables, as migrations that go forward only. `user_version` is the number of those that were applied.

use rusqlite::Connection;

/// `application_id` of our files: "GRUN".
pub(crate) const APPLICATION_ID: i64 = 0x4752_554e;

/// A migration is never changed once released; a later one is added.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
];

/// The format that this program writes.
pub(crate) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful of migrations fits")
}

/// Brings the database from the format `from` to [`known`], all of it or nothing.
pub(crate) fn migrate(conn: &mut Connection, from: i64) -> rusqlite::Result<()> {
    if from == known() {
        return Ok(());
    }
    let done = usize::try_from(from).unwrap_or(0);
    let tx = conn.transaction()?;
    for migration in &MIGRATIONS[done..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known())?;
    tx.commit()
}
