//! Commands and questions of the office: the server is one more author.

pub mod appraisals;
pub mod aside;
mod can;
pub mod customers;
pub mod desk;
pub mod devices;
pub mod export;
pub mod figures;
pub mod forms;
pub mod history;
pub mod records;
pub mod shown;
pub mod staff;

use crate::error::{Error, Result};
use crate::facts::{self, StaffFact};
use crate::ledger::Ledger;
use crate::ledger::draft::Draft;
use crate::storage::{Audit, Batch, CounterStep, FactQuery, Idempotent};
pub use aside::{Adopted, AsideCommand};
use onsite_core::document::Doc;
use onsite_core::domain::{
    Author, Command, DocId, DocRef, Kind, Millis, Moment, Record as _, Role, SETTINGS, Settings, SettingsPatch,
    StaffId, Stamp, TenantId, Write, decide,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// Counts the commands that may give somebody a work number.
const STAFF_CODES: &str = "staff_codes";

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Executed {
    /// The documents written, in order.
    pub docs: Vec<DocRef>,
    /// The log's last number after it.
    pub head: u64,
}

impl Ledger {
    /// Decides and commits a command of somebody at the office. With a `key`, sending it twice does it once.
    ///
    /// # Errors
    /// [`Error::Refused`] with the field; the storage's.
    pub async fn execute(
        &self,
        tenant: TenantId,
        author: &Author,
        command: &Command,
        key: Option<&str>,
    ) -> Result<Executed> {
        if let Some(key) = key
            && let Some(answer) = self.storage().answered(tenant, key).await?
        {
            return Ok(serde_json::from_str(&answer)?);
        }
        let at = Stamp::exact(self.env().now());
        match self.carry_out(tenant, author, std::slice::from_ref(command), at, key, Vec::new()).await {
            // The same command came twice at once: the other one's answer is ours.
            Err(Error::Conflict { code: "command_repeated", .. }) => {
                let answer = self.storage().answered(tenant, key.unwrap_or_default()).await?;
                let answer = answer.ok_or_else(|| Error::Internal("a repeated command without an answer".into()))?;
                Ok(serde_json::from_str(&answer)?)
            }
            other => other,
        }
    }

    /// Several commands as one transaction: all or none (imports).
    pub async fn execute_all(&self, tenant: TenantId, author: &Author, commands: &[Command]) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(self.env().now()), None, Vec::new()).await
    }

    /// As [`Ledger::execute_all`], with an entry in the audit chain: both or neither.
    pub async fn execute_audited(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        entry: Audit,
    ) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(self.env().now()), None, vec![entry]).await
    }

    /// Commands as one transaction, at a moment given: for history taken over from elsewhere.
    pub async fn execute_at(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        at: Millis,
    ) -> Result<Executed> {
        self.carry_out(tenant, author, commands, Stamp::exact(at), None, Vec::new()).await
    }

    async fn carry_out(
        &self,
        tenant: TenantId,
        author: &Author,
        commands: &[Command],
        at: Stamp,
        key: Option<&str>,
        audit: Vec<Audit>,
    ) -> Result<Executed> {
        let company = self.company(tenant).await?;
        let prepare = || async {
            let mut draft = Draft::new(self, tenant, company.epoch);
            let (docs, counters) = self.draw_up(&mut draft, author, commands, at).await?;
            let mut batch = Batch { counters, audit: audit.clone(), ..Batch::default() };
            if let Some(key) = key {
                let answer = serde_json::to_string(&Executed { docs: docs.clone(), head: 0 })?;
                batch.idempotent = Some(Idempotent { key: key.to_owned(), answer });
            }
            Ok((draft.batch(batch).await?, docs))
        };
        let (done, docs) = self.commit(tenant, prepare).await?;
        Ok(Executed { docs, head: done.head })
    }

    /// Writes what commands decide into a draft; answers the documents, in order.
    pub(crate) async fn draw_up(
        &self,
        draft: &mut Draft<'_>,
        author: &Author,
        commands: &[Command],
        at: Stamp,
    ) -> Result<(Vec<DocRef>, Vec<CounterStep>)> {
        draft.by = author.staff;
        // Two people given one work number at once meet at this counter: the second decides anew.
        let codes = commands.iter().any(|c| matches!(c, Command::PutStaff { .. }));
        let stands = if codes { self.storage().counter(draft.tenant, STAFF_CODES).await? } else { 0 };
        let mut docs = Vec::new();
        for command in commands {
            let env = self.env();
            let decided = draft
                .reader
                .ask(|world| {
                    let mut moment = Moment { now: at, new_id: &mut || env.new_id(), next_number: &mut || 0 };
                    decide(command, author, &mut moment, world)
                })
                .await?;
            for (doc, writes) in by_document(decided?) {
                draft.load(&[doc]).await?;
                draft.write(doc.id, author.staff, at.device, &writes)?;
                if !docs.contains(&doc) {
                    docs.push(doc);
                }
            }
        }
        let mut counters = Vec::new();
        if codes && !docs.is_empty() {
            counters.push(CounterStep { name: STAFF_CODES.into(), from: stands, to: stands + 1 });
        }
        Ok((docs, counters))
    }

    /// A document, loaded.
    pub(crate) async fn document(&self, tenant: TenantId, doc: DocId) -> Result<Doc> {
        let loaded = self.storage().load(tenant, &[doc]).await?.pop();
        let loaded = loaded.ok_or_else(|| Error::NotFound(format!("document {doc}")))?;
        Ok(Doc::load(loaded.content.doc.kind, loaded.snapshot.as_deref(), &loaded.tail)?)
    }
}

