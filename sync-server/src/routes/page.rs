//! The office's plain pages, rendered here: they work without a script.

use super::{Office, id};
use crate::{
    App,
    auth::OfficeSession,
    error::Error,
    office,
    storage::{Query, View},
};
use askama::Template;
use axum::{
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use onsite_core::domain::stage::{self, Stage};
use onsite_core::domain::{
    Customer, DocId, Kind, Millis, Record, SERVER, Settings, StaffId, Visit, VisitId, WorkOrder, Zone,
};
use onsite_core::{
    forms,
    messages::{self, Language, Words},
};
use std::{collections::HashMap, convert::Infallible, sync::Arc};

/// Rows of a stage shown on the board.
const ROWS: usize = 50;
/// Clashes and refused edits shown on the board, each.
const TASKS: usize = 20;

/// The page's language: `?lang=en`, else Chinese.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lang {
    english: bool,
}

impl Lang {
    fn of(query: Option<&str>) -> Self {
        Self { english: query.unwrap_or_default().split('&').any(|p| p == "lang=en") }
    }
    fn tag(&self) -> &'static str {
        if self.english { "en" } else { "zh-CN" }
    }
    fn other(&self) -> &'static str {
        if self.english { "zh-CN" } else { "en" }
    }
    /// The board, in this language.
    pub(super) fn home(&self) -> &'static str {
        if self.english { "/?lang=en" } else { "/" }
    }
    fn say<'a>(&self, chinese: &'a str, english: &'a str) -> &'a str {
        if self.english { english } else { chinese }
    }
    fn language(&self) -> Language {
        if self.english { Language::En } else { Language::ZhCn }
    }
    fn stage<'a>(&self, word: &'a str) -> &'a str {
        messages::find(self.language(), &format!("stage.{word}")).unwrap_or(word)
    }
}

impl FromRequestParts<Arc<App>> for Lang {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query()))
    }
}

/// Somebody signed in, or the way to the sign-in page.
pub(super) struct Reader(OfficeSession);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        match Office::from_request_parts(parts, app).await {
            Ok(Office(who)) => Ok(Self(who)),
            Err(Error::Unauthorized(_)) => {
                let english = Lang::of(parts.uri.query()).english;
                Err(Redirect::to(if english { "/login?lang=en" } else { "/login" }).into_response())
            }
            Err(e) => Err(e.into_response()),
        }
    }
}

fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(e) => Error::Internal(format!("page: {e}")).into_response(),
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    l: Lang,
    error: &'a str,
}

pub(super) async fn login(l: Lang) -> Response {
    html(&LoginPage { l, error: "" })
}

/// The sign-in page again, with what went wrong, under the problem's status.
pub(super) fn login_failed(headers: &HeaderMap, refused: Response) -> Response {
    // The form's own address carries the language; the browser names it as the page it came from.
    let from = headers.get(header::REFERER).and_then(|v| v.to_str().ok());
    let l = Lang::of(from.and_then(|f| f.split_once('?')).map(|(_, q)| q));
    let error = match refused.status() {
        StatusCode::UNAUTHORIZED => l.say("用户名或密码不正确。", "Login name or password is not right."),
        StatusCode::TOO_MANY_REQUESTS => l.say("尝试次数过多，请稍后再试。", "Too many tries: wait a while."),
        _ => l.say("登录失败，请再试一次。", "Signing in failed: try again."),
    };
    let mut page = html(&LoginPage { l, error });
    *page.status_mut() = refused.status();
    if let Some(wait) = refused.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    page
}

/// What a company's pages need of it.
struct Company {
    settings: Settings,
    names: HashMap<StaffId, String>,
}

impl Company {
    async fn of(app: &App, who: &OfficeSession) -> Result<Self, Error> {
        let settings = office::settings(&app.ledger, who.tenant).await?;
        let names = office::names(&app.ledger, who.tenant).await?;
        Ok(Self { settings, names })
    }

    fn name(&self, id: StaffId) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }

    fn people(&self, ids: &[StaffId]) -> String {
        ids.iter().map(|p| self.name(*p)).collect::<Vec<_>>().join("、")
    }

    fn words<'a>(&self, l: Lang, names: &'a (dyn Fn(StaffId) -> String + Sync)) -> Words<'a> {
        Words { lang: l.language(), utc_offset_minutes: self.settings.utc_offset_minutes, names }
    }

    /// A time by the company's clock, to the minute.
    fn time(&self, at: Millis) -> String {
        Zone::of(&self.settings).format(at)
    }
}

struct Row {
    id: DocId,
    number: String,
    title: String,
    subtitle: String,
    people: String,
    due: String,
    /// Past due, and not done.
    late: bool,
    flags: String,
}

impl Row {
    fn of(view: &View, company: &Company, l: Lang, now: Millis) -> Self {
        let s = &view.summary;
        let number = if s.number.is_empty() { "—".into() } else { s.number.clone() };
        Self {
            id: s.doc.id,
            number,
            title: s.title.clone(),
            subtitle: s.subtitle.clone(),
            people: company.people(&s.people),
            due: s.due.map(|d| company.time(d)).unwrap_or_default(),
            late: s.due.is_some_and(|d| d < now) && !Stage::ALL.iter().any(|at| at.over() && at.word() == s.status),
            flags: s.flags.iter().map(|f| messages::flag(l.language(), f)).collect::<Vec<_>>().join(" · "),
        }
    }
}

