//! What the terminal client's commands do to documents.

use super::args::Do;
use super::{Phone, doodle, fen, invalid, media_type, named, read};
use onsite_core::domain::{
    Command, DocRef, Entity, ItemId, Kind, RequestId, StatementId, Strokes, SuggestionId, VisitId, WorkOrder,
    WorkOrderId,
};
use onsite_core::error::{Error, Result};
use onsite_core::messages::t;
use std::collections::BTreeSet;

impl Phone {
    /// Commands that write into a visit.
    pub(super) fn on_site(&self, command: Do) -> Result<()> {
        let command = match command {
            Do::Inspect { job, check, result, note } => {
                Command::Inspect { visit: self.opened(&job)?, check, result, note }
            }
            Do::Note { job, text } => {
                Command::AddNote { visit: self.opened(&job)?, id: self.item(), text: read(text)? }
            }
            Do::Contact { job, channel, with, summary } => {
                Command::LogContact { visit: self.opened(&job)?, id: self.item(), channel, with, summary, at: None }
            }
            Do::Part { job, name, used, taken_back, part_no, unit } => {
                let visit = self.opened(&job)?;
                let (item, part_no, name, unit) = self.part(visit, name, part_no, unit)?;
                Command::UseItem { visit, item, part_no, name, unit, used, taken_back }
            }
            Do::Photo { job, file, caption, check } => {
                let bytes = named(&file, std::fs::read(&file))?;
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
                    field => field,
                };
                let doc = DocRef::new(Kind::Visit, self.opened(&job)?);
                let seen = self.engine().show(doc)?.heads;
                Command::EditText { doc, field: field.into(), text: read(text)?, seen }
            }
            Do::Result { job, outcome, reason, remarks } => {
                Command::SetOutcome { visit: self.opened(&job)?, outcome, incomplete_reason: reason, remarks }
            }
            Do::Accept { job, no, remark } => Command::Accept { visit: self.opened(&job)?, accepted: !no, remark },
            Do::Rate { job, satisfaction, reason, comment } => {
                let reasons: BTreeSet<_> = reason.into_iter().collect();
                Command::Rate { visit: self.opened(&job)?, satisfaction, reasons, comment }
            }
            Do::Sign { job, name, strokes } => {
                let visit = self.visit(&job)?;
                let strokes = match strokes {
                    Some(file) => named(&file, std::fs::read_to_string(&file))?.trim().to_owned(),
                    None => doodle(&name),
                };
                let shown = self.engine().to_sign(visit)?;
                // The paper's warning stands above the place where the customer signs.
                self.say("form.visit.warning", &[])?;
                self.say("form.visit.acceptance", &[])?;
                Command::Sign { visit, name, strokes: Strokes(strokes), heads: shown.heads, content: shown.content }
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
    pub(super) fn write(&self, command: Do) -> Result<()> {
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
            Do::Withdraw { request, reason } => Command::WithdrawRequest { id: self.request(&request)?, reason },
            Do::Unplanned { request } => Command::OpenUnplannedVisit { request: self.request(&request)? },
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
            Do::Give { command } => {
                serde_json::from_str(&read(command)?).map_err(|e| invalid("command", e.to_string()))?
            }
            other => return Err(invalid("command", format!("{other:?}"))),
        };
        self.execute(&command)
    }

    /// The request meant.
    fn request(&self, said: &str) -> Result<RequestId> {
        let doc = self.find(said)?;
        if doc.kind != Kind::Request {
            return Err(invalid("request", t(self.lang, "cli.not_a_request")));
        }
        Ok(doc.id.into())
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
        if let Some(Entity::Visit(v)) = self.entity(DocRef::new(Kind::Visit, visit)) {
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

    pub(super) fn order(&self, id: WorkOrderId) -> Result<Option<WorkOrder>> {
        Ok(match self.engine().show(DocRef::new(Kind::WorkOrder, id)) {
            Ok(detail) => match detail.entity {
                Entity::WorkOrder(w) => Some(w),
                _ => None,
            },
            Err(Error::NotFound(_)) => None,
            Err(e) => return Err(e),
        })
    }
}
