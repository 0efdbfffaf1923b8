//! Form 1: the dispatch order 售后人员派遣单, two copies, an A4 page each.

use super::{Names, shown};
use crate::domain::forms_content::dispatch_content;
use crate::domain::{Date, Fen, Settings, SignoffRole, Stamp, Visit, VisitId, WorkOrder, WorkType};
use crate::messages::{self, Language, label, t, tf};
use askama::Template;
use std::borrow::Cow;

/// What form 1 shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DispatchFormData {
    /// The company's name.
    pub company: String,
    /// Minutes east of UTC of the company's clock.
    pub utc_offset_minutes: i32,
    /// The work order's number; empty while it has none.
    pub number: String,
    /// 填写日期
    pub order_date: Option<Date>,
    /// Whether it was issued.
    pub issued: bool,
    /// Whether the work order was cancelled.
    pub cancelled: bool,
    /// 客户名称
    pub customer_name: String,
    /// 联系人
    pub contact_name: String,
    /// 联系电话
    pub contact_phone: String,
    /// 地址
    pub service_address: String,
    /// 售后人员, who leads first.
    pub technicians: Vec<String>,
    /// 预计逗留时间, in minutes.
    pub expected_stay_minutes: Option<i64>,
    /// 安装 or 维修
    pub work_type: Option<WorkType>,
    /// 服务内容
    pub service_description: String,
    /// 必备的安装工具及零部件
    pub items: Vec<ItemLine>,
    /// 借款金额
    pub cash_advance: Fen,
    /// 需要收回的尾款金额
    pub balance_to_collect: Fen,
    /// What was collected of it.
    pub collected: Fen,
    /// 备注
    pub remarks: String,
    /// One per role, in the paper's order.
    pub signoffs: Vec<SignoffLine>,
}

/// A required tool or part.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ItemLine {
    /// Number in the catalogue.
    pub part_no: String,
    /// Name.
    pub name: String,
    /// Unit of count.
    pub unit: String,
    /// Quantity required.
    pub required: i64,
    /// Quantity issued.
    pub issued: i64,
    /// Quantity used on site.
    pub used: i64,
    /// Quantity returned.
    pub returned: i64,
}

/// A signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignoffLine {
    /// Whose place.
    pub role: SignoffRole,
    /// Who signed; empty where nobody has.
    pub name: String,
    /// When.
    pub at: Option<Stamp>,
    /// The signed content has changed since: the signature is void.
    pub voided: bool,
}

