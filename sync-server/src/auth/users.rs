//! Office users and their sessions: what they, and the admin, may do about them.

use super::{
    GLOBAL, OfficeRecord, OfficeSession, User, audit, body, ends, login_name, put_audited, put_password, record,
    session_id, verified,
};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::{Audit, Batch};
use onsite_core::domain::{Author, DocId, Entity, Millis, Role, StaffId, TenantId};
use onsite_core::messages::Language;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;

/// A session of one's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SessionRow {
    /// Its name, which opens nothing.
    pub id: String,
    /// When it was opened.
    pub created: Millis,
    /// When it was last used, to the minute.
    pub seen: Millis,
    /// When it ends if it is not used again.
    pub expires: Millis,
    /// What the browser calls itself.
    pub agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Somebody who signs in at the office.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct UserRow {
    /// Login name.
    pub login: String,
    /// The person.
    pub staff: StaffId,
    /// Their name.
    pub name: String,
    /// 工号
    pub code: String,
    /// Their roles.
    pub roles: BTreeSet<Role>,
    /// Whether they have left: they cannot sign in.
    pub left: bool,
    /// When the admin disabled the login, if it is.
    pub disabled: Option<Millis>,
    /// Sessions open now.
    pub sessions: u64,
    /// When one was last used.
    pub seen: Option<Millis>,
}

/// What the admin changes of a user; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserPatch {
    /// Cannot sign in any more.
    pub disabled: Option<bool>,
    /// Another password.
    pub password: Option<String>,
}

fn no_user(login: &str) -> Error {
    Error::NotFound(format!("no login name {login:?}"))
}

/// The open sessions of a company, with the key each is kept under.
async fn open(ledger: &Ledger, tenant: TenantId) -> Result<Vec<(String, OfficeRecord)>> {
    let all = ledger.storage().records_of(tenant, "session", ledger.env().now()).await?;
    all.into_iter().map(|r| body(&r).map(|kept| (r.key, kept))).collect()
}

/// One's own sessions, the newest first.
///
/// # Errors
/// The storage's.
pub async fn sessions(ledger: &Ledger, who: &OfficeSession, limits: &crate::config::Auth) -> Result<Vec<SessionRow>> {
    let mut own = open(ledger, who.tenant).await?;
    own.retain(|(_, kept)| kept.staff == who.author.staff);
    own.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.created));
    let row = |(key, kept): (String, OfficeRecord)| {
        let id = session_id(&key);
        let (current, expires) = (id == who.id, ends(&kept, limits));
        SessionRow { id, created: kept.created, seen: kept.seen, expires, agent: kept.agent, current }
    };
    Ok(own.into_iter().map(row).collect())
}

/// Ends one of one's own sessions.
///
/// # Errors
/// [`Error::NotFound`]; the storage's.
pub async fn end_session(ledger: &Ledger, who: &OfficeSession, id: &str) -> Result<()> {
    let own = open(ledger, who.tenant).await?;
    let found = own.into_iter().find(|(key, kept)| kept.staff == who.author.staff && session_id(key) == id);
    let (key, _) = found.ok_or_else(|| Error::NotFound("no such session".into()))?;
    ledger.storage().take_record(GLOBAL, "session", &key, ledger.env().now()).await?;
    Ok(())
}

/// Ends all sessions of a person but one; answers how many.
///
/// # Errors
/// The storage's.
pub async fn end_sessions(ledger: &Ledger, tenant: TenantId, staff: StaffId, but: Option<&str>) -> Result<u64> {
    let mut ended = 0;
    for (key, kept) in open(ledger, tenant).await? {
        if kept.staff == staff && but.is_none_or(|id| session_id(&key) != id) {
            let taken = ledger.storage().take_record(GLOBAL, "session", &key, ledger.env().now()).await?;
            ended += u64::from(taken.is_some());
        }
    }
    Ok(ended)
}

/// Signs a person out everywhere, with an entry in the audit chain.
///
/// # Errors
/// The storage's.
pub async fn sign_out_everywhere(ledger: &Ledger, who: &OfficeSession) -> Result<u64> {
    let ended = end_sessions(ledger, who.tenant, who.author.staff, None).await?;
    let entry = audit(ledger, who.author.staff, "user.sign_out_everywhere", who.login.clone());
    let batch = Batch { now: entry.at, audit: vec![entry], ..Batch::default() };
    ledger.storage().commit(who.tenant, batch).await?;
    Ok(ended)
}

/// Everybody of a company who has a login name, by it.
///
/// # Errors
/// The storage's.
pub async fn users(ledger: &Ledger, tenant: TenantId) -> Result<Vec<UserRow>> {
    let (storage, now) = (ledger.storage(), ledger.env().now());
    let mut found = Vec::new();
    for kept in storage.records_of(tenant, "user", now).await? {
        let user: User = body(&kept)?;
        found.push((kept.key, user));
    }
    let docs: Vec<DocId> = found.iter().map(|(_, u)| u.staff.into()).collect();
    let mut people = HashMap::new();
    for view in storage.views(tenant, &docs).await? {
        if let Entity::Staff(staff) = view.entity()? {
            people.insert(StaffId::from(view.summary.doc.id), staff);
        }
    }
    let open = open(ledger, tenant).await?;
    let row = |(login, user): (String, User)| {
        let person = people.get(&user.staff).cloned().unwrap_or_default();
        let theirs = || open.iter().filter(|(_, s)| s.login == login);
        UserRow {
            staff: user.staff,
            roles: person.roles.iter().copied().collect(),
            left: person.left.is_some(),
            name: person.name,
            code: person.code,
            disabled: user.disabled,
            sessions: theirs().count() as u64,
            seen: theirs().map(|(_, s)| s.seen).max(),
            login,
        }
    };
    let mut rows: Vec<UserRow> = found.into_iter().map(row).collect();
    rows.sort_by(|a, b| a.login.cmp(&b.login));
    Ok(rows)
}

