//! `onsite device`: a terminal client over a real device store. Every command
//! but `enrol`, `sync` and `watch` works with no network.
//!
//! `args` is what may be said, `write` what is done to documents, `show` and
//! `sheet` how it looks.

mod args;
mod sheet;
mod show;
mod write;

pub use args::DeviceArgs;
pub(crate) use show::table;

use crate::term::{complain, say, strict};
use args::{Do, Rescue};
use onsite_core::domain::{
    Command, DocRef, Entity, EventKind, Fen, ItemId, Kind, SETTINGS, Settings, StaffId, VisitId, WorkOrderId,
};
use onsite_core::engine::{Client, Engine};
use onsite_core::env::SystemEnv;
use onsite_core::error::{Error, Result};
use onsite_core::messages::{self, Language, t, tf};
use onsite_core::store::blobs::FolderBlobs;
use onsite_core::sync::session::SyncReport;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open device.
struct Phone {
    engine: Arc<Mutex<Engine>>,
    data: PathBuf,
    lang: Language,
    json: bool,
}

/// Runs a command of the terminal client. Exit codes: 0 done, 1 failed.
pub async fn run(args: DeviceArgs) -> ExitCode {
    let (lang, json) = (args.lang, args.json);
    match open(&args) {
        Ok(phone) => match phone.run(args.command).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&e, lang, json),
        },
        Err(e) => fail(&e, lang, json),
    }
}

fn fail(e: &Error, lang: Language, json: bool) -> ExitCode {
    let words = explain(e, lang);
    if json {
        complain(&serde_json::json!({ "error": e.code(), "detail": words }).to_string());
    } else {
        complain(&format!("onsite device: {words} [{}]", e.code()));
    }
    ExitCode::FAILURE
}

/// An error in the person's language.
fn explain(e: &Error, lang: Language) -> String {
    let colon = if lang == Language::ZhCn { ":" } else { ": " };
    let detail = match e {
        Error::Refused(r) => return messages::rejection(lang, r),
        Error::Server { code, detail, .. } => {
            return match messages::find(lang, &format!("error.{code}")) {
                Some(words) => words.to_owned(),
                None => messages::refusal(lang, code, "", detail),
            };
        }
        Error::Invalid { field, detail } => {
            // A detail of ours is a message's key, with what it is about after a blank.
            let (key, about) = detail.split_once(' ').unwrap_or((detail, ""));
            let words = match messages::find(lang, key) {
                Some(_) => tf(lang, key, &[("about", about)]),
                None => detail.clone(),
            };
            format!("{}{colon}{words}", messages::field(lang, field))
        }
        Error::File(e) => e.to_string(),
        Error::NotFound(detail) | Error::UnsentWork(detail) | Error::Damaged(detail) => detail.clone(),
        other => other.to_string(),
    };
    match messages::find(lang, &format!("error.{}", e.code())) {
        Some(_) => tf(lang, &format!("error.{}", e.code()), &[("detail", &detail)]),
        None => detail,
    }
}

fn open(args: &DeviceArgs) -> Result<Phone> {
    named(&args.data, crate::blobs::make_durably(&args.data))?;
    let conn = rusqlite::Connection::open(args.data.join("device.sqlite"))?;
    let blobs = FolderBlobs::open(args.data.join("blobs"))?;
    let engine = Engine::open(conn, Box::new(SystemEnv), Box::new(blobs))?;
    Ok(Phone { engine: Arc::new(Mutex::new(engine)), data: args.data.clone(), lang: args.lang, json: args.json })
}

fn invalid(field: &'static str, detail: impl Into<String>) -> Error {
    Error::Invalid { field, detail: detail.into() }
}

/// Yuan with at most two decimals, as fen.
pub(crate) fn fen(yuan: &str) -> Result<Fen> {
    let bad = || invalid("amount", format!("cli.bad_amount {yuan}"));
    let (negative, digits) = match yuan.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, yuan.trim()),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > 2 || !(whole.to_owned() + part).bytes().all(|b| b.is_ascii_digit()) || whole.is_empty() {
        return Err(bad());
    }
    let whole: i64 = whole.parse().map_err(|_| bad())?;
    let part: i64 = format!("{part:0<2}").parse().map_err(|_| bad())?;
    let fen = whole.checked_mul(100).and_then(|w| w.checked_add(part)).ok_or_else(bad)?;
    Ok(Fen(if negative { -fen } else { fen }))
}

