//! Records as rows, both ways, by explicit conversion. What is read is checked again: a row that this program cannot
//! have written names its table, its key and the column.

pub(crate) mod attempt;
pub(crate) mod execution;
pub(crate) mod job;
pub(crate) mod secret;

use jiff::Timestamp;
use rusqlite::{Row, types::FromSql};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use uuid::Uuid;

use crate::error::StoreError;

/// A row of a table, while it is read.
pub(crate) struct Reading<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r Row<'r>,
}

impl Reading<'_> {
    pub(crate) fn get<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.get(column).map_err(|error| match error.sqlite_error_code() {
            Some(_) => error.into(),
            None => self.bad(column, error),
        })
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        let time = self.get(column)?;
        Timestamp::from_microsecond(time).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        match self.get::<Option<i64>>(column)? {
            None => Ok(None),
            Some(_) => self.time(column).map(Some),
        }
    }

    pub(crate) fn uuid(&self, column: &'static str) -> Result<Uuid, StoreError> {
        self.get::<[u8; 16]>(column).map(Uuid::from_bytes)
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: Box<str> = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.bad(column, error))
    }

    /// The column must hold something here.
    pub(crate) fn some<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.bad(column, "it is missing"))
    }

    /// The error for a column that cannot be as it is.
    pub(crate) fn bad(&self, column: &'static str, why: impl ToString) -> StoreError {
        StoreError::Row { table: self.table, id: self.id(), column, why: why.to_string() }
    }

    fn id(&self) -> String {
        let uid = |column| match self.row.get::<_, [u8; 16]>(column) {
            Ok(bytes) => Uuid::from_bytes(bytes).to_string(),
            Err(_) => "?".to_owned(),
        };
        let number = |column| match self.row.get::<_, i64>(column) {
            Ok(number) => number.to_string(),
            Err(_) => "?".to_owned(),
        };
        match self.table {
            "attempts" => {
                format!("{}/{}-{}", uid("execution"), number("task"), number("attempt"))
            }
            "secret_versions" => format!("{}/{}", uid("secret"), number("number")),
            _ => uid("uid"),
        }
    }
}

/// A point in time as it is kept.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The same, where there may be none.
pub(crate) fn maybe_micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(micros)
}

/// A map or a spec as it is kept.
pub(crate) fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|source| StoreError::Encode { what, source: Arc::new(source) })
}