/// Gathers form 1 from the work order and its visits.
pub fn dispatch_data(
    order: &WorkOrder,
    visits: &[(VisitId, Cow<'_, Visit>)],
    names: Names<'_>,
    settings: &Settings,
) -> DispatchFormData {
    let d = &order.dispatch;
    let mut assigned: Vec<_> = order.assignments.iter().filter(|(_, a)| a.ended.is_none()).collect();
    assigned.sort_by_key(|(id, a)| (!a.lead, **id));
    let mut technicians: Vec<String> = Vec::new();
    for name in assigned.into_iter().filter_map(|(_, a)| a.technician).map(names) {
        if !technicians.contains(&name) {
            technicians.push(name);
        }
    }
    let items = d
        .items
        .iter()
        .filter(|(_, i)| !i.removed)
        .map(|(id, i)| ItemLine {
            part_no: i.part_no.clone(),
            name: i.name.clone(),
            unit: i.unit.clone(),
            required: i.required,
            issued: i.issued.0,
            used: visits.iter().filter_map(|(_, v)| v.items.get(id)).map(|u| u.used.0).sum(),
            returned: i.returned.0,
        })
        .collect();
    let content = dispatch_content(order);
    let signoffs = SignoffRole::ALL
        .iter()
        .map(|role| match order.signoffs.get(role) {
            Some(s) => {
                SignoffLine { role: *role, name: names(s.mark.by), at: Some(s.mark.at), voided: s.content != content }
            }
            None => SignoffLine { role: *role, name: String::new(), at: None, voided: false },
        })
        .collect();
    DispatchFormData {
        company: settings.company.clone(),
        utc_offset_minutes: settings.utc_offset_minutes,
        number: order.number.clone().unwrap_or_default(),
        order_date: d.order_date,
        issued: d.issued.is_some(),
        cancelled: order.cancelled.is_some(),
        customer_name: d.customer_name.clone(),
        contact_name: d.contact_name.clone(),
        contact_phone: d.contact_phone.clone(),
        service_address: d.service_address.clone(),
        technicians,
        expected_stay_minutes: d.expected_stay_minutes,
        work_type: order.work_type,
        service_description: d.service_description.0.clone(),
        items,
        cash_advance: d.cash_advance,
        balance_to_collect: d.balance_to_collect,
        collected: visits.iter().flat_map(|(_, v)| v.receipts.values()).map(|r| r.amount).sum(),
        remarks: d.remarks.0.clone(),
        signoffs,
    }
}

/// Form 1 for printing: each copy a sheet of its own; what does not fit
/// continues on an annex.
pub fn render_dispatch(data: &DispatchFormData, lang: Language) -> String {
    // Writing into a String does not fail.
    DispatchPage { d: data, lang, qr: shown::qr_svg(&data.number) }.render().unwrap_or_default()
}

/// Characters of a text cell that fit on the sheet.
const FIT_TEXT: usize = 480;
/// Characters of the remarks that fit.
const FIT_REMARKS: usize = 120;
/// Items that fit.
const FIT_ITEMS: usize = 20;

#[derive(Template)]
#[template(path = "dispatch.html")]
struct DispatchPage<'a> {
    d: &'a DispatchFormData,
    lang: Language,
    qr: String,
}

impl DispatchPage<'_> {
    fn t(&self, key: &str) -> &'static str {
        messages::find(self.lang, &format!("form.dispatch.{key}")).unwrap_or("")
    }
    fn g(&self, key: &str) -> &'static str {
        messages::find(self.lang, &format!("form.{key}")).unwrap_or("")
    }
    fn qr(&self) -> &str {
        if self.d.number.is_empty() { "" } else { &self.qr }
    }
    fn copies(&self) -> [&'static str; 2] {
        [self.t("copy1"), self.t("copy2")]
    }
    fn date(&self) -> String {
        shown::date(self.lang, self.d.order_date)
    }
    fn stay(&self) -> String {
        self.d.expected_stay_minutes.map(|m| shown::stay(self.lang, m)).unwrap_or_default()
    }
    fn work_type(&self) -> &'static str {
        self.d.work_type.map(|w| label(self.lang, w)).unwrap_or_default()
    }
    fn phone(&self) -> String {
        [self.d.contact_name.as_str(), self.d.contact_phone.as_str()]
            .iter()
            .filter(|s| !s.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    }
    fn technicians(&self) -> String {
        let lead = t(self.lang, "form.dispatch.lead");
        let mut names = self.d.technicians.clone();
        if names.len() > 1 {
            names[0] = format!("{} ({lead})", names[0]);
        }
        names.join(if self.lang == Language::ZhCn { "、" } else { ", " })
    }
    fn text(&self) -> (&str, bool) {
        shown::cut(&self.d.service_description, FIT_TEXT)
    }
    fn remarks(&self) -> (&str, bool) {
        shown::cut(&self.d.remarks, FIT_REMARKS)
    }
    /// Columns of items: at most two, ten lines each.
    fn columns(&self) -> Vec<&[ItemLine]> {
        let fit = &self.d.items[..self.d.items.len().min(FIT_ITEMS)];
        fit.chunks(if fit.len() <= 5 { 5 } else { fit.len().div_ceil(2) }).collect()
    }
    fn more_items(&self) -> bool {
        self.d.items.len() > FIT_ITEMS
    }
    fn annex(&self) -> bool {
        self.more_items() || self.text().1 || self.remarks().1
    }
    fn advance(&self) -> String {
        if self.d.cash_advance == Fen(0) { String::new() } else { format!("¥ {}", self.d.cash_advance) }
    }
    fn balance(&self) -> String {
        if self.d.balance_to_collect == Fen(0) { String::new() } else { format!("¥ {}", self.d.balance_to_collect) }
    }
    fn collected(&self) -> String {
        if self.d.collected == Fen(0) {
            return String::new();
        }
        let remaining = self.d.balance_to_collect - self.d.collected;
        tf(
            self.lang,
            "form.dispatch.collected",
            &[("collected", &self.d.collected.to_string()), ("remaining", &remaining.to_string())],
        )
    }
    fn signed(&self, role: &str) -> Option<&SignoffLine> {
        self.d.signoffs.iter().find(|s| s.role.word() == role && s.at.is_some())
    }
    fn at(&self, at: &Option<Stamp>) -> String {
        at.as_ref().map(|s| messages::stamp(self.lang, s, self.d.utc_offset_minutes)).unwrap_or_default()
    }
    fn dash(&self, n: &i64) -> String {
        if *n == 0 { String::new() } else { n.to_string() }
    }
}