/// A doodle in place of a pen: one loop per character of the name.
pub(crate) fn doodle(name: &str) -> String {
    let count = i32::try_from(name.chars().count().clamp(1, 8)).unwrap_or(1);
    let width = 900 / count;
    let mut strokes = Vec::new();
    for (i, c) in name.chars().take(8).enumerate() {
        let left = 40 + width * i32::try_from(i).unwrap_or(0);
        let points: Vec<String> = (0..24u32)
            .map(|k| {
                let seed = (u32::from(c).wrapping_mul(2_654_435_761) >> 8).wrapping_add(k * 37);
                let x = left + i32::try_from(k).unwrap_or(0) * (width - 30) / 24;
                let y = 200 + i32::try_from(seed % 240).unwrap_or(0) - 120;
                format!("{x},{y}")
            })
            .collect();
        strokes.push(points.join(" "));
    }
    strokes.join(";")
}

/// The media type of a photo by its first bytes.
fn media_type(bytes: &[u8]) -> Result<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Ok("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Ok("image/png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok("image/webp"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Ok("image/heic"),
        _ => Err(invalid("photo", "cli.bad_photo")),
    }
}

impl Phone {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<Client> {
        Client::new(Arc::clone(&self.engine), concat!("onsite-terminal/", env!("CARGO_PKG_VERSION")))
    }

    fn say(&self, key: &str, values: &[(&str, &str)]) -> Result<()> {
        if !self.json {
            say!("{}", tf(self.lang, key, values))?;
        }
        Ok(())
    }

    fn id(&self) -> uuid::Uuid {
        self.engine().new_id()
    }

    fn item(&self) -> ItemId {
        ItemId(self.id())
    }

    /// What a reference names: a place in the last list, an id, a number, or
    /// what a search finds alone.
    fn find(&self, text: &str) -> Result<DocRef> {
        let list = self.data.join("last-list.json");
        if let Ok(n) = text.parse::<usize>() {
            let last: Vec<DocRef> =
                std::fs::read(list).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            if let Some(doc) = n.checked_sub(1).and_then(|i| last.get(i)) {
                return Ok(*doc);
            }
            if n < 1000 {
                let (line, lines) = (n.to_string(), last.len().to_string());
                return Err(Error::NotFound(tf(self.lang, "cli.no_such_line", &[("n", &line), ("lines", &lines)])));
            }
        }
        if let Ok(id) = text.parse::<onsite_core::domain::DocId>() {
            for kind in Kind::ALL {
                let doc = DocRef::new(kind, id);
                if self.engine().show(doc).is_ok() {
                    return Ok(doc);
                }
            }
            return Err(Error::NotFound(format!("{text:?}")));
        }
        let lines = self.engine().search(text, None)?.lines;
        let exact: Vec<_> = lines.iter().filter(|l| l.summary.number == text).collect();
        let mut found = if exact.is_empty() { lines.iter().collect() } else { exact };
        // A job stands for its visits and its customer.
        if found.len() > 1 && found.iter().any(|l| l.summary.doc.kind == Kind::WorkOrder) {
            found.retain(|l| l.summary.doc.kind == Kind::WorkOrder);
        }
        match found.as_slice() {
            [one] => Ok(one.summary.doc),
            [] => Err(Error::NotFound(format!("{text:?}"))),
            many => {
                Err(invalid("item", tf(self.lang, "cli.ambiguous", &[("text", text), ("n", &many.len().to_string())])))
            }
        }
    }

    /// The visit to write into.
    fn visit(&self, text: &str) -> Result<VisitId> {
        let doc = self.find(text)?;
        match doc.kind {
            Kind::Visit => Ok(doc.id.into()),
            Kind::WorkOrder => match self.engine().show(doc)?.entity {
                Entity::WorkOrder(w) => Ok(VisitId::of_dispatch(doc.id.into(), w.round)),
                _ => Err(Error::NotFound(text.into())),
            },
            Kind::Request => {
                let visit = VisitId::of_request(doc.id.into());
                self.engine().show(DocRef::new(Kind::Visit, visit))?;
                Ok(visit)
            }
            _ => Err(invalid("job", t(self.lang, "cli.not_a_job"))),
        }
    }

