//! Reading a job document from a file.

use std::path::Path;

use serde_json::Value;

use crate::cli::exit::Stop;

/// A job.yaml as read: a JSON value whose fields the server checks, and the name it goes by.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Document {
    /// The execution that the job's token makes when it is written.
    pub(crate) fn execution(&self) -> Option<String> {
        let token = |field: &str| self.value["spec"][field].as_str();
        let token = token("startExecutionToken").or(token("runExecutionToken"))?;
        (!token.is_empty()).then(|| format!("{}-{token}", self.name))
    }
}

/// A larger file is no job: the API takes at most 1,000 variables of 32 KiB.
const BYTES_MAX: u64 = 40 * 1024 * 1024;

/// Reads YAML (of which JSON is a part). `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<Document, Stop> {
    let wrong =
        |what: &dyn std::fmt::Display| Stop::bad_input(format!("{}: {what}", file.display()));
    let text = read_bounded(file).map_err(|e| wrong(&e))?;
    let value = groundrun_api::yaml::parse(&text).map_err(|e| wrong(&groundrun_core::chain(&e)))?;
    match value["kind"].as_str() {
        Some("Job") => {}
        Some(other) => return Err(wrong(&format!("kind: expected Job, found {other}"))),
        None => return Err(wrong(&"kind: expected Job, found nothing")),
    }
    let name = value["metadata"]["name"]
        .as_str()
        .ok_or_else(|| wrong(&"metadata.name: a name is needed"))?;
    Ok(Document { name: name.to_owned(), value })
}

fn read_bounded(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    let mut text = String::new();
    source.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {BYTES_MAX} bytes")));
    }
    Ok(text)
}
