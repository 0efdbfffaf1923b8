//! `onsite demo`: a service company with a year behind it, and six simulated
//! technicians who are real engines on their own files, over real HTTP.
//!
//! What the company is comes from a seed; only the live days use the clock.

mod past;
mod picture;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::Query;
use crate::term::say;
use crate::{Config, auth};
use onsite_core::domain::stage::{self, Contradiction};
use onsite_core::domain::{
    Command, DocRef, Entity, EventKind, Fen, ItemId, Kind, Outcome, PayMethod, Role, Satisfaction, StaffId, VisitId,
    WorkOrderId, Zone,
};
use onsite_core::engine::{Client, Engine};
use onsite_core::env::Env;
use onsite_core::messages::{self, Language, Words, tf};
use onsite_core::store::blobs::FolderBlobs;
use past::{COMPANY, DemoEnv, FAULTS, Office, PASSWORD, PEOPLE, ROUND, Site, TECHNICIANS};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who loses their job to somebody else while working on it, and whose is cancelled.
const REASSIGNED: usize = 2;
const CANCELLED: usize = 3;

/// What the demo is to do.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Port; 8080, or a free one with --once.
    #[arg(long)]
    port: Option<u16>,
    /// Folder for the server's data and the phones; must be new or empty.
    #[arg(long, default_value = "onsite-demo")]
    dir: PathBuf,
    /// Language of what it prints: zh-CN or en.
    #[arg(long, env = "ONSITE_LANG", default_value = "zh-CN")]
    lang: Language,
    /// Names, places, who and what come from this.
    #[arg(long, default_value_t = 20_261)]
    seed: u64,
    /// Plays one day, checks that the office sees all of it, and ends.
    #[arg(long)]
    once: bool,
}

/// A simulated phone.
struct Phone {
    name: &'static str,
    engine: Arc<Mutex<Engine>>,
    client: Client,
}

impl Phone {
    fn with<T>(&self, f: impl FnOnce(&mut Engine) -> onsite_core::Result<T>) -> Result<T> {
        f(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Error::Core)
    }

    fn execute(&self, command: &Command) -> Result<()> {
        self.with(|e| e.execute(command).map(|_| ()))
    }

    fn item(&self) -> Result<ItemId> {
        Ok(ItemId(self.with(|e| Ok(e.new_id()))?))
    }

    fn happen(&self, visit: VisitId, events: &[EventKind]) -> Result<()> {
        for event in events {
            let id = self.item()?;
            self.execute(&Command::RecordEvent { visit, id, event: *event, at: None, position: None, corrects: None })?;
        }
        Ok(())
    }

    /// Sets out and arrives, with no network.
    fn arrive(&self, job: &Job) -> Result<()> {
        self.execute(&Command::OpenVisit { work_order: job.order })?;
        self.happen(
            job.visit,
            &[EventKind::Acknowledged, EventKind::TravelStarted, EventKind::Arrived, EventKind::WorkStarted],
        )
    }

    /// Works, with no network: texts, a photo, money, the result.
    fn work(&self, job: &Job, n: usize) -> Result<()> {
        let (_, found, done, _) = FAULTS[job.fault];
        let doc = DocRef::new(Kind::Visit, job.visit);
        for (field, text) in [("diagnosis", found), ("resolution", done)] {
            self.execute(&Command::EditText { doc, field: field.into(), text: text.into(), seen: vec![] })?;
        }
        let picture = picture::png(n);
        let stored = self.with(|e| e.add_blob(&picture, "image/png"))?;
        let id = self.item()?;
        self.execute(&Command::AddPhoto {
            doc,
            id,
            blob: stored.blob,
            size: stored.size,
            media_type: "image/png".into(),
            caption: "更换后的零件".into(),
            check: None,
        })?;
        let id = self.item()?;
        let reference = format!("SJ-{:04}", 2000 + n);
        let pay = Command::TakePayment { visit: job.visit, id, amount: Fen(120_000), method: PayMethod::Qr, reference };
        self.execute(&pay)?;
        self.happen(job.visit, &[EventKind::WorkEnded])?;
        for command in past::result(job.visit, Satisfaction::VerySatisfied) {
            self.execute(&command)?;
        }
        Ok(())
    }

