//! How the terminal client shows things.

use super::{Phone, job_stage};
use onsite_core::domain::stage::Stage;
use onsite_core::domain::{DocRef, Entity, Millis, Zone};
use onsite_core::engine::{ClashedDoc, Detail, HistoryEntry, Line, ReadyToLeave, RefusedEdit, Status, Today};
use onsite_core::error::Result;
use onsite_core::messages::{self, Language, find, label, refusal, t, tf};
use onsite_core::store::outbox::Delivery;

/// Prints a value as JSON.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other)?;
    println!("{text}");
    Ok(())
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

/// At most `limit` columns of a line.
fn cut(text: &str, limit: usize) -> String {
    let line: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    if line.chars().map(width).sum::<usize>() <= limit {
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
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    const MOST: usize = 38;
    let cells: Vec<Vec<String>> = std::iter::once(headings.iter().map(|h| (*h).to_owned()).collect())
        .chain(rows.iter().cloned())
        .map(|row: Vec<String>| row.iter().map(|c| cut(c, MOST)).collect())
        .collect();
    let wide = |text: &str| text.chars().map(width).sum::<usize>();
    let widths: Vec<usize> = (0..headings.len())
        .map(|i| cells.iter().filter_map(|r| r.get(i)).map(|c| wide(c)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in cells {
        let mut line = String::new();
        for (cell, w) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', w - wide(cell) + 2));
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
    fn clock(&self, at: Millis) -> String {
        let minutes = match self.entity(DocRef::new(onsite_core::domain::Kind::Settings, onsite_core::domain::SETTINGS))
        {
            Some(Entity::Settings(s)) => s.utc_offset_minutes,
            _ => 480,
        };
        Zone { minutes }.wall(at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn due(&self, at: Option<Millis>) -> String {
        at.map(|at| self.clock(at)).unwrap_or_default()
    }

    /// A status word for people: a stage's name where it is one.
    fn word(&self, status: &str) -> String {
        find(self.lang, &format!("stage.{status}")).unwrap_or(status).to_owned()
    }

    /// Remembers a list, so that `1`, `2` … name its lines.
    fn remember(&self, docs: &[DocRef]) -> Result<()> {
        let text = serde_json::to_vec(docs).map_err(std::io::Error::other)?;
        std::fs::write(self.data.join("last-list.json"), text)?;
        Ok(())
    }

    pub(super) fn lines(&self, lines: &[Line]) -> Result<()> {
        self.remember(&lines.iter().map(|l| l.summary.doc).collect::<Vec<_>>())?;
        if self.json {
            return json(lines);
        }
        if lines.is_empty() {
            println!("{}", t(self.lang, "cli.none"));
            return Ok(());
        }
        let rows: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(i, l)| {
                let s = &l.summary;
                vec![
                    (i + 1).to_string(),
                    label(self.lang, s.doc.kind).to_owned(),
                    s.number.clone(),
                    s.title.clone(),
                    s.subtitle.clone(),
                    self.word(&s.status),
                    self.due(s.due),
                    delivery(self.lang, l.delivery).to_owned(),
                ]
            })
            .collect();
        let heads = ["", "cli.kind", "cli.number", "cli.title", "cli.subject", "cli.stage", "cli.due", "cli.delivery"];
        print!("{}", table(&heads.map(|h| t(self.lang, h)), &rows));
        Ok(())
    }

    pub(super) fn today(&self, today: &Today) -> Result<()> {
        let requests = today.requests.iter().map(|l| l.summary.doc);
        self.remember(&today.jobs.iter().map(|j| j.line.summary.doc).chain(requests).collect::<Vec<_>>())?;
        if self.json {
            return json(today);
        }
        println!(
            "{}",
            tf(self.lang, "cli.today", &[("day", &today.day.to_string()), ("n", &today.jobs.len().to_string())])
        );
        let rows: Vec<_> = today
            .jobs
            .iter()
            .map(|j| {
                (
                    j.line.summary.number.clone(),
                    j.customer_name.clone(),
                    j.service_address.clone(),
                    job_stage(self.lang, j).to_owned(),
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
                    self.word(&s.status),
                    self.due(s.due),
                    l.delivery,
                )
            }))
            .enumerate()
            .map(|(i, (number, title, subject, stage, due, d))| {
                vec![(i + 1).to_string(), number, title, subject, stage, due, delivery(self.lang, d).to_owned()]
            })
            .collect();
        if !rows.is_empty() {
            let heads = ["", "cli.number", "cli.title", "cli.subject", "cli.stage", "cli.due", "cli.delivery"];
            print!("{}", table(&heads.map(|h| t(self.lang, h)), &rows));
        }
        Ok(())
    }

    fn stage_name(&self, stage: Option<Stage>) -> String {
        stage.map_or_else(String::new, |s| label(self.lang, s).to_owned())
    }

    pub(super) fn detail(&self, d: &Detail) -> Result<()> {
        if self.json {
            return json(d);
        }
        let s = &d.summary;
        println!("{} {} {}", label(self.lang, s.doc.kind), s.number, s.title);
        println!("  {}  {}", self.stage_name(d.stage), delivery(self.lang, d.delivery));
        if let Some(e) = &d.entitlement {
            println!("  {}: {}", t(self.lang, "form.visit.entitlement"), label(self.lang, e.entitlement));
        }
        // The content, leaf by leaf; what is empty is left out.
        let mut leaves = Vec::new();
        flatten("", &serde_json::to_value(&d.entity).map_err(std::io::Error::other)?, &mut leaves);
        for (path, value) in leaves {
            let last = path.rsplit('/').next().unwrap_or(&path);
            let name = find(self.lang, &format!("field.{last}")).map_or(path.clone(), str::to_owned);
            println!("  {name}: {}", value.replace('\n', "\n      "));
        }
        for visit in &d.visits {
            println!("  {} {visit}", label(self.lang, onsite_core::domain::Kind::Visit));
        }
        for e in &d.explanations {
            println!("  ⚑ {}", self.explanation(&e.key, &e.args));
        }
        for c in &d.clashes {
            println!("  ⚠ {}: {}", messages::field(self.lang, &c.path), c.values.len());
        }
        for r in &d.refused {
            println!("  ✗ {}: {}", r.id, refusal(self.lang, &r.code, &r.field, &r.detail));
        }
        Ok(())
    }

    fn explanation(&self, key: &str, args: &std::collections::BTreeMap<String, String>) -> String {
        let mut values = args.clone();
        for name in ["at", "other_at"] {
            if let Some(at) = args.get(name).and_then(|v| v.parse().ok()) {
                values.insert(name.into(), self.clock(Millis(at)));
            }
        }
        if let Some(f) = args.get("field") {
            values.insert("field".into(), messages::field(self.lang, f).to_owned());
        }
        let known = if find(self.lang, key).is_some() { key } else { "merge.other" };
        let mut pairs: Vec<(&str, &str)> = values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        pairs.push(("key", key));
        tf(self.lang, known, &pairs)
    }

    pub(super) fn history(&self, entries: &[HistoryEntry]) -> Result<()> {
        if self.json {
            return json(entries);
        }
        let rows: Vec<_> = entries
            .iter()
            .map(|e| {
                vec![self.clock(e.at), e.name.clone(), e.paths.join(" "), delivery(self.lang, e.delivery).to_owned()]
            })
            .collect();
        print!("{}", table(&["cli.when", "cli.who", "cli.what", "cli.delivery"].map(|h| t(self.lang, h)), &rows));
        Ok(())
    }

    pub(super) fn status(&self, s: &Status) -> Result<()> {
        if self.json {
            return json(s);
        }
        let lang = self.lang;
        println!("{}", t(lang, if s.safe_to_hand_in { "cli.safe" } else { "cli.unsafe" }));
        for reason in &s.reasons {
            println!("  {}", t(lang, reason));
        }
        let line = |key: &str, value: String| println!("  {}: {value}", t(lang, key));
        line("cli.unsent", s.unsent_changes.to_string());
        line("cli.photos_waiting", format!("{} ({} B)", s.blobs_waiting, s.blob_bytes_waiting));
        line("cli.refused_open", s.refused.to_string());
        line("cli.clashed", s.clashed.to_string());
        line("cli.documents", s.documents.to_string());
        line("cli.last_contact", self.due(s.last_contact));
        if let Some((offset, doubt)) = s.clock_offset {
            line("cli.clock", format!("{offset:+} ms ± {doubt} ms"));
        }
        if !s.last_error.is_empty() {
            line("cli.last_error", s.last_error.clone());
        }
        Ok(())
    }

    pub(super) fn ready(&self, r: &ReadyToLeave) -> Result<()> {
        if self.json {
            return json(r);
        }
        println!("{}", t(self.lang, if r.ready { "cli.ready" } else { "cli.not_ready" }));
        for m in &r.missing {
            let doc = m.doc.map(|d| format!(" {} {}", label(self.lang, d.kind), d.id)).unwrap_or_default();
            println!("  {}{doc} {} B", t(self.lang, &m.key), m.bytes);
        }
        if let Some(ms) = r.estimate_ms {
            println!(
                "  {}",
                tf(self.lang, "cli.estimate", &[("bytes", &r.bytes.to_string()), ("s", &(ms / 1000).to_string())])
            );
        }
        Ok(())
    }

    pub(super) fn clashes(&self, docs: &[ClashedDoc]) -> Result<()> {
        self.remember(&docs.iter().map(|c| c.summary.doc).collect::<Vec<_>>())?;
        if self.json {
            return json(docs);
        }
        if docs.is_empty() {
            println!("{}", t(self.lang, "cli.none"));
        }
        for (i, c) in docs.iter().enumerate() {
            println!("{} {} {} {}", i + 1, label(self.lang, c.summary.doc.kind), c.summary.number, c.summary.title);
            for clash in &c.clashes {
                println!("  {} ({})", clash.path, messages::field(self.lang, &clash.path));
                for (n, v) in clash.values.iter().enumerate() {
                    let who = v.by.map(|by| self.name(by)).unwrap_or_default();
                    println!(
                        "    {}{} {}  {who} {}",
                        n + 1,
                        if v.shown { "*" } else { " " },
                        v.value,
                        self.clock(v.at)
                    );
                }
            }
        }
        Ok(())
    }

    pub(super) fn refused(&self, edits: &[RefusedEdit]) -> Result<()> {
        if self.json {
            return json(edits);
        }
        if edits.is_empty() {
            println!("{}", t(self.lang, "cli.none"));
        }
        for e in edits {
            println!(
                "{}  {} {}  {}",
                e.id,
                label(self.lang, e.doc.kind),
                self.clock(e.at),
                refusal(self.lang, &e.code, &e.field, &e.detail)
            );
            for leaf in &e.leaves {
                println!("    {}: {} → {}", messages::field(self.lang, &leaf.path), leaf.stands, leaf.mine);
            }
        }
        Ok(())
    }
}

/// The leaves of a JSON value that hold something.
fn flatten(path: &str, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            for (k, v) in map {
                let path = if path.is_empty() { k.clone() } else { format!("{path}/{k}") };
                flatten(&path, v, out);
            }
        }
        Value::Null | Value::Bool(false) => {}
        Value::String(s) if s.is_empty() => {}
        Value::Number(n) if n.as_i64() == Some(0) => {}
        Value::String(s) => out.push((path.to_owned(), s.clone())),
        other => out.push((path.to_owned(), other.to_string())),
    }
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
}
