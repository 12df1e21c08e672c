//! Partial responses: the standard parameter `fields`, such as `items(metadata/name,status),metadata`.
//!
//! A mask selects members of objects; a list is looked through; `*` selects every member.

use std::collections::BTreeMap;

use serde_json::Value;

/// How deep a mask may nest: an execution's deepest member is about 12 down.
const DEPTH_MAX: usize = 32;

/// A parsed mask. No members selects all that is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mask(BTreeMap<String, Mask>);

/// The text is not a field mask.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("invalid field selection {0}")]
pub(crate) struct NotAMask(pub(crate) String);

impl Mask {
    /// Parses `a,b/c,d(e,f/g)`; dots are slashes, as in a `google.protobuf.FieldMask`.
    pub(crate) fn parse(text: &str) -> Result<Self, NotAMask> {
        let refused = || NotAMask(text.to_owned());
        let mut input = text;
        let mask = group(&mut input, 0).ok_or_else(refused)?;
        if input.is_empty() { Ok(mask) } else { Err(refused()) }
    }

    /// Drops from `value` what the mask does not select.
    pub(crate) fn keep(&self, value: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.keep(item)),
            Value::Object(members) => {
                members.retain(|name, _| self.0.contains_key(name) || self.0.contains_key("*"));
                for (name, member) in members {
                    if let Some(inner) = self.0.get(name).or_else(|| self.0.get("*")) {
                        inner.keep(member);
                    }
                }
            }
            _ => {}
        }
    }
}

/// `path *("," path)`
fn group(input: &mut &str, depth: usize) -> Option<Mask> {
    let mut mask = Mask::default();
    loop {
        path(input, &mut mask, depth)?;
        match input.strip_prefix(',') {
            Some(rest) => *input = rest,
            None => return Some(mask),
        }
    }
}

/// `name [("/" | ".") path | "(" group ")"]`
fn path(input: &mut &str, into: &mut Mask, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let end = input.find([',', '/', '.', '(', ')']).unwrap_or(input.len());
    let (name, rest) = input.split_at(end);
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    let whole_before = into.0.get(name).is_some_and(|inner| inner.0.is_empty());
    let inner = into.0.entry(name.to_owned()).or_default();
    *input = rest;
    if let Some(rest) = input.strip_prefix(['/', '.']) {
        *input = rest;
        path(input, inner, depth + 1)?;
    } else if let Some(rest) = input.strip_prefix('(') {
        *input = rest;
        inner.0.extend(group(input, depth + 1)?.0);
        *input = input.strip_prefix(')')?;
    } else {
        inner.0.clear();
    }
    if whole_before {
        inner.0.clear();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(mask: &str) -> Value {
        let mut value = json!({
            "kind": "JobsList",
            "items": [{"metadata": {"name": "a", "uid": "1"}, "spec": {"x": 1}},
                      {"metadata": {"name": "b", "uid": "2"}, "spec": {"x": 2}}],
        });
        Mask::parse(mask).expect("the mask is well formed").keep(&mut value);
        value
    }

    #[test]
    fn a_mask_selects_members_through_lists() {
        let names = json!({"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
        assert_eq!(kept("items/metadata/name"), names);
        assert_eq!(kept("items(metadata(name))"), names);
        assert_eq!(kept("items.metadata.name"), names);
        assert_eq!(
            kept("items/*/name"),
            json!({"items": [
            {"metadata": {"name": "a"}, "spec": {}}, {"metadata": {"name": "b"}, "spec": {}}]})
        );
        assert_eq!(kept("kind"), json!({"kind": "JobsList"}));
        assert_eq!(kept("nothing"), json!({}));
        assert_eq!(kept("items(spec,metadata/name),kind")["kind"], "JobsList");
    }

    #[test]
    fn a_whole_member_stays_whole_when_a_part_of_it_is_named_too() {
        assert_eq!(kept("items,items/metadata/name"), kept("items"));
        assert_eq!(kept("items/metadata/name,items"), kept("items"));
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        let deep = "a/".repeat(200) + "a";
        for text in ["", ",", "a,", "a(", "a(b", "a)", "a//b", "/a", "a(b)c", &deep] {
            assert!(Mask::parse(text).is_err(), "{text:?}");
        }
    }
}
