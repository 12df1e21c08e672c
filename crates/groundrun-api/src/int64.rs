//! Proto3 JSON writes 64-bit integers as strings; both forms are read.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(value: &Option<i64>, out: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(number) => out.collect_str(number),
        None => out.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match Option::<Form>::deserialize(input)? {
        None => Ok(None),
        Some(Form::Number(number)) => Ok(Some(number)),
        Some(Form::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use crate::v1::TaskSpec;

    #[test]
    fn a_timeout_is_read_from_both_forms_and_written_as_a_string() {
        for read in [json!({"timeoutSeconds": 600}), json!({"timeoutSeconds": "600"})] {
            let spec: TaskSpec = from_value(read).unwrap();
            assert_eq!(spec.timeout_seconds, Some(600));
            assert_eq!(to_value(spec).unwrap(), json!({"timeoutSeconds": "600"}));
        }
        assert_eq!(
            from_value::<TaskSpec>(json!({"timeoutSeconds": null})).unwrap(),
            TaskSpec::default()
        );
        assert!(from_value::<TaskSpec>(json!({"timeoutSeconds": "ten"})).is_err());
    }
}