    fn sign(&self, job: &Job) -> Result<()> {
        let shown = self.with(|e| e.to_sign(job.visit))?;
        self.execute(&past::sign(job.visit, &job.site.contact, shown.heads, shown.content))
    }
}

/// A job of the live day.
struct Job {
    order: WorkOrderId,
    visit: VisitId,
    site: Site,
    fault: usize,
    number: String,
}

/// What the demo says, and at which pace it goes on.
struct Teller {
    lang: Language,
    pace: Duration,
}

impl Teller {
    fn say(&self, key: &str, values: &[(&str, &str)]) -> Result<()> {
        let clock = Zone { minutes: 480 }.clock(crate::SystemEnv.now());
        Ok(say!("{clock}  {}", tf(self.lang, key, values))?)
    }

    fn comma(&self) -> &'static str {
        if self.lang == Language::ZhCn { "、" } else { ", " }
    }

    /// So that a person can follow, and see pages change.
    async fn breathe(&self) {
        tokio::time::sleep(self.pace).await;
    }
}

/// Runs the demo. With `--once` it ends after a day that the office has seen.
///
/// # Errors
/// Where something is not as it should be.
pub async fn run(args: DemoArgs) -> Result<()> {
    if args.dir.exists() && std::fs::read_dir(&args.dir)?.next().is_some() {
        let detail = format!("{} is not empty: remove it, or name another with --dir", args.dir.display());
        return Err(Error::Conflict { code: "not_empty", detail });
    }
    let port = args.port.unwrap_or(if args.once { 0 } else { 8080 });
    let mut config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], port)),
        data: args.dir.join("server"),
        ..Config::default()
    };
    // The page is plain HTTP on this machine: browsers would not send a `Secure` cookie back.
    config.auth.insecure_cookies = true;
    // Known before the year is written: a port in use ends the demo at once.
    drop(std::net::TcpListener::bind(config.listen).map_err(|e| Error::listen(config.listen, e))?);
    std::fs::create_dir_all(&config.data)?;
    let env = Arc::new(DemoEnv::default());
    let storage = crate::open_storage(&config.database_path())?;
    let gate = crate::gate::Gate::workers(&config.gate)?;
    let ledger = Ledger::new(storage, Arc::clone(&env) as Arc<dyn Env>).with_gate(gate);
    let lang = args.lang;
    say!("{}", tf(lang, "demo.preparing", &[("company", COMPANY)]))?;
    let begin = std::time::Instant::now();
    let mut office = past::company(ledger.clone(), env, args.seed, crate::SystemEnv.now()).await?;
    past::logins(&office).await?;
    let server = crate::serve_with(config, ledger).await?;
    let url = format!("http://{}", server.addr);
    introduce(&office, &args, &url, begin.elapsed()).await?;
    let tell = Teller { lang, pace: if args.once { Duration::ZERO } else { Duration::from_secs(4) } };
    let played = tokio::select! {
        played = play(&mut office, &args, &tell, &url) => played,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    server.shutdown().await?;
    played?;
    say!("{}", tf(lang, "demo.ended", &[("dir", &args.dir.display().to_string())]))?;
    Ok(())
}

