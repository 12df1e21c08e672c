//! Query parameters: what every method takes, what one method takes, and the refusal of anything else by name.

use crate::{error::Refusal, fields::Mask};

/// Parameters that every method takes and that change nothing here.
const IGNORED: &[&str] = &[
    "key",
    "quotaUser",
    "userIp",
    "access_token",
    "oauth_token",
    "uploadType",
    "upload_protocol",
    "uploadProtocol",
    "$.xgafv",
];

/// How many parameters a query may have; Google's longest method takes 20.
const PARAMETERS_MAX: usize = 64;

/// A decoded query, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query(Vec<(String, String)>);

/// How a method treats one of its own parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Parameter {
    /// Read by the handler.
    Taken(&'static str),
    /// Accepted and without effect, as documented by Google.
    Ignored(&'static str),
    /// "Not supported by Cloud Run": refused unless empty or false.
    Unsupported(&'static str),
}

/// The shape of the answer: the standard parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shape {
    /// `prettyPrint=true`. Compact otherwise, which is a third of the bytes.
    pub(crate) print: Print,
    /// `fields`.
    pub(crate) mask: Option<Mask>,
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Print {
    /// On one line.
    #[default]
    Compact,
    /// Indented.
    Pretty,
}

/// Is a change carried out, or only checked?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// It is.
    Real,
    /// `dryRun=all`: everything but the storing.
    Dry,
}

impl Query {
    /// Decodes `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let pairs: Vec<(String, String)> = form(text);
        if pairs.len() > PARAMETERS_MAX {
            return Err(Refusal::invalid(format!("more than {PARAMETERS_MAX} query parameters")));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; an empty one is unset (fact: clients 5). The last one given wins.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A 32-bit number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i32>, Refusal> {
        let parse = |text: &str| {
            text.parse::<i32>().map_err(|_| {
                Refusal::violation(
                    name,
                    format!("Invalid value at '{name}' (TYPE_INT32), \"{text}\""),
                )
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// A truth value; false where none is given.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => {
                let text = format!("Invalid value at '{name}' (TYPE_BOOL), \"{other}\"");
                Err(Refusal::violation(name, text))
            }
        }
    }

    /// `dryRun`: `all` in this API, `All` in Kubernetes' dialect.
    pub(crate) fn dry_run(&self) -> Result<Run, Refusal> {
        match self.get("dryRun") {
            None => Ok(Run::Real),
            Some("all" | "All") => Ok(Run::Dry),
            Some(other) => {
                let text = format!(
                    "Invalid value at 'dry_run', \"{other}\": the only supported value is 'all'."
                );
                Err(Refusal::violation("dryRun", text))
            }
        }
    }

    /// Checks every parameter against the method's own and the standard ones, and reads the standard ones.
    pub(crate) fn check(&self, own: &[Parameter]) -> Result<Shape, Refusal> {
        for (name, value) in &self.0 {
            let known = own.iter().find(|parameter| parameter.name() == name);
            match known {
                Some(Parameter::Taken(_) | Parameter::Ignored(_)) => {}
                Some(Parameter::Unsupported(_)) if matches!(value.as_str(), "" | "false") => {}
                Some(Parameter::Unsupported(_)) => {
                    let text = format!("The parameter '{name}' is not supported by Cloud Run.");
                    return Err(Refusal::violation(name, text));
                }
                None if IGNORED.contains(&name.as_str()) || is_standard(name) => {}
                None => return Err(Refusal::unknown_parameter(name)),
            }
        }
        self.shape()
    }

    fn shape(&self) -> Result<Shape, Refusal> {
        let either = |plain: &str, dollar: &str| self.get(plain).or_else(|| self.get(dollar));
        match either("alt", "$alt") {
            None => {}
            Some(alt) if alt == "json" || alt.starts_with("json;") => {}
            Some(alt) => {
                let text = format!("The output format '{alt}' is not supported: use alt=json.");
                return Err(Refusal::violation("alt", text));
            }
        }
        if either("callback", "$callback").is_some() {
            let text = "The parameter 'callback' is not supported: answers are plain JSON.";
            return Err(Refusal::violation("callback", text));
        }
        let print = match either("prettyPrint", "$prettyPrint").or_else(|| self.get("pp")) {
            Some("true" | "1") => Print::Pretty,
            None | Some("false" | "0") => Print::Compact,
            Some(other) => {
                let text = format!("Invalid value at 'pretty_print' (TYPE_BOOL), \"{other}\"");
                return Err(Refusal::violation("prettyPrint", text));
            }
        };
        let mask = either("fields", "$fields").map(Mask::parse).transpose();
        let mask = mask.map_err(|fault| {
            Refusal::violation("fields", format!("Invalid field selection {}", fault.0))
        })?;
        Ok(Shape { print, mask })
    }
}

impl Parameter {
    fn name(&self) -> &'static str {
        match self {
            Self::Taken(name) | Self::Ignored(name) | Self::Unsupported(name) => name,
        }
    }
}

fn is_standard(name: &str) -> bool {
    let name = name.strip_prefix('$').unwrap_or(name);
    matches!(name, "alt" | "prettyPrint" | "pp" | "fields" | "callback")
}

/// `a=b&c=d%20e+f`. A broken escape stays as it is; bytes that are no UTF-8 become U+FFFD.
fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    split.map(|(name, value)| (unescape(name), unescape(value))).collect()
}

/// Undoes percent escapes; `+` is a blank.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let digits = escape.and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = digits.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).expect("the query is short")
    }

    #[test]
    fn blanks_commas_and_slashes_are_decoded_as_gcloud_encodes_them() {
        let query = query(
            "alt=json&labelSelector=run.googleapis.com%2Fjob+%3D+J%2Cx&limit=100&e=&bad=%zz%4",
        );
        assert_eq!(query.get("labelSelector"), Some("run.googleapis.com/job = J,x"));
        assert_eq!(query.number("limit").expect("a number"), Some(100));
        assert_eq!(query.get("e"), None);
        assert_eq!(query.get("bad"), Some("%zz%4"));
    }

    #[test]
    fn standard_parameters_need_no_mention() {
        let text = "alt=json&key=k&$.xgafv=2&prettyPrint=true&%24alt=json%3Benum-encoding%3Dint&fields=kind";
        let shape = query(text).check(&[]).expect("all are standard");
        assert_eq!(shape.print, Print::Pretty);
        assert!(shape.mask.is_some());
        let text = "quotaUser=u&userIp=::1&access_token=t&oauth_token=t&uploadType=media&upload_protocol=raw&uploadProtocol=raw&pp=0";
        assert_eq!(query(text).check(&[]), Ok(Shape::default()));
    }

    #[test]
    fn a_parameter_that_the_method_lacks_is_refused_by_name() {
        let own = [
            Parameter::Taken("limit"),
            Parameter::Unsupported("watch"),
            Parameter::Ignored("kind"),
        ];
        for good in ["limit=1", "watch=false", "watch=", "kind=x", ""] {
            assert!(query(good).check(&own).is_ok(), "{good}");
        }
        for (bad, name) in [
            ("limits=1", "limits"),
            ("watch=true", "watch"),
            ("alt=media", "media"),
            ("callback=f", "callback"),
            ("prettyPrint=yes", "pretty_print"),
            ("fields=a(", "a("),
        ] {
            let refusal = query(bad).check(&own).expect_err(bad);
            assert!(refusal.message().contains(name), "{bad}: {}", refusal.message());
        }
    }
}
