//! The part of `logging.googleapis.com/v2` that gcloud reads logs with: `POST /v2/entries:list`
//! (fact: gcloud-wire E.1).

use std::{collections::BTreeMap, fmt, str::FromStr, sync::OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    check::{Message, Schema},
    error::{ApiError, FieldViolation},
    time::Time,
};

/// `ListLogEntriesRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListLogEntriesRequest {
    /// In the language of [`crate::logfilter`]; at most 20,000 characters. Empty selects everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// `timestamp asc`, which is the default, or `timestamp desc`: see [`Self::order`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// Entries of a page. Absent or 0: the server's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i32>,
    /// `nextPageToken` of the page before. Empty: the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
    /// Deprecated: the same as `projects/{id}` among the resource names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub project_ids: Vec<String>,
    /// Whose logs: `projects/{id}`, also with `/locations/{l}/buckets/{b}/views/{v}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
}

/// `TailLogEntriesRequest`, and one field of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TailLogEntriesRequest {
    /// As of [`ListLogEntriesRequest`]. Without a lower bound of `timestamp`: from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How long entries may be held back so that they come in order, 0s to 60s: see [`Self::check_window`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_window: Option<String>,
    /// Whose logs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Not at Google: `insertId` of the last entry seen of each attempt. What is not behind it is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// `ListLogEntriesResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListLogEntriesResponse {
    /// In the order asked for. A page may be empty and still not be the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<LogEntry>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// `LogEntry`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogEntry {
    /// Unique within the project: tells entries of the same time apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub insert_id: String,
    /// `projects/{id}/logs/run.googleapis.com%2Fstdout`. The part after `%2F` is what gcloud looks at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log_name: String,
    /// What wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<MonitoredResource>,
    /// When it happened. gcloud fails without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Time>,
    /// When it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_timestamp: Option<Time>,
    /// How bad it is; left out when `DEFAULT`.
    #[serde(skip_serializing_if = "Severity::is_default")]
    pub severity: Severity,
    /// `run.googleapis.com/execution_name`, `…/task_index`, `…/task_attempt`, and the line's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The line, without its break. gcloud fails without it, also where there is a `jsonPayload`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_payload: Option<String>,
    /// The line, where it is a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_payload: Option<Map<String, Value>>,
    /// `httpRequest`, `trace`, `spanId`, `traceSampled`, `operation`, `sourceLocation`, as the line gave them.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

/// `MonitoredResource`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitoredResource {
    /// `cloud_run_job`.
    pub r#type: String,
    /// `project_id`, `job_name`, `location`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `LogSeverity`, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// 0: none was given.
    #[default]
    Default,
    /// 100.
    Debug,
    /// 200.
    Info,
    /// 300.
    Notice,
    /// 400.
    Warning,
    /// 500.
    Error,
    /// 600.
    Critical,
    /// 700.
    Alert,
    /// 800.
    Emergency,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `timestamp asc`.
    OldestFirst,
    /// `timestamp desc`.
    NewestFirst,
}

/// Not a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a severity")]
pub struct NotASeverity;

impl Severity {
    const ALL: [Self; 9] = [
        Self::Default,
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
            Self::Alert => "ALERT",
            Self::Emergency => "EMERGENCY",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By name in any case, or by number.
impl FromStr for Severity {
    type Err = NotASeverity;

    fn from_str(text: &str) -> Result<Self, NotASeverity> {
        let named = Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(text));
        let numbered = || {
            let number: usize = text.parse().ok().filter(|number| number % 100 == 0)?;
            Self::ALL.get(number / 100).copied()
        };
        named.or_else(numbered).ok_or(NotASeverity)
    }
}

impl ListLogEntriesRequest {
    /// Which end comes first.
    ///
    /// # Errors
    /// 400 for an order that the real service has not either.
    pub fn order(&self) -> Result<Order, ApiError> {
        let words: Vec<&str> =
            self.order_by.as_deref().unwrap_or_default().split_whitespace().collect();
        match words.as_slice() {
            [] | ["timestamp"] | ["timestamp", "asc"] => Ok(Order::OldestFirst),
            ["timestamp", "desc"] => Ok(Order::NewestFirst),
            _ => Err(ApiError::invalid(vec![FieldViolation::new(
                "order_by",
                "only 'timestamp asc' and 'timestamp desc' are supported",
            )])),
        }
    }
}

impl TailLogEntriesRequest {
    /// Checks the window.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn check_window(&self) -> Result<(), ApiError> {
        let Some(text) = self.buffer_window.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let seconds = text.strip_suffix('s').and_then(|number| number.parse::<f64>().ok());
        match seconds {
            Some(seconds) if (0.0..=60.0).contains(&seconds) => Ok(()),
            _ => Err(ApiError::invalid(vec![FieldViolation::new(
                "buffer_window",
                format!("must be 0s to 60s, such as '2s', and is '{text}'"),
            )])),
        }
    }
}