/// Who acts where the operator does, by command on the server's machine.
fn operator(roles: impl IntoIterator<Item = Role>) -> Author {
    Author { staff: StaffId(uuid::Uuid::nil()), roles: roles.into_iter().collect(), device_code: None }
}

/// Gives a new company its settings document, with its name for the forms:
/// without one no phone could say that it holds the settings.
///
/// # Errors
/// What the rule says; the storage's.
pub async fn open_company(ledger: &Ledger, company: TenantId, name: &str) -> Result<()> {
    let patch = SettingsPatch { company: Some(name.to_owned()), ..SettingsPatch::default() };
    ledger.execute(company, &operator([Role::Admin]), &Command::ChangeSettings(patch), None).await?;
    Ok(())
}

/// Creates a member of staff, on the operator's authority.
///
/// # Errors
/// What the rule says.
pub async fn add_staff(
    ledger: &Ledger,
    company: TenantId,
    name: &str,
    code: &str,
    phone: &str,
    roles: BTreeSet<Role>,
) -> Result<StaffId> {
    let id = StaffId(ledger.env().new_id());
    let command = Command::PutStaff { id, name: name.into(), code: code.into(), phone: phone.into(), roles };
    ledger.execute(company, &operator([Role::Admin]), &command, None).await?;
    Ok(id)
}

/// Finds a company by its id or name.
///
/// # Errors
/// [`Error::NotFound`], or `ambiguous`.
pub async fn find_company(ledger: &Ledger, who: &str) -> Result<TenantId> {
    let all = ledger.storage().tenants().await?;
    let mut found = all.iter().filter(|t| t.id.to_string() == who || t.name == who);
    match (found.next(), found.next()) {
        (Some(t), None) => Ok(t.id),
        (None, _) => Err(Error::NotFound(format!("no company {who:?}"))),
        _ => Err(Error::bad("ambiguous", "company", format!("several companies are called {who:?}: give the id"))),
    }
}

/// A company's settings, or their defaults.
///
/// # Errors
/// The storage's.
pub async fn settings(ledger: &Ledger, company: TenantId) -> Result<Settings> {
    Ok(match ledger.storage().views(company, &[SETTINGS]).await?.pop() {
        Some(view) => Settings::unwrap(view.entity()?).unwrap_or_default(),
        None => Settings::default(),
    })
}

/// The names of a company's people, those who left too.
///
/// # Errors
/// The storage's.
pub async fn names(ledger: &Ledger, company: TenantId) -> Result<HashMap<StaffId, String>> {
    let rows = ledger.storage().facts(company, &FactQuery::all(Kind::Staff)).await?;
    rows.iter().map(|row| Ok((row.doc.into(), facts::read::<StaffFact>(row)?.name))).collect()
}

/// A decision's writes, by document, in the order they first appear.
fn by_document(writes: Vec<Write>) -> Vec<(DocRef, Vec<Write>)> {
    let mut grouped: Vec<(DocRef, Vec<Write>)> = Vec::new();
    for write in writes {
        let doc = match &write {
            Write::Put(id, entity) => DocRef { kind: entity.kind(), id: *id },
            Write::Text { doc, .. } | Write::Choose { doc, .. } => *doc,
        };
        match grouped.iter_mut().find(|(d, _)| *d == doc) {
            Some((_, list)) => list.push(write),
            None => grouped.push((doc, vec![write])),
        }
    }
    grouped
}

/// The leaves in which two contents differ.
pub(crate) fn differ(path: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                differ(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (a, b) if a != b => out.push(path.to_owned()),
        _ => {}
    }
}