    /// As [`Phone::visit`], opened if it is the first to be written into it.
    fn opened(&self, text: &str) -> Result<VisitId> {
        let visit = self.visit(text)?;
        let doc = DocRef::new(Kind::Visit, visit);
        if self.engine().show(doc).is_err() {
            let order = WorkOrderId::from(self.find(text)?.id);
            self.engine().execute(&Command::OpenVisit { work_order: order })?;
        }
        Ok(visit)
    }

    fn execute(&self, command: &Command) -> Result<()> {
        let done = self.engine().execute(command)?;
        if self.json {
            return show::json(&done);
        }
        self.say(if done.docs.is_empty() { "cli.nothing_new" } else { "cli.saved" }, &[])
    }

    fn event(&self, job: &str, event: EventKind) -> Result<()> {
        let visit = self.opened(job)?;
        self.execute(&Command::RecordEvent { visit, id: self.item(), event, at: None, position: None, corrects: None })
    }

    fn passphrase() -> Result<String> {
        if let Ok(text) = std::env::var("ONSITE_PASSPHRASE") {
            return Ok(text);
        }
        if !std::io::stdin().is_terminal() {
            return Err(invalid("passphrase", "cli.no_terminal"));
        }
        Ok(rpassword::prompt_password("Passphrase: ")?)
    }

    async fn run(&self, command: Do) -> Result<()> {
        match command {
            Do::Enrol { server, code, name } => {
                self.client()?.enrol(&server, &code, &name).await?;
                let synced = self.client()?.sync_once().await;
                let who = self.engine().identity()?.ok_or(Error::NotEnrolled)?;
                if self.json {
                    return show::json(&who);
                }
                // The names came with the first sync.
                let name = self.name(who.staff);
                self.say("cli.enrolled", &[("company", &who.company), ("code", &who.device_code), ("name", &name)])?;
                self.synced(&synced?)
            }
            Do::Sync => self.synced(&self.client()?.sync_once().await?),
            Do::Watch => self.watch().await,
            Do::Today => {
                let day = self.engine().day();
                let today = self.engine().today(day)?;
                self.today(&today)
            }
            Do::List { kind, status } => {
                let (mut lines, mut after) = (Vec::new(), None);
                loop {
                    let page = self.engine().list(kind, status.as_deref(), after.as_deref())?;
                    lines.extend(page.lines);
                    after = page.next;
                    if after.is_none() || lines.len() >= 1000 {
                        break;
                    }
                }
                self.lines(&lines)
            }
            Do::Search { words } => {
                let lines = self.engine().search(&words.join(" "), None)?.lines;
                self.lines(&lines)
            }
            Do::Show { job } => {
                let doc = self.find(&job)?;
                let detail = self.engine().show(doc)?;
                self.detail(&detail)
            }
            Do::History { job } => {
                let doc = self.find(&job)?;
                let entries = self.engine().history(doc)?;
                self.history(doc.kind, &entries)
            }
            Do::Acknowledge(on) => self.event(&on.job, EventKind::Acknowledged),
            Do::Travel(on) => self.event(&on.job, EventKind::TravelStarted),
            Do::Arrive(on) => self.event(&on.job, EventKind::Arrived),
            Do::Start(on) => self.event(&on.job, EventKind::WorkStarted),
            Do::Pause(on) => self.event(&on.job, EventKind::Paused),
            Do::Resume(on) => self.event(&on.job, EventKind::Resumed),
            Do::End(on) => self.event(&on.job, EventKind::WorkEnded),
            Do::Restored(on) => self.event(&on.job, EventKind::Restored),
            Do::Depart(on) => self.event(&on.job, EventKind::Departed),
            Do::Report { .. }
            | Do::Withdraw { .. }
            | Do::Unplanned { .. }
            | Do::Suggest { .. }
            | Do::Statement { .. }
            | Do::Give { .. } => self.write(command),
            Do::Print { job, to } => self.print(&job, &to),
            Do::Status => {
                let status = self.engine().status()?;
                self.status(&status)
            }
            Do::Ready => {
                let ready = self.engine().ready_to_leave()?;
                self.ready(&ready)
            }
            Do::Clashes => {
                let clashes = self.engine().clashes()?;
                self.clashes(&clashes)
            }
            Do::Choose { job, clash, value } => {
                let doc = self.find(&job)?;
                let clashes = self.engine().show(doc)?.clashes;
                let missing = || Error::NotFound(format!("{clash} {value}"));
                let clash = clash.checked_sub(1).and_then(|i| clashes.get(i)).ok_or_else(missing)?;
                let chosen = value.checked_sub(1).and_then(|i| clash.values.get(i)).ok_or_else(missing)?;
                self.execute(&Command::ChooseClash { doc, path: clash.path.clone(), choice: chosen.change })
            }
            Do::Refused => {
                let refused = self.engine().refused()?;
                self.refused(&refused)
            }
            Do::Resend { id } => {
                let done = self.engine().resend(id)?;
                if self.json { show::json(&done) } else { self.say("cli.saved", &[]) }
            }
            Do::Dismiss { id } => {
                self.engine().dismiss(id)?;
                self.say("cli.saved", &[])
            }
            Do::Rescue(Rescue::Export { file }) => {
                let sealed = self.engine().rescue_export(&Self::passphrase()?)?;
                named(&file, std::fs::write(&file, &sealed))?;
                let size = crate::term::bytes(sealed.len() as u64);
                self.say("cli.rescued", &[("file", &file.to_string_lossy()), ("bytes", &size)])
            }
            Do::Rescue(Rescue::Import { file }) => {
                let bytes = named(&file, std::fs::read(&file))?;
                let took = self.engine().rescue_import(&bytes, &Self::passphrase()?)?;
                if self.json {
                    return show::json(&took);
                }
                self.say("cli.took_over", &[("n", &took.changes.to_string()), ("blobs", &took.blobs.to_string())])?;
                for (doc, why) in &took.failed {
                    say!("  {}: {why}", self.called(*doc))?;
                }
                Ok(())
            }
            Do::SignOut => {
                let status = self.engine().status()?;
                if !status.safe_to_hand_in {
                    let (n, photos) = (status.unsent_changes.to_string(), status.blobs_waiting.to_string());
                    let detail = tf(self.lang, "cli.unsent_work", &[("n", &n), ("photos", &photos)]);
                    return Err(Error::UnsentWork(detail));
                }
                self.engine().sign_out()?;
                self.say("cli.signed_out", &[])
            }
            on_site => self.on_site(on_site),
        }
    }