/// The address, the logins, what there is to see.
async fn introduce(office: &Office, args: &DemoArgs, url: &str, took: Duration) -> Result<()> {
    let lang = args.lang;
    let count = async |kind| -> Result<String> {
        let counts = office.ledger.storage().counts(office.tenant, kind).await?;
        Ok(counts.iter().map(|(_, n)| *n as usize).sum::<usize>().to_string())
    };
    let (customers, orders) = (count(Kind::Customer).await?, count(Kind::WorkOrder).await?);
    let (complaints, calls) = (count(Kind::Complaint).await?, count(Kind::FollowUp).await?);
    let seconds = format!("{:.1}", took.as_secs_f64());
    let values = [
        ("customers", customers.as_str()),
        ("orders", &orders),
        ("complaints", &complaints),
        ("calls", &calls),
        ("seconds", &seconds),
    ];
    say!("{}\n", tf(lang, "demo.ready", &values))?;
    say!("  {}", tf(lang, "demo.address", &[("url", url)]))?;
    say!("  {}\n", tf(lang, "demo.password", &[("password", PASSWORD)]))?;
    let rows: Vec<Vec<String>> = PEOPLE
        .iter()
        .map(|(login, name, role)| {
            vec![format!("  {login}"), (*name).to_owned(), messages::label(lang, *role).to_owned()]
        })
        .collect();
    let heads = ["demo.login", "cli.person", "field.roles"].map(|key| messages::t(lang, key).to_owned());
    let heads = [format!("  {}", heads[0]), heads[1].clone(), heads[2].clone()];
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    crate::term::out(format_args!("{}\n", crate::device::table(&heads, &rows)))?;
    let comma = if lang == Language::ZhCn { "、" } else { ", " };
    say!(
        "  {}",
        tf(lang, "demo.phones", &[("names", &TECHNICIANS.join(comma)), ("dir", &args.dir.display().to_string())])
    )?;
    if !args.once {
        say!("  {}", messages::t(lang, "demo.ctrl_c"))?;
    }
    Ok(say!("")?)
}

async fn play(office: &mut Office, args: &DemoArgs, tell: &Teller, url: &str) -> Result<()> {
    let mut phones = Vec::new();
    for (i, name) in TECHNICIANS.iter().enumerate() {
        let folder = args.dir.join(format!("phone-{}", i + 1));
        std::fs::create_dir_all(&folder)?;
        let conn = rusqlite::Connection::open(folder.join("device.sqlite")).map_err(onsite_core::Error::from);
        let blobs = FolderBlobs::open(folder.join("blobs")).map_err(Error::Core)?;
        let engine = Engine::open(conn.map_err(Error::Core)?, Box::new(onsite_core::env::SystemEnv), Box::new(blobs));
        let engine = Arc::new(Mutex::new(engine.map_err(Error::Core)?));
        let client = Client::new(Arc::clone(&engine), "onsite-demo").map_err(Error::Core)?;
        let code = auth::device_code(
            &office.ledger,
            office.tenant,
            StaffId(uuid::Uuid::nil()),
            office.technicians[i],
            url,
            600,
        )
        .await?;
        client.enrol(url, &code.code, name).await.map_err(Error::Core)?;
        phones.push(Phone { name, engine, client });
    }
    for day in 0.. {
        let jobs = live_day(office, &phones, tell, day).await?;
        check(office, &phones, &jobs).await?;
        let n = jobs.len().to_string();
        tell.say("demo.all_there", &[("n", &n)])?;
        if args.once {
            return Ok(());
        }
        tell.say("demo.look", &[("url", url)])?;
        tokio::time::sleep(Duration::from_secs(45)).await;
        settle(office, &phones, tell, &jobs).await?;
    }
    Ok(())
}

