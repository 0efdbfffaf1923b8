//! Form 2: 售后服务现场安装(维修)记录.

use super::{Names, shown};
use crate::domain::forms_content::visit_content;
use crate::domain::{
    CheckResult, Customer, Dissatisfaction, Entitlement, EventKind, Fen, IncompleteReason, Outcome, PayMethod, Request,
    Satisfaction, Settings, Sha256, Stamp, Visit, VisitId, WorkOrder, WorkType, entitlement,
};
use crate::messages::{self, Language, label, tf};
use askama::Template;

/// What form 2 shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VisitFormData {
    /// The company's name.
    pub company: String,
    /// Minutes east of UTC of the company's clock.
    pub utc_offset_minutes: i32,
    /// 编号: the final number; provisional ones while there is none.
    pub record_number: String,
    /// Whether that number is provisional.
    pub provisional: bool,
    /// 客户名称
    pub customer_name: String,
    /// 联系人
    pub contact_name: String,
    /// 电话
    pub contact_phone: String,
    /// 地址
    pub service_address: String,
    /// 报修时间
    pub reported_at: Option<Stamp>,
    /// 客户属性
    pub entitlement: Option<Entitlement>,
    /// Why it was set by hand, if it was.
    pub entitlement_override: Option<String>,
    /// 安装 or 维修
    pub work_type: Option<WorkType>,
    /// 服务内容
    pub service_description: String,
    /// What was found to be wrong.
    pub diagnosis: String,
    /// 处理方案
    pub resolution: String,
    /// 处理结果
    pub outcome: Option<Outcome>,
    /// 未完成的原因
    pub incomplete_reason: Option<IncompleteReason>,
    /// 备注
    pub remarks: String,
    /// 验收: accepted or not, with the customer's words.
    pub acceptance: Option<(bool, String)>,
    /// 满意度
    pub satisfaction: Option<Satisfaction>,
    /// 不满意的原因
    pub dissatisfaction_reasons: Vec<Dissatisfaction>,
    /// 宝贵意见
    pub customer_comment: String,
    /// 签字
    pub signature: Option<SignatureShown>,
    /// Why the customer did not sign, and when.
    pub refused: Option<(String, Stamp)>,
    /// Who was on site.
    pub technicians: Vec<String>,
    /// What happened when, in order.
    pub events: Vec<EventLine>,
    /// Parts used or taken back.
    pub parts: Vec<PartLine>,
    /// The inspection.
    pub checks: Vec<CheckLine>,
    /// 收款
    pub receipts: Vec<ReceiptLine>,
    /// Photos not taken out.
    pub photos: Vec<PhotoLine>,
}

/// The customer's signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureShown {
    /// Who signed.
    pub name: String,
    /// When.
    pub at: Stamp,
    /// The strokes, as in [`crate::domain::Strokes`].
    pub strokes: String,
    /// The form has changed since.
    pub voided: bool,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventLine {
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Stamp,
    /// Who.
    pub by: String,
}

/// A part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartLine {
    /// Name.
    pub name: String,
    /// Number in the catalogue.
    pub part_no: String,
    /// Unit of count.
    pub unit: String,
    /// Quantity used.
    pub used: i64,
    /// Quantity taken back.
    pub taken_back: i64,
}

/// One line of the inspection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckLine {
    /// Its label, in Chinese.
    pub label: String,
    /// Its label, in English.
    pub label_en: String,
    /// How it came out.
    pub result: Option<CheckResult>,
    /// What was seen.
    pub note: String,
}

/// Money taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptLine {
    /// Amount.
    pub amount: Fen,
    /// How.
    pub method: PayMethod,
    /// Number of the paper receipt.
    pub reference: String,
    /// When.
    pub at: Stamp,
}

/// A photo.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PhotoLine {
    /// Caption.
    pub caption: String,
    /// Where its bytes are found.
    pub blob: Option<Sha256>,
    /// A `data:image/…` thumbnail, where the caller has one; anything else is not shown.
    pub thumbnail: String,
}

