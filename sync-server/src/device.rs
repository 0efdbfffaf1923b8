//! `onsite device`: a terminal client over a real device store. Every command
//! but `enrol`, `sync` and `watch` works with no network.
#![expect(clippy::print_stdout, reason = "a command answers on its standard output")]

mod show;

use clap::{Args, Subcommand};
use onsite_core::domain::stage::Stage;
use onsite_core::domain::{
    Channel, CheckResult, Command, Dissatisfaction, DocRef, Entity, EventKind, ExpenseCategory, Fen, IncompleteReason,
    ItemId, Kind, Outcome, PayMethod, Request, RequestId, Satisfaction, StatementId, SuggestionId, Visit, VisitId,
    WorkOrder, WorkOrderId,
};
use onsite_core::engine::{Client, Engine, Job};
use onsite_core::env::SystemEnv;
use onsite_core::error::{Error, Result};
use onsite_core::forms;
use onsite_core::messages::{self, Language, t, tf};
use onsite_core::store::blobs::FolderBlobs;
use onsite_core::sync::session::SyncReport;
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The technician's phone in a terminal.
#[derive(Args, Debug)]
pub struct DeviceArgs {
    /// The device's folder.
    #[arg(long, global = true, env = "ONSITE_DEVICE", default_value = "onsite-device")]
    data: PathBuf,
    /// Language: zh-CN or en.
    #[arg(long, global = true, env = "ONSITE_LANG", default_value = "zh-CN")]
    lang: Language,
    /// Answers in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Do,
}

