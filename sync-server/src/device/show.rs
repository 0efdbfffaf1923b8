//! How the terminal client shows things.

use super::Phone;
use crate::term::{bytes, out, say};
use onsite_core::domain::stage::Stage;
use onsite_core::domain::{DocRef, Kind, Millis, Zone};
use onsite_core::engine::{
    ClashedDoc, Detail, Explanation, HistoryEntry, Line, ReadyToLeave, RefusedEdit, Status, Today,
};
use onsite_core::error::Result;
use onsite_core::messages::{self, Language, Words, find, label, refusal, t, tf};
use onsite_core::store::outbox::Delivery;

/// Prints a value as JSON.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other)?;
    Ok(say!("{text}")?)
}

/// Columns a character takes in a terminal.
fn width(c: char) -> usize {
    match u32::from(c) {
        0..=0x1f | 0x7f..=0x9f | 0x300..=0x36f | 0x200b..=0x200f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns a text takes in a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// At most `limit` columns of a line.
fn cut(text: &str, limit: usize) -> String {
    let line: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    if columns(&line) <= limit {
        return line;
    }
    let mut used = 1;
    let mut out: String = line
        .chars()
        .take_while(|c| {
            used += width(*c);
            used <= limit
        })
        .collect();
    out.push('…');
    out
}

/// A table with aligned columns, CJK counted as two.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    const MOST: usize = 38;
    let cells: Vec<Vec<String>> = std::iter::once(headings.iter().map(|h| (*h).to_owned()).collect())
        .chain(rows.iter().cloned())
        .map(|row: Vec<String>| row.iter().map(|c| cut(c, MOST)).collect())
        .collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|i| cells.iter().filter_map(|r| r.get(i)).map(|c| columns(c)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in cells {
        let mut line = String::new();
        for (cell, w) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', w - columns(cell) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub(super) fn delivery(lang: Language, d: Delivery) -> &'static str {
    find(
        lang,
        match d {
            Delivery::OnThisPhone => "delivery.on_this_phone",
            Delivery::Received => "delivery.received",
            Delivery::Accepted => "delivery.accepted",
            Delivery::SeenByOffice => "delivery.seen_by_office",
        },
    )
    .unwrap_or("?")
}

impl Phone {
    /// Words for values, by the company's clock; asks `names` for people.
    pub(super) fn words<'a>(&self, names: &'a (dyn Fn(onsite_core::domain::StaffId) -> String + Sync)) -> Words<'a> {
        Words { lang: self.lang, utc_offset_minutes: self.settings().utc_offset_minutes, names }
    }

    pub(super) fn clock(&self, at: Millis) -> String {
        Zone::of(&self.settings()).format(at)
    }

    fn due(&self, at: Option<Millis>) -> String {
        at.map(|at| self.clock(at)).unwrap_or_default()
    }

    /// A status word for people: a stage's or state's name.
    pub(super) fn word(&self, kind: Kind, status: &str) -> String {
        let sets = match kind {
            Kind::WorkOrder | Kind::Visit | Kind::Request => ["stage", "status"],
            Kind::FollowUp => ["call_outcome", "status"],
            _ => ["decision", "status"],
        };
        sets.iter().find_map(|set| find(self.lang, &format!("{set}.{status}"))).unwrap_or(status).to_owned()
    }

    /// Remembers a list, so that `1`, `2` … name its lines.
    fn remember(&self, docs: &[DocRef]) -> Result<()> {
        let text = serde_json::to_vec(docs).map_err(std::io::Error::other)?;
        std::fs::write(self.data.join("last-list.json"), text)?;
        Ok(())
    }

    pub(super) fn lines(&self, lines: &[Line]) -> Result<()> {
        if self.json {
            return json(lines);
        }
        if lines.is_empty() {
            // The numbers of the list before still stand.
            return Ok(say!("{}", t(self.lang, "cli.none"))?);
        }
        self.remember(&lines.iter().map(|l| l.summary.doc).collect::<Vec<_>>())?;
        let mixed = lines.iter().any(|l| l.summary.doc.kind != lines[0].summary.doc.kind);
        let rows: Vec<Vec<String>> = lines
            .iter()
            .enumerate()
            .map(|(i, l)| {
                let s = &l.summary;
                vec![
                    (i + 1).to_string(),
                    if mixed { label(self.lang, s.doc.kind).to_owned() } else { String::new() },
                    // An appraisal's number is a key for machines.
                    if s.doc.kind == Kind::Appraisal { String::new() } else { s.number.clone() },
                    s.title.clone(),
                    s.subtitle.clone(),
                    self.word(s.doc.kind, &s.status),
                    self.due(s.due),
                    delivery(self.lang, l.delivery).to_owned(),
                ]
            })
            .collect();
        let title = match lines[0].summary.doc.kind {
            Kind::Staff | Kind::Statement | Kind::Appraisal if !mixed => "cli.person",
            Kind::Suggestion if !mixed => "field.title",
            _ => "cli.title",
        };
        let heads = ["", "cli.kind", "cli.number", title, "cli.subject", "cli.stage", "cli.due", "cli.delivery"];
        self.list(&heads, &rows)
    }

    /// A table without the columns that say nothing.
    fn list(&self, heads: &[&str], rows: &[Vec<String>]) -> Result<()> {
        let used: Vec<usize> =
            (0..heads.len()).filter(|i| rows.iter().any(|r| r.get(*i).is_some_and(|c| !c.is_empty()))).collect();
        let heads: Vec<&str> = used.iter().map(|i| t(self.lang, heads[*i])).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(|r| used.iter().map(|i| r[*i].clone()).collect()).collect();
        Ok(out(format_args!("{}", table(&heads, &rows)))?)
    }

    pub(super) fn today(&self, today: &Today) -> Result<()> {
        if self.json {
            return json(today);
        }
        let requests = today.requests.iter().map(|l| l.summary.doc);
        let docs: Vec<DocRef> = today.jobs.iter().map(|j| j.line.summary.doc).chain(requests).collect();
        if !docs.is_empty() {
            self.remember(&docs)?;
        }
        say!(
            "{}",
            tf(self.lang, "cli.today", &[("day", &today.day.to_string()), ("n", &today.jobs.len().to_string())])
        )?;
        let rows: Vec<_> = today
            .jobs
            .iter()
            .map(|j| {
                (
                    j.line.summary.number.clone(),
                    j.customer_name.clone(),
                    j.service_address.clone(),
                    label(self.lang, j.stage).to_owned(),
                    self.due(j.arrival_deadline.or(j.planned_start)),
                    j.line.delivery,
                )
            })
            .chain(today.requests.iter().map(|l| {
                let s = &l.summary;
                (
                    s.number.clone(),
                    s.title.clone(),
                    s.subtitle.clone(),
                    self.word(s.doc.kind, &s.status),
                    self.due(s.due),
                    l.delivery,
                )
            }))
            .enumerate()
            .map(|(i, (number, title, subject, stage, due, d))| {
                vec![(i + 1).to_string(), number, title, subject, stage, due, delivery(self.lang, d).to_owned()]
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.list(&["", "cli.number", "cli.title", "cli.subject", "cli.stage", "cli.due", "cli.delivery"], &rows)
    }

    pub(super) fn stage_name(&self, stage: Option<Stage>) -> String {
        stage.map_or_else(String::new, |s| label(self.lang, s).to_owned())
    }

    pub(super) fn detail(&self, d: &Detail) -> Result<()> {
        if self.json {
            return json(d);
        }
        let mut text = self.sheet(d);
        let mut add = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        if !d.explanations.is_empty() || !d.refused.is_empty() {
            add(String::new());
        }
        for e in &d.explanations {
            add(format!("⚠ {}", self.explanation(d.summary.doc.kind, e)));
        }
        for r in &d.refused {
            add(format!("✗ {} {}", r.id, refusal(self.lang, &r.code, &r.field, &r.detail)));
        }
        if !d.clashes.is_empty() {
            add(t(self.lang, "cli.how_to_choose").to_owned());
        }
        Ok(out(format_args!("{text}"))?)
    }

    /// One sentence about a merge: who, what and when, on the company's clock.
    fn explanation(&self, kind: Kind, e: &Explanation) -> String {
        let names = |id| self.name(id);
        let words = self.words(&names);
        let mut values = e.args.clone();
        for (name, doubt) in [("at", "at_doubt"), ("other_at", "other_doubt")] {
            if let Some(at) = e.args.get(name).and_then(|v| v.parse().ok()) {
                let doubt = e.args.get(doubt).map(|d| d.parse().ok());
                let at =
                    onsite_core::domain::Stamp { device: Millis(at), offset: Some(0), doubt: doubt.unwrap_or(Some(0)) };
                values.insert(name.into(), words.stamp(&at));
            }
        }
        for name in ["who", "other"] {
            if values.get(name).is_some_and(String::is_empty) {
                values.insert(name.into(), t(self.lang, "value.person_unknown").into());
            }
        }
        if let Some(path) = e.args.get("field") {
            for name in ["value", "other_value"] {
                if let Some(json) = e.args.get(name).and_then(|v| serde_json::from_str(v).ok()) {
                    values.insert(name.into(), words.told(path, &json));
                }
            }
            values.insert("field".into(), messages::path(self.lang, kind, path));
        }
        let known = if find(self.lang, &e.key).is_some() { &e.key } else { "merge.other" };
        let mut pairs: Vec<(&str, &str)> = values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        pairs.push(("key", &e.key));
        tf(self.lang, known, &pairs)
    }

    pub(super) fn history(&self, kind: Kind, entries: &[HistoryEntry]) -> Result<()> {
        if self.json {
            return json(entries);
        }
        let rows: Vec<_> = entries
            .iter()
            .map(|e| {
                let mut what: Vec<String> = Vec::new();
                for path in &e.paths {
                    let name = messages::path(self.lang, kind, brief(path));
                    if !what.contains(&name) {
                        what.push(name);
                    }
                }
                let what = what.join(if self.lang == Language::ZhCn { "、" } else { ", " });
                vec![self.clock(e.at), e.name.clone(), what, delivery(self.lang, e.delivery).to_owned()]
            })
            .collect();
        self.list(&["cli.when", "cli.who", "cli.what", "cli.delivery"], &rows)
    }

    pub(super) fn status(&self, s: &Status) -> Result<()> {
        if self.json {
            return json(s);
        }
        let lang = self.lang;
        let mut rows = vec![("cli.unsent", s.unsent_changes.to_string())];
        let photos = match s.blobs_waiting {
            0 => "0".to_owned(),
            n => format!("{n} ({})", bytes(s.blob_bytes_waiting)),
        };
        rows.push(("cli.photos_waiting", photos));
        rows.push(("cli.oldest_unsent", self.due(s.oldest_unsent)));
        rows.push(("cli.refused_open", s.refused.to_string()));
        rows.push(("cli.clashed", s.clashed.to_string()));
        rows.push(("cli.documents", s.documents.to_string()));
        rows.push(("cli.remaining", if s.remaining > 0 { s.remaining.to_string() } else { String::new() }));
        rows.push(("cli.last_contact", self.due(s.last_contact)));
        let clock = s.clock_offset.map(|(offset, doubt)| {
            let tenths = |ms: i64| format!("{}.{}", ms.abs() / 1000, ms.abs() % 1000 / 100);
            let sign = if offset < 0 { "-" } else { "+" };
            let (offset, doubt) = (format!("{sign}{}", tenths(offset)), tenths(doubt));
            tf(lang, "cli.clock_value", &[("offset", &offset), ("doubt", &doubt)])
        });
        rows.push(("cli.clock", clock.unwrap_or_default()));
        let error = match s.last_error.as_str() {
            "" => String::new(),
            code => match find(lang, &format!("error.{code}")) {
                Some(words) => words.replace("{detail}", ""),
                None => code.to_owned(),
            },
        };
        rows.push(("cli.last_error", error));
        rows.retain(|(_, value)| !value.is_empty());
        say!("{}", t(lang, if s.safe_to_hand_in { "cli.safe" } else { "cli.unsafe" }))?;
        for reason in &s.reasons {
            say!("  {}", t(lang, reason))?;
        }
        let rows: Vec<_> = rows.into_iter().map(|(key, value)| (t(lang, key).to_owned(), value)).collect();
        Ok(out(format_args!("{}", super::sheet::fields(&rows)))?)
    }

    pub(super) fn ready(&self, r: &ReadyToLeave) -> Result<()> {
        if self.json {
            return json(r);
        }
        say!("{}", t(self.lang, if r.ready { "cli.ready" } else { "cli.not_ready" }))?;
        for m in &r.missing {
            let doc = m.doc.map(|d| format!(" {}", self.called(d))).unwrap_or_default();
            let size = if m.bytes > 0 { format!(" {}", bytes(m.bytes)) } else { String::new() };
            say!("  {}{doc}{size}", t(self.lang, &m.key))?;
        }
        if !r.ready
            && let Some(ms) = r.estimate_ms
        {
            let (size, s) = (bytes(r.bytes), (ms / 1000).to_string());
            say!("  {}", tf(self.lang, "cli.estimate", &[("bytes", &size), ("s", &s)]))?;
        }
        Ok(())
    }

    pub(super) fn clashes(&self, docs: &[ClashedDoc]) -> Result<()> {
        if self.json {
            return json(docs);
        }
        if docs.is_empty() {
            return Ok(say!("{}", t(self.lang, "cli.none"))?);
        }
        self.remember(&docs.iter().map(|c| c.summary.doc).collect::<Vec<_>>())?;
        let names = |id| self.name(id);
        let words = self.words(&names);
        for (i, c) in docs.iter().enumerate() {
            let kind = c.summary.doc.kind;
            say!("{}  {} {} {}", i + 1, label(self.lang, kind), c.summary.number, c.summary.title)?;
            for (m, clash) in c.clashes.iter().enumerate() {
                say!("   {}. {}", m + 1, messages::path(self.lang, kind, &clash.path))?;
                for (n, v) in clash.values.iter().enumerate() {
                    let who = v.by.map(|by| words.name(by)).unwrap_or_default();
                    let shown = if v.shown { format!(" ← {}", t(self.lang, "cli.shown")) } else { String::new() };
                    say!("      {}) {}  {who} {}{shown}", n + 1, words.told(&clash.path, &v.value), self.clock(v.at))?;
                }
            }
        }
        Ok(say!("{}", t(self.lang, "cli.how_to_choose"))?)
    }

    pub(super) fn refused(&self, edits: &[RefusedEdit]) -> Result<()> {
        if self.json {
            return json(edits);
        }
        if edits.is_empty() {
            return Ok(say!("{}", t(self.lang, "cli.none"))?);
        }
        let names = |id| self.name(id);
        let words = self.words(&names);
        for e in edits {
            let why = refusal(self.lang, &e.code, &e.field, &e.detail);
            say!("{}  {}  {}  {why}", e.id, self.called(e.doc), self.clock(e.at))?;
            if let Some(said) = &e.decision {
                let args = [("who", said.who.as_str()), ("reason", &said.reason)];
                say!("   {}", tf(self.lang, &format!("aside.{}", said.verdict), &args))?;
            }
            for leaf in &e.leaves {
                let name = messages::path(self.lang, e.doc.kind, &leaf.path);
                let (mine, stands) = (words.value(&leaf.path, &leaf.mine), words.value(&leaf.path, &leaf.stands));
                let values = [("field", name.as_str()), ("mine", &mine), ("stands", &stands)];
                say!("   {}", tf(self.lang, "cli.refused_leaf", &values))?;
            }
        }
        Ok(say!("{}", t(self.lang, "cli.how_to_resend"))?)
    }
}

/// A path down to its item: which part of a photo or a check was set says less.
fn brief(path: &str) -> &str {
    let item = |p: &str| uuid::Uuid::parse_str(p).is_ok();
    let mut end = 0;
    for (n, part) in path.split('/').enumerate() {
        if n == 2 || item(part) {
            break;
        }
        end += part.len() + usize::from(n > 0);
    }
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_chinese_in_them() {
        let text = table(
            &["编号", "客户"],
            &[vec!["A-1".into(), "三原华丰".into()], vec!["长编号二".into(), "乙\n丙".into()]],
        );
        assert_eq!(text, "编号      客户\nA-1       三原华丰\n长编号二  乙 丙\n");
        assert_eq!(cut("三原华丰蛋托厂", 7), "三原华…");
    }

    #[test]
    fn paths_are_cut_at_their_item() {
        let id = "01a21050-093c-7f6f-9f77-ea326f6adb64";
        assert_eq!(brief(&format!("photos/{id}/caption")), "photos");
        assert_eq!(brief(&format!("dispatch/items/{id}/name")), "dispatch/items");
        assert_eq!(brief("checks/model/result"), "checks/model");
        assert_eq!(brief("outcome"), "outcome");
    }
}