struct StageRows<'a> {
    word: &'static str,
    label: &'a str,
    rows: Vec<Row>,
    more: bool,
    /// Nothing is left to do: folded away.
    over: bool,
}

/// Something the office has to decide, in a sentence.
struct Task {
    what: String,
    sentence: String,
}

struct DeviceRow {
    code: String,
    name: String,
    whose: String,
    contact: String,
    unsent: String,
    oldest: String,
    app: String,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage<'a> {
    l: Lang,
    company: String,
    login: &'a str,
    tasks: Vec<Task>,
    stages: Vec<StageRows<'a>>,
    devices: Vec<DeviceRow>,
}

pub(super) async fn board(State(app): State<Arc<App>>, Reader(who): Reader, l: Lang) -> Result<Response, Error> {
    let company = Company::of(&app, &who).await?;
    let name = app.ledger.storage().tenant(who.tenant).await?.map(|t| t.name).unwrap_or_default();
    let (now, mut rows) = (app.ledger.env().now(), HashMap::new());
    for (stage, _) in app.ledger.storage().counts(who.tenant, Kind::WorkOrder).await? {
        let query = Query { kind: Some(Kind::WorkOrder), status: Some(stage.clone()), limit: ROWS, ..Query::default() };
        rows.insert(stage, app.ledger.storage().list(who.tenant, &query).await?);
    }
    // A request is not on the board of jobs before somebody opened a work order for it.
    let reported = Stage::Reported.word();
    let requests = Query { kind: Some(Kind::Request), status: Some(reported.into()), limit: ROWS, ..Query::default() };
    rows.insert(reported.into(), app.ledger.storage().list(who.tenant, &requests).await?);
    let stages = Stage::ALL
        .iter()
        .filter_map(|stage| Some((stage, rows.remove(stage.word()).filter(|v| !v.is_empty())?)))
        .map(|(stage, views)| StageRows {
            word: stage.word(),
            label: messages::label(l.language(), *stage),
            more: views.len() == ROWS,
            over: matches!(stage, Stage::Closed | Stage::Archived | Stage::Cancelled | Stage::Withdrawn),
            rows: views.iter().map(|v| Row::of(v, &company, l, now)).collect(),
        })
        .collect();
    let devices = app.ledger.device_rows(who.tenant).await?.into_iter().map(|d| DeviceRow {
        code: d.code,
        name: d.name,
        whose: company.name(d.staff),
        contact: match (d.contact, d.revoked) {
            (_, Some(at)) => format!("{} {}", l.say("已停用", "revoked"), company.time(at)),
            (Some(at), None) => company.time(at),
            (None, None) => l.say("从未", "never").into(),
        },
        unsent: d.unsent_changes.map(|n| format!("{n} + {}", d.unsent_blobs.unwrap_or(0))).unwrap_or_default(),
        oldest: d.oldest_unsent.map(|t| company.time(t)).unwrap_or_default(),
        app: d.app,
    });
    let devices = devices.collect();
    let tasks = tasks(&app, &who, &company, l).await?;
    Ok(html(&BoardPage { l, company: name, login: &who.login, tasks, stages, devices }))
}

/// Clashes to choose and refused edits to decide, a sentence each.
async fn tasks(app: &App, who: &OfficeSession, company: &Company, l: Lang) -> Result<Vec<Task>, Error> {
    let names = |id| company.name(id);
    let words = company.words(l, &names);
    let mut tasks = Vec::new();
    for item in app.ledger.clash_page(who.tenant, None, TASKS).await? {
        for clash in &item.clashes {
            let told = |said: &crate::office::shown::Said| l.say(&said.zh, &said.en).to_owned();
            let said: Vec<String> = clash
                .values
                .iter()
                .map(|v| {
                    let by = v.by.map_or_else(String::new, |by| words.name(by));
                    format!("{} ({by} {})", told(&v.told), company.time(v.at))
                })
                .collect();
            let field = messages::path(l.language(), item.doc.kind, &clash.path);
            tasks.push(Task {
                what: format!("{} {}", item.number, item.title),
                sentence: format!("{field}: {}", said.join(" / ")),
            });
        }
    }
    for aside in app.ledger.aside(who.tenant, TASKS).await? {
        let why = messages::refusal(l.language(), &aside.code, &aside.field, &aside.detail);
        let kind = messages::label(l.language(), aside.kind);
        tasks.push(Task {
            what: format!("{kind} {}", words.name(aside.staff)),
            sentence: format!("{}: {why} ({})", l.say("被退回的修改", "refused edit"), company.time(aside.at)),
        });
    }
    Ok(tasks)
}

struct TimelineRow {
    at: String,
    who: String,
    what: &'static str,
    paths: String,
}