/// Gathers form 2. What the work order froze stands before what the request
/// said and what the customer file says today.
pub fn visit_data(
    id: VisitId,
    visit: &Visit,
    order: Option<&WorkOrder>,
    request: Option<&Request>,
    customer: Option<&Customer>,
    names: Names<'_>,
    settings: &Settings,
) -> VisitFormData {
    let of_customer = customer.map(|c| {
        let contact = c.contacts.values().find(|x| !x.removed).cloned().unwrap_or_default();
        let address = c.addresses.values().find(|x| !x.removed).cloned().unwrap_or_default();
        (c.name.clone(), contact.name, contact.phone, address.text)
    });
    let pick = |o: fn(&WorkOrder) -> &String,
                r: fn(&Request) -> &String,
                c: fn(&(String, String, String, String)) -> &String| {
        let found = order.map(o).filter(|s| !s.is_empty()).or_else(|| request.map(r).filter(|s| !s.is_empty()));
        found.or_else(|| of_customer.as_ref().map(c)).cloned().unwrap_or_default()
    };
    let reported_at = order.and_then(|o| o.reported).or_else(|| request.and_then(|r| r.reported));
    let entitled = match (order, request, customer) {
        (Some(o), _, c) => Some(entitlement::of_work_order(o, c, settings)),
        (None, Some(r), Some(c)) => reported_at.map(|at| entitlement::entitlement(c, r.equipment, at.best(), settings)),
        _ => None,
    };
    let final_number = order.and_then(|o| o.record_numbers.get(&id)).cloned();
    let mut events: Vec<_> = visit.events.iter().collect();
    let corrected: Vec<_> = visit.events.values().filter_map(|e| e.corrects).collect();
    events.retain(|(id, _)| !corrected.contains(id));
    events.sort_by_key(|(id, e)| (e.mark.at.best(), **id));
    let mut technicians: Vec<String> = Vec::new();
    let marks = visit.events.values().map(|e| e.mark.by).chain(visit.notes.values().map(|n| n.mark.by));
    let assigned = order
        .into_iter()
        .flat_map(|o| o.assignments.values())
        .filter(|a| a.ended.is_none())
        .filter_map(|a| a.technician);
    for name in marks.chain(assigned).map(names) {
        if !name.is_empty() && !technicians.contains(&name) {
            technicians.push(name);
        }
    }
    let content = visit_content(visit);
    let checks = settings.checklist.iter().filter(|(key, item)| !item.dropped || visit.checks.contains_key(*key)).map(
        |(key, item)| {
            let check = visit.checks.get(key).cloned().unwrap_or_default();
            CheckLine {
                label: item.label.clone(),
                label_en: item.label_en.clone(),
                result: check.result,
                note: check.note,
            }
        },
    );
    VisitFormData {
        company: settings.company.clone(),
        utc_offset_minutes: settings.utc_offset_minutes,
        provisional: final_number.is_none(),
        record_number: final_number
            .unwrap_or_else(|| visit.provisional_numbers.values().cloned().collect::<Vec<_>>().join(" / ")),
        customer_name: pick(|o| &o.dispatch.customer_name, |r| &r.customer_name, |c| &c.0),
        contact_name: pick(|o| &o.dispatch.contact_name, |r| &r.contact_name, |c| &c.1),
        contact_phone: pick(|o| &o.dispatch.contact_phone, |r| &r.contact_phone, |c| &c.2),
        service_address: pick(|o| &o.dispatch.service_address, |r| &r.address, |c| &c.3),
        reported_at,
        entitlement: entitled.as_ref().map(|e| e.entitlement),
        entitlement_override: entitled.and_then(|e| e.overridden),
        work_type: order.and_then(|o| o.work_type),
        service_description: match (visit.service_description.is_empty(), order) {
            (true, Some(o)) => o.dispatch.service_description.0.clone(),
            (true, None) => request.map(|r| r.problem.0.clone()).unwrap_or_default(),
            _ => visit.service_description.0.clone(),
        },
        diagnosis: visit.diagnosis.0.clone(),
        resolution: visit.resolution.0.clone(),
        outcome: visit.outcome,
        incomplete_reason: visit.incomplete_reason,
        remarks: visit.remarks.0.clone(),
        acceptance: visit.acceptance.as_ref().map(|a| (a.accepted, a.remark.clone())),
        satisfaction: visit.satisfaction,
        dissatisfaction_reasons: visit.dissatisfaction_reasons.iter().copied().collect(),
        customer_comment: visit.customer_comment.0.clone(),
        signature: visit.signature.as_ref().map(|s| SignatureShown {
            name: s.name.clone(),
            at: s.mark.at,
            strokes: s.strokes.0.clone(),
            voided: s.content != content,
        }),
        refused: visit.signature_refused.as_ref().map(|r| (r.reason.clone(), r.at)),
        technicians,
        events: events
            .into_iter()
            .map(|(_, e)| EventLine { kind: e.kind, at: e.mark.at, by: names(e.mark.by) })
            .collect(),
        parts: visit
            .items
            .values()
            .filter(|i| i.used.0 != 0 || i.taken_back.0 != 0)
            .map(|i| PartLine {
                name: i.name.clone(),
                part_no: i.part_no.clone(),
                unit: i.unit.clone(),
                used: i.used.0,
                taken_back: i.taken_back.0,
            })
            .collect(),
        checks: if visit.checks.is_empty() { Vec::new() } else { checks.collect() },
        receipts: visit
            .receipts
            .values()
            .map(|r| ReceiptLine { amount: r.amount, method: r.method, reference: r.reference.clone(), at: r.mark.at })
            .collect(),
        photos: visit
            .photos
            .values()
            .filter(|p| !p.removed)
            .map(|p| PhotoLine { caption: p.caption.clone(), blob: p.blob, thumbnail: String::new() })
            .collect(),
    }
}

/// Form 2 as an HTML page.
pub fn render_visit(data: &VisitFormData, lang: Language) -> String {
    // Writing into a String does not fail.
    VisitPage { d: data, lang }.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "visit.html")]