    fn entity(&self, doc: DocRef) -> Option<Entity> {
        self.engine().show(doc).ok().map(|d| d.entity)
    }

    fn settings(&self) -> Settings {
        match self.entity(DocRef::new(Kind::Settings, SETTINGS)) {
            Some(Entity::Settings(s)) => s,
            _ => Settings::default(),
        }
    }

    fn name(&self, id: StaffId) -> String {
        match self.entity(DocRef::new(Kind::Staff, id)) {
            Some(Entity::Staff(s)) => s.name,
            _ => String::new(),
        }
    }

    /// What people call a document: its kind, number and title.
    fn called(&self, doc: DocRef) -> String {
        let kind = messages::label(self.lang, doc.kind);
        let words = match self.engine().show(doc) {
            Ok(d) => [d.summary.number, d.summary.title].into_iter().filter(|w| !w.is_empty()).collect(),
            Err(_) => Vec::new(),
        };
        std::iter::once(kind.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Writes both forms of a job as HTML.
    fn print(&self, job: &str, to: &std::path::Path) -> Result<()> {
        let doc = self.find(job)?;
        let visit = |id: VisitId| DocRef::new(Kind::Visit, id);
        let pages = match doc.kind {
            Kind::WorkOrder => {
                let visits = self.engine().show(doc)?.visits;
                std::iter::once(doc).chain(visits.into_iter().map(visit)).collect()
            }
            Kind::Visit => match self.entity(doc) {
                Some(Entity::Visit(v)) => {
                    v.work_order.map(|w| DocRef::new(Kind::WorkOrder, w)).into_iter().chain([doc]).collect()
                }
                _ => vec![doc],
            },
            Kind::Request => vec![visit(VisitId::of_request(doc.id.into()))],
            _ => return Err(invalid("job", t(self.lang, "cli.not_a_job"))),
        };
        named(to, std::fs::create_dir_all(to))?;
        let mut written = Vec::new();
        for page in pages {
            let (html, number) = {
                let engine = self.engine();
                match engine.render(page, self.lang) {
                    Ok(html) => (html, engine.show(page)?.summary.number),
                    // A visit nobody has opened yet, or one that is not on this phone.
                    Err(Error::NotFound(_)) => continue,
                    Err(e) => return Err(e),
                }
            };
            let form = if page.kind == Kind::WorkOrder { "dispatch" } else { "record" };
            let file = to.join(format!("{form}-{}.html", safe(&number, page)));
            named(&file, std::fs::write(&file, html))?;
            written.push(file);
        }
        if written.is_empty() {
            return Err(Error::NotFound(t(self.lang, "cli.no_form_yet").into()));
        }
        if self.json {
            return show::json(&written);
        }
        for file in written {
            say!("{}", file.display())?;
        }
        Ok(())
    }

    /// Stays in sync until Ctrl-C, or until nobody reads what it says.
    async fn watch(&self) -> Result<()> {
        let (changed, mut changes) = tokio::sync::mpsc::unbounded_channel();
        self.engine().watch(Box::new(move |docs| {
            // The engine is locked here: what changed is looked up outside.
            let _ = changed.send(docs.to_vec());
        }));
        self.say("cli.watching", &[])?;
        let told = async {
            while let Some(docs) = changes.recv().await {
                for doc in docs {
                    let now = self.engine().now().best();
                    let line = format!("{} {}", self.clock(now), self.called(doc));
                    if strict(format_args!("{line}\n")).is_err() {
                        return;
                    }
                }
            }
        };
        let until = async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = told => {}
            }
        };
        self.client()?.run(until).await;
        Ok(())
    }