/// What was set, by name, each once; bookkeeping of the same name falls together.
fn named(l: Lang, kind: Kind, paths: &[String]) -> String {
    let mut names: Vec<String> = Vec::new();
    for path in paths {
        let name = messages::path(l.language(), kind, path);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(l.say("、", ", "))
}

#[derive(Template)]
#[template(path = "work_order.html")]
struct WorkOrderPage {
    l: Lang,
    id: DocId,
    number: String,
    title: String,
    subtitle: String,
    stage: String,
    due: String,
    people: String,
    contradictions: Vec<String>,
    visits: Vec<Row>,
    timeline: Vec<TimelineRow>,
}

async fn find(app: &App, who: &OfficeSession, text: &str, kind: Kind) -> Result<View, Error> {
    let found = app.ledger.storage().views(who.tenant, &[id(text)?]).await?.pop();
    found.filter(|v| v.summary.doc.kind == kind).ok_or_else(|| Error::NotFound(format!("no {} {text}", kind.name())))
}

pub(super) async fn work_order(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    l: Lang,
    Path(text): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &who, &text, Kind::WorkOrder).await?;
    let company = Company::of(&app, &who).await?;
    let order = view.summary.doc.id;
    let visits = app.ledger.storage().children(who.tenant, Kind::Visit, order).await?;
    let visits = app.ledger.storage().views(who.tenant, &visits).await?;
    let mut records = Vec::new();
    for v in &visits {
        records.extend(Visit::unwrap(v.entity()?).map(|visit| (VisitId::from(v.summary.doc.id), visit)));
    }
    let content = WorkOrder::unwrap(view.entity()?).unwrap_or_default();
    let names = |id| company.name(id);
    let words = company.words(l, &names);
    let now = app.ledger.env().now();
    let (_, open) = stage::stage(&content, &records, now);
    let contradictions = open.iter().map(|c| words.contradiction(&c.explain())).collect();
    let timeline = app.ledger.timeline(who.tenant, order.into()).await?;
    let row = Row::of(&view, &company, l, now);
    Ok(html(&WorkOrderPage {
        l,
        id: order,
        number: row.number,
        title: row.title,
        subtitle: row.subtitle,
        stage: l.stage(&view.summary.status).to_owned(),
        due: row.due,
        people: row.people,
        contradictions,
        visits: visits.iter().map(|v| Row::of(v, &company, l, now)).collect(),
        timeline: timeline
            .into_iter()
            .map(|t| TimelineRow {
                at: company.time(t.at),
                who: match t.by {
                    Some(SERVER) => l.say("服务器", "server").into(),
                    Some(person) => words.name(person),
                    None => String::new(),
                },
                what: if t.doc.kind == Kind::Visit {
                    l.say("现场记录", "visit")
                } else {
                    l.say("派工单", "work order")
                },
                paths: named(l, t.doc.kind, &t.paths),
            })
            .collect(),
    }))
}

/// The documents a form is made of.
async fn entity<R: Record>(app: &App, who: &OfficeSession, doc: Option<impl Into<DocId>>) -> Result<Option<R>, Error> {
    let Some(doc) = doc else { return Ok(None) };
    let found = app.ledger.storage().views(who.tenant, &[doc.into()]).await?.pop();
    Ok(found.map(|v| v.entity()).transpose()?.and_then(R::unwrap))
}

/// A form: the page brings its own style and no script.
fn form(text: String) -> Response {
    Html(text).into_response()
}

pub(super) async fn print_dispatch(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    l: Lang,
    Path(text): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &who, &text, Kind::WorkOrder).await?;
    let company = Company::of(&app, &who).await?;
    let order = WorkOrder::unwrap(view.entity()?).unwrap_or_default();
    let ids = app.ledger.storage().children(who.tenant, Kind::Visit, view.summary.doc.id).await?;
    let mut visits = Vec::new();
    for v in app.ledger.storage().views(who.tenant, &ids).await? {
        visits.extend(Visit::unwrap(v.entity()?).map(|visit| (VisitId::from(v.summary.doc.id), visit)));
    }
    let data = forms::dispatch_data(&order, &visits, &|id| company.name(id), &company.settings);
    Ok(form(forms::render_dispatch(&data, l.language())))
}

pub(super) async fn print_visit(
    State(app): State<Arc<App>>,
    Reader(who): Reader,
    l: Lang,
    Path(text): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &who, &text, Kind::Visit).await?;
    let company = Company::of(&app, &who).await?;
    let visit = Visit::unwrap(view.entity()?).unwrap_or_default();
    let order: Option<WorkOrder> = entity(&app, &who, visit.work_order).await?;
    let request: Option<onsite_core::domain::Request> =
        entity(&app, &who, order.as_ref().and_then(|o| o.request).or(visit.request)).await?;
    let customer = order.as_ref().and_then(|o| o.customer).or_else(|| request.as_ref().and_then(|r| r.customer));
    let customer: Option<Customer> = entity(&app, &who, customer).await?;
    let data = forms::visit_data(
        view.summary.doc.id.into(),
        &visit,
        order.as_ref(),
        request.as_ref(),
        customer.as_ref(),
        &|id| company.name(id),
        &company.settings,
    );
    Ok(form(forms::render_visit(&data, l.language())))
}
