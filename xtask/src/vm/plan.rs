//! What the guest is to do: commands, each as the user of a setting.

use serde_json::{Value, json};

use super::setting::Setting;

/// The file with what became of the steps: the last thing that the guest writes, so that whoever has it knows that all went
/// as planned. How the machine ended tells nothing: it turns itself off after a panic too.
pub(super) const DONE: &str = "done.json";

/// A command in a setting.
pub(super) struct Step {
    /// Shown.
    pub(super) name: String,
    pub(super) setting: Setting,
    pub(super) command: Vec<String>,
    /// How long it may take, in the guest.
    pub(super) seconds: u64,
}

/// What became of a step.
pub(super) struct Done {
    pub(super) code: i32,
    /// What it wrote, both streams as one.
    pub(super) output: String,
    /// What it left in the guest.
    pub(super) left: Vec<String>,
}

impl Step {
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "setting": self.setting.name(),
            "command": self.command,
            "seconds": self.seconds,
        })
    }

    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let wrong = || format!("not a step: {value}");
        let text = |key: &str| value[key].as_str().ok_or_else(wrong);
        let command = value["command"].as_array().ok_or_else(wrong)?;
        let command = command.iter().map(|word| word.as_str().map(str::to_owned));
        Ok(Self {
            name: text("name")?.to_owned(),
            setting: Setting::named(text("setting")?)?,
            command: command.collect::<Option<_>>().ok_or_else(wrong)?,
            seconds: value["seconds"].as_u64().ok_or_else(wrong)?,
        })
    }
}

impl Done {
    pub(super) fn json(&self) -> Value {
        json!({ "code": self.code, "output": self.output, "left": self.left })
    }

    pub(super) fn parse(value: &Value) -> Option<Self> {
        let left = value["left"].as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
        Some(Self {
            code: i32::try_from(value["code"].as_i64()?).ok()?,
            output: value["output"].as_str()?.to_owned(),
            left: left.collect::<Option<_>>()?,
        })
    }
}
