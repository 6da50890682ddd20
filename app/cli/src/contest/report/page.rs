//! The table as a page: one document, without a script, that needs nothing else.

use std::fmt::{self, Display, Formatter, Write as _};

use kiln_model::{Foreign, Isolation};

use super::{Cell, Report, Row};

const LOOK: &str = include_str!("page.css");

/// How much of one text is shown, in characters.
const CAP: usize = 2000;

/// Nothing is loaded and nothing runs, whatever a text should manage to say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A text in a page, whoever wrote it: nothing in it is markup, and nothing in it is obeyed.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in Foreign::capped(self.0, CAP).as_str().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let target = Text(&self.target);
        let (right, all) = self.counts();
        let weakened = self.rows.iter().filter(|row| row.weakened.is_some()).count();
        let state = if right == all { "right" } else { "wrong" };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <title>Contest for {target}: {right} of {all}</title>\n<style>\n{LOOK}</style>\n</head>\n\
             <body>\n<main>\n<h1>Packages that attack, built for {target}</h1>\n\
             <p class=\"lead\">Each is held off by a whole jail, and gets through one without what \
             stops it: else nobody would know that it attacks.</p>\n\
             <dl class=\"figures\">\n\
             <div><dt>cells as they should be</dt><dd class=\"{state}\">{right} of {all}</dd></div>\n\
             <div><dt>attacks tried</dt><dd>{}</dd></div>\n\
             <div><dt>tried without what stops them</dt><dd>{weakened}</dd></div>\n</dl>\n",
            self.rows.len(),
        )?;
        for backend in Isolation::ALL {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.backend == backend).collect();
            if !rows.is_empty() {
                table(f, backend, &rows)?;
            }
        }
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

fn table(f: &mut Formatter<'_>, backend: Isolation, rows: &[&Row]) -> fmt::Result {
    write!(
        f,
        "<h2>{backend}</h2>\n<table>\n<thead><tr><th scope=\"col\">threat</th>\
         <th scope=\"col\">attack</th><th scope=\"col\">whole</th>\
         <th scope=\"col\">without what stops it</th></tr></thead>\n<tbody>\n"
    )?;
    for row in rows {
        line(f, row)?;
    }
    f.write_str("</tbody>\n</table>\n")
}

fn line(f: &mut Formatter<'_>, row: &Row) -> fmt::Result {
    write!(
        f,
        "<tr>\n<td data-of=\"threat\">{}</td>\n<th scope=\"row\">{}<details><summary>{}</summary><dl>",
        Text(&row.threat),
        Text(&row.attack),
        Text(&row.tries),
    )?;
    let about = [
        ("precedent", &row.precedent),
        ("looked at from outside", &row.asserted),
        ("stopped by", &row.stopped_by),
    ];
    for (what, text) in about {
        write!(f, "<dt>{what}</dt><dd>{}</dd>", Text(text))?;
    }
    f.write_str("</dl></details></th>\n<td data-of=\"whole\">")?;
    cell(f, &row.whole)?;
    f.write_str("</td>\n<td data-of=\"without what stops it\">")?;
    match &row.weakened {
        Some(weakened) => cell(f, weakened)?,
        None => {
            let why = row.why_whole.as_deref().unwrap_or("not asked for");
            write!(f, "<span class=\"quiet\">not tried: {}</span>", Text(why))?;
        }
    }
    f.write_str("</td>\n</tr>\n")
}

fn cell(f: &mut Formatter<'_>, cell: &Cell) -> fmt::Result {
    let state = if cell.is_right { "right" } else { "wrong" };
    write!(f, "<span class=\"state {state}\">{}</span>", cell.said())?;
    if !cell.is_right {
        write!(f, " should be {}", cell.should_be.word())?;
    }
    for trouble in &cell.trouble {
        write!(f, "<br>{}", Text(trouble))?;
    }
    match cell.end.is_empty() {
        true => Ok(()),
        false => write!(f, "<br><small>{}</small>", Text(&cell.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::attacks::{self, Verdict};
    use super::super::super::round::Ruling;
    use super::*;

    const HOSTILE: &str =
        "</td><script>alert(1)</script><img src=x onerror='a' \">&\u{1b}[31m\u{202e}";

    fn report() -> Report {
        let ruling = |verdict, harm: &[&str], end: &str| Ruling {
            verdict,
            harm: harm.iter().map(|&text| text.to_owned()).collect(),
            end: end.to_owned(),
            wall_ms: 7,
        };
        let mut report = Report::new("<b>trial</b>");
        for attack in attacks::all().expect("they read").iter().take(2) {
            for isolation in Isolation::ALL {
                let whole = Ok(ruling(Verdict::Held, &[HOSTILE], HOSTILE));
                let weak = Some(Ok(ruling(Verdict::Reached, &[], HOSTILE)));
                report.rows.push(Row::of(attack, isolation, whole, weak));
            }
        }
        report
    }

    #[test]
    fn what_a_package_said_is_shown_and_is_no_markup() {
        let page = report().to_string();
        let body = &page[page.find("<body>").expect("a body")..];
        for hostile in ["<script", "<img", "<b>", "onerror='", "\u{1b}", "\u{202e}"] {
            assert!(!page.contains(hostile), "{hostile:?}");
        }
        assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is shown");
        assert!(page.contains("Contest for &lt;b&gt;trial&lt;/b&gt;"));
        // Every element that is opened is closed, and none came of what was said.
        for name in ["table", "tr", "td", "th", "details", "dl", "span", "main"] {
            let opened = body.matches(&format!("<{name}>")).count()
                + body.matches(&format!("<{name} ")).count();
            assert_eq!(opened, body.matches(&format!("</{name}>")).count(), "{name}");
        }
    }

    #[test]
    fn a_page_needs_nothing_else_and_tells_what_is_wrong() {
        let page = report().to_string();
        for foreign in ["http://", "https://", "url(", "<link", " src=\"", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains(POLICY) && page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("state wrong\">held</span> should be held"), "harm was done");
        for backend in Isolation::ALL {
            assert!(page.contains(&format!("<h2>{backend}</h2>")));
        }
    }
}