    fn synced(&self, report: &SyncReport) -> Result<()> {
        if self.json {
            return show::json(&serde_json::json!({
                "round_trips": report.round_trips, "pushed": report.pushed, "accepted": report.accepted,
                "refused": report.refused, "received": report.received, "left": report.left,
                "uploaded": report.uploaded, "downloaded": report.downloaded, "bytes_up": report.bytes_up,
                "bytes_down": report.bytes_down, "reconciled": report.reconciled, "wiped": report.wiped,
            }));
        }
        let n = |n: u64| n.to_string();
        self.say(
            "cli.synced",
            &[
                ("pushed", &n(report.pushed)),
                ("accepted", &n(report.accepted)),
                ("received", &n(report.received)),
                ("photos", &n(u64::from(report.uploaded))),
            ],
        )?;
        if report.refused > 0 {
            self.say("cli.some_refused", &[("n", &n(report.refused))])?;
        }
        if report.wiped {
            self.say("cli.wiped", &[])?;
        }
        Ok(())
    }
}

/// An error that says which file it is about.
fn named<T>(file: &std::path::Path, done: std::io::Result<T>) -> Result<T> {
    done.map_err(|e| Error::File(std::io::Error::new(e.kind(), format!("{}: {e}", file.display()))))
}

/// A number as part of a file name.
fn safe(number: &str, doc: DocRef) -> String {
    let kept: String = number.chars().filter(|c| c.is_alphanumeric() || *c == '-').take(60).collect();
    if kept.is_empty() { doc.id.to_string() } else { kept }
}

/// A text, or standard input for `-`.
fn read(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut all = String::new();
    std::io::stdin().take(1 << 20).read_to_string(&mut all)?;
    Ok(all)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn yuan_are_read_as_fen() {
        assert_eq!(fen("1200").unwrap(), Fen(120_000));
        assert_eq!(fen("99.5").unwrap(), Fen(9_950));
        assert_eq!(fen("-0.05").unwrap(), Fen(-5));
        for bad in ["", "1.234", "1,2", "abc", "-", "1e3", ".5", "99999999999999999999"] {
            assert_eq!(fen(bad).unwrap_err().code(), "invalid", "{bad}");
        }
    }

    #[test]
    fn a_doodle_is_a_signature() {
        let strokes = doodle("吴厂长");
        assert_eq!(strokes.split(';').count(), 3);
        for point in strokes.split([' ', ';']) {
            let (x, y) = point.split_once(',').unwrap();
            assert!((0..=1000).contains(&x.parse::<i32>().unwrap()) && (0..=400).contains(&y.parse::<i32>().unwrap()));
        }
    }

    #[test]
    fn photos_are_told_by_their_bytes() {
        assert_eq!(media_type(&[0xff, 0xd8, 0xff, 0xe0]).unwrap(), "image/jpeg");
        assert!(media_type(b"<svg>").is_err());
    }
}