struct VisitPage<'a> {
    d: &'a VisitFormData,
    lang: Language,
}

impl VisitPage<'_> {
    fn t(&self, key: &str) -> &'static str {
        messages::find(self.lang, &format!("form.visit.{key}")).unwrap_or("")
    }
    fn g(&self, key: &str) -> &'static str {
        messages::find(self.lang, &format!("form.{key}")).unwrap_or("")
    }
    fn at(&self, at: &Stamp) -> String {
        messages::stamp(self.lang, at, self.d.utc_offset_minutes)
    }
    fn reported(&self) -> String {
        self.d.reported_at.as_ref().map(|s| self.at(s)).unwrap_or_default()
    }
    fn qr(&self) -> String {
        if self.d.record_number.is_empty() { String::new() } else { shown::qr_svg(&self.d.record_number) }
    }
    fn boxes<T: messages::Labelled + Copy + PartialEq>(
        &self,
        all: &[T],
        on: impl Fn(&T) -> bool,
    ) -> Vec<(&'static str, &'static str)> {
        all.iter().map(|w| (tick(on(w)), label(self.lang, *w))).collect()
    }
    fn entitlements(&self) -> Vec<(&'static str, &'static str)> {
        self.boxes(Entitlement::ALL, |w| self.d.entitlement == Some(*w))
    }
    fn completed(&self) -> &'static str {
        tick(self.d.outcome == Some(Outcome::Completed))
    }
    fn incomplete(&self) -> &'static str {
        tick(self.d.outcome == Some(Outcome::Incomplete))
    }
    fn outcome(&self, word: &str) -> &'static str {
        messages::find(self.lang, &format!("outcome.{word}")).unwrap_or("")
    }
    fn incomplete_reasons(&self) -> Vec<(&'static str, &'static str)> {
        let open = self.d.outcome == Some(Outcome::Incomplete);
        self.boxes(IncompleteReason::ALL, |w| open && self.d.incomplete_reason == Some(*w))
    }
    fn accepted(&self) -> &'static str {
        tick(self.d.acceptance.as_ref().is_some_and(|a| a.0))
    }
    fn satisfactions(&self) -> Vec<(&'static str, &'static str)> {
        self.boxes(Satisfaction::ALL, |w| self.d.satisfaction == Some(*w))
    }
    fn dissatisfactions(&self) -> Vec<(&'static str, &'static str)> {
        self.boxes(Dissatisfaction::ALL, |w| self.d.dissatisfaction_reasons.contains(w))
    }
    fn not_accepted(&self) -> Option<&str> {
        self.d.acceptance.as_ref().filter(|a| !a.0).map(|a| a.1.as_str())
    }
    fn overridden(&self) -> String {
        self.d
            .entitlement_override
            .as_ref()
            .map(|r| tf(self.lang, "form.visit.entitlement_override", &[("reason", r)]))
            .unwrap_or_default()
    }
    fn refused(&self) -> String {
        match &self.d.refused {
            Some((reason, at)) => {
                format!("{} ({})", tf(self.lang, "form.visit.signature_refused", &[("reason", reason)]), self.at(at))
            }
            None => String::new(),
        }
    }
    fn ink(&self, s: &SignatureShown) -> String {
        shown::strokes_svg(&s.strokes)
    }
    fn technicians(&self) -> String {
        self.d.technicians.join(if self.lang == Language::ZhCn { "、" } else { ", " })
    }
    fn event(&self, e: &EventLine) -> String {
        format!("{} {}", label(self.lang, e.kind), self.at(&e.at))
    }
    fn check(&self, c: &CheckLine) -> String {
        let name = if self.lang == Language::En && !c.label_en.is_empty() { &c.label_en } else { &c.label };
        let result = c.result.map(|r| label(self.lang, r)).unwrap_or("—");
        if c.note.is_empty() { format!("{name}: {result}") } else { format!("{name}: {result} ({})", c.note) }
    }
    fn part(&self, p: &PartLine) -> String {
        let mut s = format!("{} × {}{}", p.name, p.used, p.unit);
        if p.taken_back != 0 {
            s = format!("{s} ({} {}{})", self.t("taken_back"), p.taken_back, p.unit);
        }
        s
    }
    fn receipt(&self, r: &ReceiptLine) -> String {
        format!("¥ {} {} {} {}", r.amount, label(self.lang, r.method), r.reference, self.at(&r.at))
    }
    fn photo_count(&self) -> String {
        tf(self.lang, "form.visit.photo_count", &[("n", &self.d.photos.len().to_string())])
    }
    fn thumbnails(&self) -> Vec<&PhotoLine> {
        self.d.photos.iter().filter(|p| p.thumbnail.starts_with("data:image/")).collect()
    }
    fn record(&self) -> bool {
        let d = self.d;
        !(d.technicians.is_empty()
            && d.events.is_empty()
            && d.parts.is_empty()
            && d.checks.is_empty()
            && d.receipts.is_empty()
            && d.photos.is_empty())
    }
}

fn tick(on: bool) -> &'static str {
    if on { "☑" } else { "□" }
}
