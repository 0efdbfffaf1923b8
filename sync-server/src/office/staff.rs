//! The people of a company, for whoever chooses among them or reads their names.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::storage::Query;
use onsite_core::domain::{Entity, Kind, Role, StaffId, TenantId};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A member of staff.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct StaffRow {
    /// Who.
    pub id: StaffId,
    /// Name.
    pub name: String,
    /// 工号
    pub code: String,
    /// Phone number.
    pub phone: String,
    /// Roles held.
    pub roles: BTreeSet<Role>,
    /// Whether they have left.
    pub left: bool,
}

impl Ledger {
    /// Everybody of a company by name, those who left too: what they did keeps their name.
    ///
    /// # Errors
    /// The storage's.
    pub async fn staff_rows(&self, tenant: TenantId) -> Result<Vec<StaffRow>> {
        let mut rows = Vec::new();
        let mut query = Query { kind: Some(Kind::Staff), limit: 1000, ..Query::default() };
        loop {
            let page = self.storage().list(tenant, &query).await?;
            for view in &page {
                if let Entity::Staff(staff) = view.entity()? {
                    rows.push(StaffRow {
                        id: view.summary.doc.id.into(),
                        roles: staff.roles.iter().copied().collect(),
                        left: staff.left.is_some(),
                        name: staff.name,
                        code: staff.code,
                        phone: staff.phone,
                    });
                }
            }
            match page.last() {
                Some(last) if page.len() == query.page() => query.after = Some(last.key()),
                _ => break,
            }
        }
        rows.sort_by(|a, b| (a.left, &a.name, a.id).cmp(&(b.left, &b.name, b.id)));
        Ok(rows)
    }
}