#[derive(Subcommand, Debug)]
enum Do {
    /// 绑定: enrols this device by a one-time code.
    Enrol {
        server: String,
        code: String,
        #[arg(long, default_value = "terminal")]
        name: String,
    },
    /// 同步: sends what waits and fetches what is new.
    Sync,
    /// Stays in sync until interrupted, and says what changes.
    Watch,
    /// 今日工作
    Today,
    /// 列表: documents of a kind (work_order, customer, visit, request, suggestion, complaint …).
    List {
        #[arg(default_value = "work_order")]
        kind: String,
        #[arg(long)]
        status: Option<String>,
    },
    /// 查看
    Show { job: String },
    /// 历史: who changed what, when.
    History { job: String },
    /// 搜索: finds single Chinese characters too.
    Search {
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// 接单
    Acknowledge { job: String },
    /// 出发
    Travel { job: String },
    /// 到达现场
    Arrive { job: String },
    /// 开始作业
    Start { job: String },
    /// 暂停
    Pause { job: String },
    /// 继续
    Resume { job: String },
    /// 作业结束
    End { job: String },
    /// 设备恢复运行
    Restored { job: String },
    /// 离开现场
    Depart { job: String },
    /// 货物检查: one line of the checklist (model, quantity, label, packaging).
    Inspect {
        job: String,
        check: String,
        result: CheckResult,
        #[arg(default_value = "")]
        note: String,
    },
    /// 记事
    Note { job: String, text: String },
    /// 与客户沟通
    Contact { job: String, channel: Channel, with: String, summary: String },
    /// 零部件: parts used; a required item by its name or part number.
    Part {
        job: String,
        name: String,
        #[arg(allow_negative_numbers = true)]
        used: i64,
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        taken_back: i64,
        #[arg(long, default_value = "")]
        part_no: String,
        #[arg(long, default_value = "个")]
        unit: String,
    },
    /// 照片
    Photo {
        job: String,
        file: PathBuf,
        #[arg(default_value = "")]
        caption: String,
        #[arg(long)]
        check: Option<String>,
    },
    /// 填写: service, diagnosis, resolution, remarks or comment; `-` reads standard input.
    Text { job: String, field: String, text: String },
    /// 处理结果: completed or incomplete.
    Result {
        job: String,
        outcome: Outcome,
        #[arg(long)]
        reason: Option<IncompleteReason>,
        #[arg(long, default_value = "")]
        remarks: String,
    },
    /// 验收
    Accept {
        job: String,
        #[arg(long)]
        no: bool,
        #[arg(default_value = "")]
        remark: String,
    },
    /// 满意度: very_satisfied, satisfied, neutral, dissatisfied.
    Rate {
        job: String,
        satisfaction: Satisfaction,
        #[arg(long)]
        reason: Vec<Dissatisfaction>,
        #[arg(default_value = "")]
        comment: String,
    },
    /// 客户签字: strokes from a file, or a doodle in their place.
    Sign {
        job: String,
        name: String,
        #[arg(long)]
        strokes: Option<PathBuf>,
    },
    /// 客户未签字
    RefuseSignature { job: String, reason: String },
    /// 收款, in yuan.
    Receipt {
        job: String,
        #[arg(allow_negative_numbers = true)]
        yuan: String,
        #[arg(long, default_value = "cash")]
        method: PayMethod,
        #[arg(default_value = "")]
        reference: String,
    },
    /// 费用, in yuan.
    Expense {
        job: String,
        #[arg(allow_negative_numbers = true)]
        yuan: String,
        category: ExpenseCategory,
        #[arg(default_value = "")]
        note: String,
    },
    /// 报修: writes a repair request.
    Report {
        customer: String,
        problem: String,
        #[arg(long, default_value = "")]
        contact: String,
        #[arg(long, default_value = "")]
        phone: String,
        #[arg(long, default_value = "")]
        address: String,
    },
    /// Opens a visit for one's own request, before the office has dispatched.
    Unplanned { request: String },
    /// 改进建议
    Suggest {
        title: String,
        text: String,
        #[arg(long)]
        job: Option<String>,
    },
    /// 说明: replies to a complaint, or to a proposal by its key.
    Statement {
        text: String,
        #[arg(long)]
        complaint: Option<String>,
        #[arg(long)]
        proposal: Option<String>,
    },
    /// 打印: writes both forms as HTML.
    Print {
        job: String,
        #[arg(long, default_value = ".")]
        to: PathBuf,
    },
    /// 状态: what waits; whether this phone may be handed in.
    Status,
    /// 出发前检查: whether everything for the day is here.
    Ready,
    /// 冲突: values set by several people at once.
    Clashes,
    /// Chooses the n-th value of a clash.
    Choose { job: String, path: String, n: usize },
    /// 被退回的修改
    Refused,
    /// Sends a refused edit again.
    Resend { id: i64 },
    /// Lets a refused edit rest.
    Dismiss { id: i64 },
    /// 救援文件: exports or imports unsent work.
    #[command(subcommand)]
    Rescue(Rescue),
    /// 退出: refused while anything is unsent.
    SignOut,
}

#[derive(Subcommand, Debug)]
enum Rescue {
    /// Writes everything unsent to a sealed file (passphrase from ONSITE_PASSPHRASE, or asked).
    Export { file: PathBuf },
    /// Takes a sealed file's edits over as one's own.
    Import { file: PathBuf },
}

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
        eprintln!("{}", serde_json::json!({ "error": e.code(), "detail": words }));
    } else {
        eprintln!("onsite device: {words} [{}]", e.code());
    }
    ExitCode::FAILURE
}

/// An error in the person's language.
fn explain(e: &Error, lang: Language) -> String {
    match e {
        Error::Refused(r) => messages::rejection(lang, r),
        Error::Server { code, detail, .. } => messages::refusal(lang, code, "", detail),
        other => match messages::find(lang, &format!("error.{}", other.code())) {
            Some(_) => tf(lang, &format!("error.{}", other.code()), &[("detail", &other.to_string())]),
            None => other.to_string(),
        },
    }
}

fn open(args: &DeviceArgs) -> Result<Phone> {
    std::fs::create_dir_all(&args.data)?;
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
    let bad = || invalid("amount", format!("{yuan:?} is not an amount in yuan such as 1200 or 99.50"));
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
        _ => Err(invalid("photo", "is neither JPEG, PNG, WebP nor HEIC")),
    }
}

impl Phone {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<Client> {
        Client::new(Arc::clone(&self.engine), concat!("onsite-terminal/", env!("CARGO_PKG_VERSION")))
    }