/// Everybody fetches a job, works it without a network, and comes back to an office that changed its mind.
async fn live_day(office: &mut Office, phones: &[Phone], tell: &Teller, day: usize) -> Result<Vec<Job>> {
    tell.say("demo.day", &[("n", &(day + 1).to_string())])?;
    let mut jobs = Vec::new();
    for i in 0..phones.len() {
        let site = office.sites[(day * 6 + i) % office.sites.len()].clone();
        let fault = office.dice.below(FAULTS.len());
        let mut who = vec![office.technicians[i]];
        // The first job is shared with the second technician.
        if i == 0 {
            who.push(office.technicians[1]);
        }
        let order = office.dispatch(&site, fault, &who).await?;
        let number = office.view(order).await?.summary.number;
        jobs.push(Job { order, visit: VisitId::of_dispatch(order, ROUND), site, fault, number });
    }
    for phone in phones {
        sync(phone).await?;
    }
    tell.say("demo.dispatched", &[("n", &jobs.len().to_string())])?;
    tell.breathe().await;
    tell.say("demo.offline", &[("names", &TECHNICIANS.join(tell.comma()))])?;
    for (phone, job) in phones.iter().zip(&jobs) {
        phone.arrive(job)?;
        tell.say(
            "demo.arrives",
            &[("name", phone.name), ("customer", &job.site.name), ("fault", FAULTS[job.fault].0)],
        )?;
        tell.breathe().await;
    }
    // Meanwhile at the office, which knows nothing of all this.
    let (reassigned, cancelled) = (&jobs[REASSIGNED], &jobs[CANCELLED]);
    let to = office.technicians[5];
    let reason = "就近改派".to_owned();
    let assign = Command::Assign { id: reassigned.order, technicians: vec![to], reason };
    office.office(Role::ServiceManager, &[assign]).await?;
    tell.say(
        "demo.reassigns",
        &[("number", &reassigned.number), ("name", phones[REASSIGNED].name), ("other", phones[5].name)],
    )?;
    let cancel = Command::CancelWorkOrder { id: cancelled.order, reason: "客户来电:不修了".into() };
    office.office(Role::ServiceManager, &[cancel]).await?;
    tell.say("demo.cancels", &[("number", &cancelled.number), ("name", phones[CANCELLED].name)])?;
    tell.breathe().await;
    for (i, (phone, job)) in phones.iter().zip(&jobs).enumerate() {
        phone.work(job, day * 6 + i)?;
        // The shared job is not signed: the two do not agree about it yet.
        if i != 0 {
            phone.sign(job)?;
        }
        tell.say("demo.finishes", &[("name", phone.name), ("customer", &job.site.name)])?;
        tell.breathe().await;
    }
    // The second phone writes into the first's visit at the same time.
    let shared = &jobs[0];
    phones[1].execute(&Command::OpenVisit { work_order: shared.order })?;
    let note = phones[1].item()?;
    phones[1].execute(&Command::AddNote { visit: shared.visit, id: note, text: "副手:阀组已清洗".into() })?;
    let other = Command::Accept { visit: shared.visit, accepted: false, remark: "客户要求再试机".into() };
    phones[1].execute(&other)?;
    tell.say("demo.clashes", &[("name", phones[0].name), ("other", phones[1].name), ("customer", &shared.site.name)])?;
    tell.breathe().await;
    tell.say("demo.online", &[])?;
    for phone in phones {
        let r = sync(phone).await?;
        let (sent, got, photos) = (r.pushed.to_string(), r.received.to_string(), r.uploaded.to_string());
        tell.say("demo.synced", &[("name", phone.name), ("sent", &sent), ("got", &got), ("photos", &photos)])?;
        tell.breathe().await;
    }
    // What came in from the others meanwhile.
    for phone in phones {
        sync(phone).await?;
    }
    merged(office, &phones[0], tell, &jobs).await?;
    Ok(jobs)
}

async fn sync(phone: &Phone) -> Result<onsite_core::sync::session::SyncReport> {
    phone.client.sync_once().await.map_err(Error::Core)
}

/// One sentence for everything that a merge left to be decided.
async fn merged(office: &Office, first: &Phone, tell: &Teller, jobs: &[Job]) -> Result<()> {
    let names = crate::office::names(&office.ledger, office.tenant).await?;
    let find = |id: StaffId| names.get(&id).cloned().unwrap_or_default();
    let words = Words { lang: tell.lang, utc_offset_minutes: 480, names: &find };
    for (job, open) in contradictions(office, jobs).await? {
        let sentence = words.contradiction(&open.explain());
        tell.say("demo.merged", &[("number", &jobs[job].number), ("sentence", &sentence)])?;
    }
    let shared = first.with(|e| e.show(DocRef::new(Kind::Visit, jobs[0].visit)))?;
    for clash in &shared.clashes {
        let said: Vec<String> = clash
            .values
            .iter()
            .map(|v| {
                let who = v.by.map_or_else(String::new, |by| words.name(by));
                format!("{who}: {}", words.told(&clash.path, &v.value))
            })
            .collect();
        let field = messages::path(tell.lang, Kind::Visit, &clash.path);
        tell.say("demo.clash", &[("number", &jobs[0].number), ("field", &field), ("values", &said.join(" / "))])?;
    }
    Ok(())
}