/// Gives a person of the company a login name and a password. For the admin.
///
/// # Errors
/// [`Error::NotFound`] where there is no such person; `no_office_role`; `login_taken`, also where it is this person's already;
/// as [`super::set_password`].
pub async fn add_user(ledger: &Ledger, who: &OfficeSession, staff: StaffId, login: &str, password: &str) -> Result<()> {
    let roles = ledger.roles(who.tenant, staff).await?;
    if roles.is_empty() {
        return Err(Error::NotFound(format!("no member of staff {staff} with a role")));
    }
    if !(Author { staff, roles, device_code: None }).office() {
        let detail = "a technician alone works on the phone: a role of the office comes first".into();
        return Err(Error::Conflict { code: "no_office_role", detail });
    }
    if super::user(ledger, login).await?.is_some() {
        let detail = format!("the login name {} is taken", login_name(login)?);
        return Err(Error::Conflict { code: "login_taken", detail });
    }
    put_password(ledger, who.tenant, who.author.staff, staff, login, password, "user.add").await
}

/// Changes a user of the company. For the admin. Who is disabled, or has another's choice of password, is signed out.
///
/// # Errors
/// [`Error::NotFound`]; `own_account` where an admin would shut themselves out; `bad_password`.
pub async fn change_user(ledger: &Ledger, who: &OfficeSession, login: &str, patch: &UserPatch) -> Result<()> {
    let login = login_name(login).map_err(|_| no_user(login))?;
    let mut user = super::user(ledger, &login).await?.filter(|u| u.tenant == who.tenant);
    let staff = user.as_ref().ok_or_else(|| no_user(&login))?.staff;
    if patch.disabled == Some(true) && login == who.login {
        let detail = "nobody can disable the login name they are signed in with".into();
        return Err(Error::Conflict { code: "own_account", detail });
    }
    let by = who.author.staff;
    if let Some(password) = &patch.password {
        put_password(ledger, who.tenant, by, staff, &login, password, "user.password").await?;
        user = super::user(ledger, &login).await?;
    }
    if let (Some(disable), Some(mut user)) = (patch.disabled, user)
        && user.disabled.is_some() != disable
    {
        let entry = audit(ledger, by, if disable { "user.disable" } else { "user.enable" }, login.clone());
        user.disabled = disable.then_some(entry.at);
        put_user(ledger, &login, &user, entry).await?;
    }
    if patch.password.is_some() || patch.disabled == Some(true) {
        let but = (login == who.login).then_some(who.id.as_str());
        end_sessions(ledger, who.tenant, staff, but).await?;
    }
    Ok(())
}

async fn put_user(ledger: &Ledger, login: &str, user: &User, entry: Audit) -> Result<()> {
    let at = ledger.storage().record(GLOBAL, "user", login, entry.at).await?.ok_or_else(|| no_user(login))?;
    let fresh = record(login.to_owned(), user, None)?;
    put_audited(ledger, user.tenant, "user", fresh, Some(at.ver), entry).await
}

/// Another password of one's own; one's other sessions end.
///
/// # Errors
/// `wrong_password` where the old one is not right; `bad_password`.
pub async fn change_password(ledger: &Ledger, who: &OfficeSession, old: &str, new: &str) -> Result<()> {
    let user = super::user(ledger, &who.login).await?.filter(|u| u.tenant == who.tenant);
    let user = user.ok_or_else(|| no_user(&who.login))?;
    if !verified(&user.password, old).await? {
        return Err(Error::bad("wrong_password", "old", "the present password is not right"));
    }
    let staff = who.author.staff;
    put_password(ledger, who.tenant, staff, staff, &who.login, new, "user.password").await?;
    end_sessions(ledger, who.tenant, staff, Some(&who.id)).await?;
    Ok(())
}

/// The language in which somebody sees the office.
///
/// # Errors
/// The storage's.
pub async fn language(ledger: &Ledger, who: &OfficeSession) -> Result<Option<Language>> {
    let user = super::user(ledger, &who.login).await?;
    Ok(user.and_then(|u| u.language?.parse().ok()))
}

/// Sets it.
///
/// # Errors
/// The storage's.
pub async fn set_language(ledger: &Ledger, who: &OfficeSession, language: Language) -> Result<()> {
    let now = ledger.env().now();
    let at = ledger.storage().record(GLOBAL, "user", &who.login, now).await?.ok_or_else(|| no_user(&who.login))?;
    let mut user: User = body(&at)?;
    user.language = Some(language.tag().to_owned());
    if ledger.storage().put_record(GLOBAL, "user", record(at.key, &user, None)?, Some(at.ver), now).await? {
        return Ok(());
    }
    Err(Error::Moved)
}