    fn say(&self, key: &str, values: &[(&str, &str)]) {
        if !self.json {
            println!("{}", tf(self.lang, key, values));
        }
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
        }
        if let Ok(id) = text.parse::<onsite_core::domain::DocId>() {
            for kind in Kind::ALL {
                let doc = DocRef::new(kind, id);
                if self.engine().show(doc).is_ok() {
                    return Ok(doc);
                }
            }
            return Err(Error::NotFound(text.into()));
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
            [] => Err(Error::NotFound(text.into())),
            many => {
                Err(invalid("job", tf(self.lang, "cli.ambiguous", &[("text", text), ("n", &many.len().to_string())])))
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
            println!("{}", serde_json::json!({ "docs": done.docs }));
        } else {
            self.say(if done.docs.is_empty() { "cli.nothing_new" } else { "cli.saved" }, &[]);
        }
        Ok(())
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
            return Err(invalid("passphrase", "no terminal to ask at: set ONSITE_PASSPHRASE"));
        }
        Ok(rpassword::prompt_password("Passphrase: ")?)
    }

    async fn run(&self, command: Do) -> Result<()> {
        match command {
            Do::Enrol { server, code, name } => {
                self.client()?.enrol(&server, &code, &name).await?;
                let who = self.engine().identity()?.ok_or(Error::NotEnrolled)?;
                if self.json {
                    return show::json(&who);
                }
                self.say("cli.enrolled", &[("company", &who.company), ("code", &who.device_code)]);
                self.synced(&self.client()?.sync_once().await?)
            }
            Do::Sync => self.synced(&self.client()?.sync_once().await?),
            Do::Watch => self.watch().await,
            Do::Today => {
                let day = self.engine().day();
                let today = self.engine().today(day)?;
                self.today(&today)
            }
            Do::List { kind, status } => {
                let kind = Kind::ALL.into_iter().find(|k| k.name() == kind);
                let kind = kind.ok_or_else(|| {
                    invalid("kind", Kind::ALL.iter().map(|k| k.name()).collect::<Vec<_>>().join(", "))
                })?;
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
                self.history(&entries)
            }
            Do::Acknowledge { job } => self.event(&job, EventKind::Acknowledged),
            Do::Travel { job } => self.event(&job, EventKind::TravelStarted),
            Do::Arrive { job } => self.event(&job, EventKind::Arrived),
            Do::Start { job } => self.event(&job, EventKind::WorkStarted),
            Do::Pause { job } => self.event(&job, EventKind::Paused),
            Do::Resume { job } => self.event(&job, EventKind::Resumed),
            Do::End { job } => self.event(&job, EventKind::WorkEnded),
            Do::Restored { job } => self.event(&job, EventKind::Restored),
            Do::Depart { job } => self.event(&job, EventKind::Departed),
            Do::Report { .. } | Do::Unplanned { .. } | Do::Suggest { .. } | Do::Statement { .. } => self.write(command),
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
            Do::Choose { job, path, n } => {
                let doc = self.find(&job)?;
                let clashes = self.engine().show(doc)?.clashes;
                let clash = clashes.iter().find(|c| c.path == path).ok_or_else(|| Error::NotFound(path.clone()))?;
                let value = n.checked_sub(1).and_then(|i| clash.values.get(i));
                let choice = value.ok_or_else(|| Error::NotFound(format!("{path} {n}")))?.change;
                self.execute(&Command::ChooseClash { doc, path, choice })
            }
            Do::Refused => {
                let refused = self.engine().refused()?;
                self.refused(&refused)
            }
            Do::Resend { id } => {
                self.engine().resend(id)?;
                self.say("cli.saved", &[]);
                Ok(())
            }
            Do::Dismiss { id } => {
                self.engine().dismiss(id)?;
                self.say("cli.saved", &[]);
                Ok(())
            }
            Do::Rescue(Rescue::Export { file }) => {
                let sealed = self.engine().rescue_export(&Self::passphrase()?)?;
                std::fs::write(&file, &sealed)?;
                self.say("cli.rescued", &[("file", &file.to_string_lossy()), ("bytes", &sealed.len().to_string())]);
                Ok(())
            }
            Do::Rescue(Rescue::Import { file }) => {
                let bytes = std::fs::read(&file)?;
                let took = self.engine().rescue_import(&bytes, &Self::passphrase()?)?;
                if self.json {
                    return show::json(&took);
                }
                self.say("cli.took_over", &[("n", &took.changes.to_string()), ("blobs", &took.blobs.to_string())]);
                for (doc, why) in &took.failed {
                    println!("  {} {}: {why}", messages::label(self.lang, doc.kind), doc.id);
                }
                Ok(())
            }
            Do::SignOut => {
                self.engine().sign_out()?;
                self.say("cli.signed_out", &[]);
                Ok(())
            }
            on_site => self.on_site(on_site),
        }
    }

    /// Commands that write into a visit.
    fn on_site(&self, command: Do) -> Result<()> {
        let command = match command {
            Do::Inspect { job, check, result, note } => {
                Command::Inspect { visit: self.opened(&job)?, check, result, note }
            }
            Do::Note { job, text } => Command::AddNote { visit: self.opened(&job)?, id: self.item(), text },
            Do::Contact { job, channel, with, summary } => {
                Command::LogContact { visit: self.opened(&job)?, id: self.item(), channel, with, summary, at: None }
            }
            Do::Part { job, name, used, taken_back, part_no, unit } => {
                let visit = self.opened(&job)?;
                let (item, part_no, name, unit) = self.part(visit, name, part_no, unit)?;
                Command::UseItem { visit, item, part_no, name, unit, used, taken_back }
            }
            Do::Photo { job, file, caption, check } => {
                let bytes = std::fs::read(&file)?;
                let media = media_type(&bytes)?;
                let doc = match self.find(&job)? {
                    request if request.kind == Kind::Request => request,
                    _ => DocRef::new(Kind::Visit, self.opened(&job)?),
                };
                let stored = self.engine().add_blob(&bytes, media)?;
                Command::AddPhoto {
                    doc,
                    id: self.item(),
                    blob: stored.blob,
                    size: stored.size,
                    media_type: media.into(),
                    caption,
                    check,
                }
            }
            Do::Text { job, field, text } => {
                let field = match field.as_str() {
                    "service" => "service_description",
                    "comment" => "customer_comment",
                    field @ ("diagnosis" | "resolution" | "remarks") => field,
                    _ => return Err(invalid("field", "service, diagnosis, resolution, remarks, comment")),
                };
                let doc = DocRef::new(Kind::Visit, self.opened(&job)?);
                let seen = self.engine().show(doc)?.heads;
                Command::EditText { doc, field: field.into(), text: read(text)?, seen }
            }
            Do::Result { job, outcome, reason, remarks } => {
                Command::SetOutcome { visit: self.opened(&job)?, outcome, incomplete_reason: reason, remarks }
            }
            Do::Accept { job, no, remark } => {
                self.say("form.visit.acceptance", &[]);
                Command::Accept { visit: self.opened(&job)?, accepted: !no, remark }
            }
            Do::Rate { job, satisfaction, reason, comment } => {
                let reasons: BTreeSet<_> = reason.into_iter().collect();
                Command::Rate { visit: self.opened(&job)?, satisfaction, reasons, comment }
            }
            Do::Sign { job, name, strokes } => {
                let visit = self.visit(&job)?;
                let strokes = match strokes {
                    Some(file) => std::fs::read_to_string(file)?.trim().to_owned(),
                    None => doodle(&name),
                };
                let shown = self.engine().to_sign(visit)?;
                Command::Sign {
                    visit,
                    name,
                    strokes: onsite_core::domain::Strokes(strokes),
                    heads: shown.heads,
                    content: shown.content,
                }
            }
            Do::RefuseSignature { job, reason } => Command::RefuseSignature { visit: self.visit(&job)?, reason },
            Do::Receipt { job, yuan, method, reference } => {
                let amount = fen(&yuan)?;
                Command::TakePayment { visit: self.opened(&job)?, id: self.item(), amount, method, reference }
            }
            Do::Expense { job, yuan, category, note } => {
                let amount = fen(&yuan)?;
                Command::Spend { visit: self.opened(&job)?, id: self.item(), amount, category, note }
            }
            other => return Err(invalid("command", format!("{other:?}"))),
        };
        self.execute(&command)
    }

    /// Commands that write documents of one's own.
    fn write(&self, command: Do) -> Result<()> {
        let command = match command {
            Do::Report { customer, problem, contact, phone, address } => {
                let known = self.find(&customer).ok().filter(|d| d.kind == Kind::Customer);
                let name = match known.map(|d| self.engine().show(d)).transpose()?.map(|d| d.entity) {
                    Some(Entity::Customer(c)) => c.name,
                    _ => customer,
                };
                Command::ReportRepair {
                    id: RequestId(self.id()),
                    customer: known.map(|d| d.id.into()),
                    customer_name: name,
                    contact_name: contact,
                    contact_phone: phone,
                    address,
                    equipment: None,
                    problem,
                    reported: None,
                }
            }
            Do::Unplanned { request } => {
                let doc = self.find(&request)?;
                if doc.kind != Kind::Request {
                    return Err(invalid("request", t(self.lang, "cli.not_a_request")));
                }
                Command::OpenUnplannedVisit { request: doc.id.into() }
            }
            Do::Suggest { title, text, job } => {
                let job = job.map(|j| self.find(&j)).transpose()?.filter(|d| d.kind == Kind::WorkOrder);
                let (id, text) = (SuggestionId(self.id()), read(text)?);
                Command::Suggest { id, title, text, work_order: job.map(|d| d.id.into()) }
            }
            Do::Statement { text, complaint, proposal } => {
                let complaint = complaint.map(|c| self.find(&c)).transpose()?;
                let (id, text) = (StatementId(self.id()), read(text)?);
                Command::State { id, complaint: complaint.map(|d| d.id.into()), proposal, text }
            }
            other => return Err(invalid("command", format!("{other:?}"))),
        };
        self.execute(&command)
    }

    /// The required item a name or part number means, else a new one.
    fn part(
        &self,
        visit: VisitId,
        name: String,
        part_no: String,
        unit: String,
    ) -> Result<(ItemId, String, String, String)> {
        let means = |no: &str, n: &str| n == name || (!no.is_empty() && (no == part_no || no == name));
        if let Ok(detail) = self.engine().show(DocRef::new(Kind::Visit, visit))
            && let Entity::Visit(v) = detail.entity
        {
            if let Some((id, i)) = v.items.iter().find(|(_, i)| means(&i.part_no, &i.name)) {
                return Ok((*id, i.part_no.clone(), i.name.clone(), i.unit.clone()));
            }
            let order = v.work_order.map(|w| self.order(w)).transpose()?.flatten();
            let mut required = order.iter().flat_map(|o| o.dispatch.items.iter());
            if let Some((id, i)) = required.find(|(_, i)| !i.removed && means(&i.part_no, &i.name)) {
                return Ok((*id, i.part_no.clone(), i.name.clone(), i.unit.clone()));
            }
        }
        Ok((self.item(), part_no, name, unit))
    }

    fn order(&self, id: WorkOrderId) -> Result<Option<WorkOrder>> {
        Ok(match self.engine().show(DocRef::new(Kind::WorkOrder, id)) {
            Ok(detail) => match detail.entity {
                Entity::WorkOrder(w) => Some(w),
                _ => None,
            },
            Err(Error::NotFound(_)) => None,
            Err(e) => return Err(e),
        })
    }

    fn entity(&self, doc: DocRef) -> Option<Entity> {
        self.engine().show(doc).ok().map(|d| d.entity)
    }

    fn name(&self, id: onsite_core::domain::StaffId) -> String {
        match self.entity(DocRef::new(Kind::Staff, id)) {
            Some(Entity::Staff(s)) => s.name,
            _ => String::new(),
        }
    }

    /// Writes both forms of a job as HTML.
    fn print(&self, job: &str, to: &std::path::Path) -> Result<()> {
        let doc = self.find(job)?;
        let settings = match self.entity(DocRef::new(Kind::Settings, onsite_core::domain::SETTINGS)) {
            Some(Entity::Settings(s)) => s,
            _ => onsite_core::domain::Settings::default(),
        };
        let visit_of = |id: VisitId| match self.entity(DocRef::new(Kind::Visit, id)) {
            Some(Entity::Visit(v)) => Some(v),
            _ => None,
        };
        let order_id: Option<WorkOrderId> = match doc.kind {
            Kind::WorkOrder => Some(doc.id.into()),
            Kind::Visit => visit_of(doc.id.into()).and_then(|v: Visit| v.work_order),
            Kind::Request => None,
            _ => return Err(invalid("job", t(self.lang, "cli.not_a_job"))),
        };
        let order = order_id.map(|id| self.order(id)).transpose()?.flatten();
        let visits: Vec<(VisitId, Visit)> = match order_id {
            Some(id) => {
                let ids = self.engine().show(DocRef::new(Kind::WorkOrder, id))?.visits;
                ids.into_iter().filter_map(|v| Some((v, visit_of(v)?))).collect()
            }
            None => {
                let id = if doc.kind == Kind::Request { VisitId::of_request(doc.id.into()) } else { doc.id.into() };
                visit_of(id).map(|v| (id, v)).into_iter().collect()
            }
        };
        let names = |id| self.name(id);
        std::fs::create_dir_all(to)?;
        let mut written = Vec::new();
        if let Some(order) = &order {
            let data = forms::dispatch_data(order, &visits, &names, &settings);
            let file = to.join(format!("dispatch-{}.html", safe(&data.number, doc)));
            std::fs::write(&file, forms::render_dispatch(&data, self.lang))?;
            written.push(file);
        }
        for (id, visit) in &visits {
            let request: Option<Request> =
                visit.request.and_then(|r| match self.entity(DocRef::new(Kind::Request, r)) {
                    Some(Entity::Request(r)) => Some(r),
                    _ => None,
                });
            let customer = order.as_ref().and_then(|o| o.customer).or(request.as_ref().and_then(|r| r.customer));
            let customer = customer.and_then(|c| match self.entity(DocRef::new(Kind::Customer, c)) {
                Some(Entity::Customer(c)) => Some(c),
                _ => None,
            });
            let data =
                forms::visit_data(*id, visit, order.as_ref(), request.as_ref(), customer.as_ref(), &names, &settings);
            let file = to.join(format!("record-{}.html", safe(&data.record_number, DocRef::new(Kind::Visit, *id))));
            std::fs::write(&file, forms::render_visit(&data, self.lang))?;
            written.push(file);
        }
        if written.is_empty() {
            return Err(Error::NotFound(job.into()));
        }
        if self.json {
            return show::json(&written);
        }
        for file in written {
            println!("{}", file.display());
        }
        Ok(())
    }

    async fn watch(&self) -> Result<()> {
        let (lang, engine) = (self.lang, Arc::downgrade(&self.engine));
        let _ = engine;
        self.engine().watch(Box::new(move |docs| {
            for doc in docs {
                println!("{} {}", messages::label(lang, doc.kind), doc.id);
            }
        }));
        self.say("cli.watching", &[]);
        self.client()?
            .run(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await;
        Ok(())
    }

    fn synced(&self, report: &SyncReport) -> Result<()> {
        if self.json {
            println!(
                "{}",
                serde_json::json!({
                    "round_trips": report.round_trips, "pushed": report.pushed, "accepted": report.accepted,
                    "refused": report.refused, "received": report.received, "left": report.left,
                    "uploaded": report.uploaded, "downloaded": report.downloaded, "bytes_up": report.bytes_up,
                    "bytes_down": report.bytes_down, "reconciled": report.reconciled, "wiped": report.wiped,
                })
            );
            return Ok(());
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
        );
        if report.refused > 0 {
            self.say("cli.some_refused", &[("n", &n(report.refused))]);
        }
        if report.wiped {
            self.say("cli.wiped", &[]);
        }
        Ok(())
    }
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

fn job_stage(lang: Language, job: &Job) -> &'static str {
    let stage: Stage = job.stage;
    messages::label(lang, stage)
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
