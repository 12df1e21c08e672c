//! Refusals as Google words them, as HTML pages without its looks.

use hyper::StatusCode;

/// A page: the status in its title and in bold, and one sentence.
pub(super) fn page(status: StatusCode, sentence: &str) -> String {
    let code = status.as_u16();
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error {code} ({reason})!!1</title>\n  \
         <p><b>{code}.</b> <ins>That\u{2019}s an error.</ins>\n  <p>{sentence}  <ins>That\u{2019}s all we know.</ins>\n"
    )
}

/// Without the header that shows that a program, and not a link in a page, asks.
pub(super) fn no_flavor(path: &str) -> String {
    let path = escape(path);
    format!(
        "Your client does not have permission to get URL <code>{path}</code> from this server. Missing \
         Metadata-Flavor:Google header."
    )
}

/// Of a request that somebody passed on: what this server knows is for the task alone.
pub(super) fn forwarded(path: &str) -> String {
    let path = escape(path);
    format!(
        "Your client does not have permission to get URL <code>{path}</code> from this server. X-Forwarded-For is set: \
         a proxy may not pass requests on to this server."
    )
}

/// Of a path of nothing.
pub(super) fn not_found(path: &str) -> String {
    format!("The requested URL <code>{}</code> was not found on this server.", escape(path))
}

/// Of a method that is not for reading.
pub(super) fn wrong_method(method: &str) -> String {
    format!("The request method <code>{}</code> is inappropriate for the URL.", escape(method))
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
        escaped
    })
}