/// What contradicts in the day's jobs, by the job's place.
async fn contradictions(office: &Office, jobs: &[Job]) -> Result<Vec<(usize, Contradiction)>> {
    let mut found = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        let Entity::WorkOrder(order) = office.view(job.order).await?.entity()? else { continue };
        let Entity::Visit(visit) = office.view(job.visit).await?.entity()? else { continue };
        let (_, open) = stage::stage(&order, &[(job.visit, Cow::Owned(visit))], office.env.now());
        found.extend(open.into_iter().map(|c| (n, c)));
    }
    Ok(found)
}

/// The next morning: what was left to decide is decided.
async fn settle(office: &Office, phones: &[Phone], tell: &Teller, jobs: &[Job]) -> Result<()> {
    for (job, open) in contradictions(office, jobs).await? {
        let reason = "已与技术员核实,以现场记录为准".to_owned();
        let command = Command::Settle { id: jobs[job].order, contradiction: open.key, reason };
        office.office(Role::ServiceManager, &[command]).await?;
    }
    let doc = DocRef::new(Kind::Visit, jobs[0].visit);
    let clashes = phones[0].with(|e| e.show(doc))?.clashes;
    for clash in clashes {
        if let Some(value) = clash.values.first() {
            phones[0].execute(&Command::ChooseClash { doc, path: clash.path.clone(), choice: value.change })?;
        }
    }
    sync(&phones[0]).await?;
    tell.say("demo.settled", &[])
}

/// Every job done offline must stand at the office as on its phone.
async fn check(office: &Office, phones: &[Phone], jobs: &[Job]) -> Result<()> {
    let wrong = |what: String| Error::Internal(format!("demo: {what}"));
    for (job, phone) in jobs.iter().zip(phones) {
        let there = office.view(job.visit).await?;
        let Entity::Visit(v) = there.entity()? else {
            return Err(wrong(format!("the office lacks the visit of {}", job.number)));
        };
        let here = phone.with(|e| e.show(DocRef::new(Kind::Visit, job.visit)))?;
        if here.heads != there.heads || here.entity != Entity::Visit(v.clone()) {
            return Err(wrong(format!("{} and the office differ about {}", phone.name, job.number)));
        }
        if v.outcome != Some(Outcome::Completed) || v.events.is_empty() {
            return Err(wrong(format!("the work on {} is not all there", job.number)));
        }
        for photo in v.photos.values().filter_map(|p| p.blob) {
            if office.ledger.storage().blob(office.tenant, photo).await?.is_none() {
                return Err(wrong(format!("a photo of {} is not at the office", job.number)));
            }
        }
        let status = phone.with(|e| e.status())?;
        if !status.safe_to_hand_in || status.refused > 0 {
            let (unsent, refused) = (status.unsent_changes, status.refused);
            return Err(wrong(format!("{} has {unsent} unsent, {refused} refused", phone.name)));
        }
    }
    let open = contradictions(office, jobs).await?;
    for (job, what) in [(REASSIGNED, "reassigned"), (CANCELLED, "cancelled")] {
        if !open.iter().any(|(n, e)| *n == job && e.name().starts_with(what)) {
            return Err(wrong(format!("nobody sees that {} was {what} meanwhile", jobs[job].number)));
        }
    }
    let clashes = office.ledger.storage().list(office.tenant, &Query { clashes: true, ..Query::default() }).await?;
    if !clashes.iter().any(|v| v.summary.doc.id == jobs[0].visit.into()) {
        return Err(wrong("nobody sees that two phones disagree".into()));
    }
    Ok(())
}