impl Message for TailLogEntriesRequest {
    const NAME: &'static str = "TailLogEntriesRequest";
    const AT: &'static str = "";

    fn schema() -> &'static Schema {
        static TABLE: OnceLock<Schema> = OnceLock::new();
        TABLE.get_or_init(|| TAIL_REQUEST.parse().expect("a test parses the same text"))
    }
}

impl Message for ListLogEntriesRequest {
    const NAME: &'static str = "ListLogEntriesRequest";
    const AT: &'static str = "";

    fn schema() -> &'static Schema {
        static TABLE: OnceLock<Schema> = OnceLock::new();
        TABLE.get_or_init(|| REQUEST.parse().expect("a test parses the same text"))
    }
}

/// What the request may hold, as in `v1/schema.txt`.
const REQUEST: &str = "\
ListLogEntriesRequest
  filter string
  orderBy string
  pageSize int32
  pageToken string
  projectIds [string]
  resourceNames [string]
";

/// What a tail's may hold.
const TAIL_REQUEST: &str = "\
TailLogEntriesRequest
  filter string
  bufferWindow string
  resourceNames [string]
  after [string]
";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::decode;

    #[test]
    fn the_request_of_gcloud_is_read_and_every_field_kept() {
        let body = json!({
            "filter": "resource.type = cloud_run_job \n AND severity >= DEFAULT \n",
            "orderBy": "timestamp desc", "pageSize": 1000, "pageToken": "T2",
            "projectIds": ["demo"], "resourceNames": ["projects/demo"],
        });
        let request: ListLogEntriesRequest = decode(body.clone()).unwrap();
        assert_eq!(request.order(), Ok(Order::NewestFirst));
        assert_eq!(serde_json::to_value(request).unwrap(), body);
    }

    #[test]
    fn a_request_for_a_tail_is_read_and_its_window_checked() {
        let body = json!({
            "filter": "severity>=DEFAULT", "bufferWindow": "2s",
            "resourceNames": ["projects/demo"], "after": ["0123-0-0-7"],
        });
        let request: TailLogEntriesRequest = decode(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), body);
        let window = |text: &str| {
            TailLogEntriesRequest { buffer_window: Some(text.to_owned()), ..request.clone() }
                .check_window()
        };
        for good in ["", "0s", "0.5s", "60s"] {
            assert_eq!(window(good), Ok(()), "{good}");
        }
        for bad in ["2", "61s", "-1s", "soon", "nans"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_order_that_is_none_is_refused_with_its_field() {
        let order = |text: &str| {
            ListLogEntriesRequest { order_by: Some(text.to_owned()), ..Default::default() }.order()
        };
        assert_eq!(order(""), Ok(Order::OldestFirst));
        assert_eq!(order("timestamp asc"), Ok(Order::OldestFirst));
        let text = "order_by: only 'timestamp asc' and 'timestamp desc' are supported";
        assert_eq!(order("severity").unwrap_err().message, text);
        assert!(decode::<ListLogEntriesRequest>(json!({"order": "x"})).is_err());
    }

    #[test]
    fn an_entry_has_the_names_of_the_wire_and_leaves_out_what_is_default() {
        let entry = LogEntry {
            insert_id: "1".to_owned(),
            log_name: "projects/demo/logs/run.googleapis.com%2Fstdout".to_owned(),
            resource: Some(MonitoredResource {
                r#type: "cloud_run_job".to_owned(),
                labels: BTreeMap::new(),
            }),
            timestamp: Some("2026-08-21T00:04:13.5Z".parse::<jiff::Timestamp>().unwrap().into()),
            text_payload: Some("hello".to_owned()),
            members: json!({"trace": "t"}).as_object().unwrap().clone(),
            ..LogEntry::default()
        };
        let wanted = json!({
            "insertId": "1", "logName": "projects/demo/logs/run.googleapis.com%2Fstdout",
            "resource": {"type": "cloud_run_job"}, "timestamp": "2026-08-21T00:04:13.500000Z",
            "textPayload": "hello", "trace": "t",
        });
        assert_eq!(serde_json::to_value(&entry).unwrap(), wanted);
        assert_eq!(serde_json::from_value::<LogEntry>(wanted).unwrap(), entry);
        assert_eq!(serde_json::to_value(ListLogEntriesResponse::default()).unwrap(), json!({}));
    }

    #[test]
    fn severities_are_ordered_and_read_by_name_or_number() {
        assert!(Severity::Warning < Severity::Error);
        assert_eq!("error".parse(), Ok(Severity::Error));
        assert_eq!("800".parse(), Ok(Severity::Emergency));
        for none in ["", "bad", "150", "900", "-100"] {
            assert_eq!(none.parse::<Severity>(), Err(NotASeverity), "{none}");
        }
    }
}
