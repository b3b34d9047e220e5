//! One self-contained page for a review or an incident report: no script, nothing from the network.

use cfg_engine::Value;
use cfg_engine::document::{Dialect, FieldChange, line_diff};
use cfg_engine::history::Entry;

use super::entries::content;
use super::time::stamp;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2328;--dim:#656d76;--line:#d0d7de;--add:#e6ffec;--del:#ffebe9;--page:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#8d96a0;--line:#30363d;--add:#12261e;--del:#2d1517;--page:#0d1117}}\
body{margin:0 auto;padding:1rem;max-width:64rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}\
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.5rem 0 .3rem}\
p.about,td.dim,.dim{color:var(--dim)}\
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\
pre,code{font:13px/1.45 ui-monospace,monospace}\
pre{margin:0;padding:.2rem .5rem;white-space:pre-wrap;overflow-wrap:anywhere;border-left:3px solid var(--line)}\
pre.add{background:var(--add)}pre.del{background:var(--del)}\
.path{margin:.5rem 0 .1rem;overflow-wrap:anywhere}.tag{border:1px solid var(--line);border-radius:1em;padding:0 .5em}\
section{border-top:1px solid var(--line);margin-top:1rem}\
@media(max-width:40rem){td,th{display:block;border:0;padding:.05rem 0}tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}thead{display:none}}";

/// Makes text safe between tags and inside attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Nothing in a page turns the direction of what follows it.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn page(title: &str, about: &str, body: &str) -> String {
    let (title, about) = (escape(title), escape(about));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"about\">{about}</p>\n{body}</body></html>\n"
    )
}

/// One record's differences.
pub(crate) struct Section<'d> {
    pub(crate) label: String,
    pub(crate) changes: &'d [FieldChange],
}

/// Writes differences as a page.
pub(crate) fn diff_page(title: &str, about: &str, sections: &[Section<'_>]) -> String {
    let mut body = String::new();
    for section in sections {
        body.push_str(&format!("<section><h2><code>{}</code></h2>\n", escape(&section.label)));
        section.changes.iter().for_each(|change| one(change, &mut body));
        body.push_str("</section>\n");
    }
    if sections.is_empty() {
        body.push_str("<p>no differences</p>\n");
    }
    page(title, about, &body)
}

fn one(change: &FieldChange, out: &mut String) {
    let path = change.path.to_string();
    let path = if path.is_empty() { "(the whole document)".to_owned() } else { path };
    let from = change.from.as_ref().map(|from| format!(", was {from}")).unwrap_or_default();
    out.push_str(&format!(
        "<div class=\"path\"><code>{}</code> <span class=\"dim\">{}{}</span></div>\n",
        escape(&path),
        change.op.as_str(),
        escape(&from)
    ));
    if let (Some(Value::String(before)), Some(Value::String(after))) = (&change.before, &change.after)
        && (before.contains('\n') || after.contains('\n'))
    {
        for line in line_diff(before, after, 2).lines() {
            let class = match line.as_bytes().first() {
                Some(b'+') => " class=\"add\"",
                Some(b'-') => " class=\"del\"",
                _ => "",
            };
            out.push_str(&format!("<pre{class}>{}</pre>\n", escape(line)));
        }
        return;
    }
    for (class, sign, value) in [("del", '-', &change.before), ("add", '+', &change.after)] {
        if let Some(value) = value {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_text(Dialect::Relaxed, Some(2)),
            };
            out.push_str(&format!("<pre class=\"{class}\">{sign} {}</pre>\n", escape(&text)));
        }
    }
}

/// Writes versions as a page; each with its label and the names of its tags.
pub(crate) fn log_page(title: &str, about: &str, rows: &[(String, &Entry, &[String])]) -> String {
    let mut body = String::from(
        "<table><thead><tr><th>version</th><th>recorded</th><th>by</th><th>what</th><th>why</th></tr></thead><tbody>\n",
    );
    for (label, entry, tags) in rows {
        let h = &entry.header;
        let mut what = format!("{} <code>{}</code>", h.op.as_str(), escape(&content(entry)));
        if h.valid_from != h.recorded_at {
            let guess = if h.valid_from_estimated { ", a guess" } else { "" };
            what.push_str(&format!(
                "<br><span class=\"dim\">live since {}{guess}</span>",
                escape(&stamp(h.valid_from))
            ));
        }
        for tag in *tags {
            what.push_str(&format!(" <span class=\"tag\">{}</span>", escape(tag)));
        }
        for sha in &entry.git_shas {
            what.push_str(&format!("<br><span class=\"dim\">git {}</span>", escape(sha)));
        }
        body.push_str(&format!(
            "<tr><td><code>{}@{}</code></td><td class=\"dim\">{}</td><td>{}</td><td>{what}</td><td>{}</td></tr>\n",
            escape(label),
            h.seq,
            escape(&stamp(h.recorded_at)),
            escape(&h.author.id),
            escape(&entry.message).replace('\n', "<br>")
        ));
    }
    body.push_str("</tbody></table>\n");
    page(title, about, &body)
}

#[cfg(test)]
mod tests {
    use cfg_engine::document::diff;

    use super::*;

    #[test]
    fn nothing_in_a_page_is_taken_for_markup() {
        let value = |text: &str| Value::from_json(text).expect("JSON");
        let changes = diff(
            &value(r#"{"<b>":"</pre><script>alert(1)</script>"}"#),
            &value("{\"<b>\":\"one\\n\\\"two\\\" \u{202e}\"}"),
        );
        let page = diff_page("a & b", "x", &[Section { label: "<i>".to_owned(), changes: &changes }]);
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<i>"), "{page}");
        assert!(page.contains("a &amp; b") && page.contains("&lt;script&gt;") && !page.contains('\u{202e}'));
        // Nothing is fetched from anywhere.
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="), "{page}");
    }
}
