//! Sign-in and out, one's own sessions and password; users, for the admin.

use super::{Asked, Office, Peer, Shown, cookie, json, named_cookie, same_site};
use crate::auth::users::{self, SessionRow, UserPatch, UserRow};
use crate::{App, auth, error::Error, oidc};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use onsite_core::domain::{Entity, Millis, Role, StaffId, TenantId};
use onsite_core::messages::Language;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Who signs in. A login name is of one company only.
#[derive(Deserialize, ToSchema)]
pub(super) struct Credentials {
    /// Login name; great and small letters are the same.
    pub(super) login: String,
    /// Password.
    pub(super) password: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// The company.
    tenant: TenantId,
    /// Its name.
    company: String,
    /// The person.
    staff: StaffId,
    /// Their name.
    name: String,
    /// 工号
    code: String,
    /// Login name.
    login: String,
    /// Their roles now.
    roles: BTreeSet<Role>,
    /// The language they have chosen.
    language: Option<Language>,
    /// When they signed in.
    created: Millis,
    /// When the session ends if it is not used again.
    expires: Millis,
}

/// Checks a password with every limit; answers the session's secret.
pub(super) async fn enter(app: &App, peer: &Peer, headers: &HeaderMap, said: &Credentials) -> Result<String, Error> {
    let (limits, now) = (&app.config.limits, app.ledger.env().now());
    let name = said.login.trim().to_lowercase().chars().take(64).collect::<String>();
    app.login_rate.take(peer.at, limits.login_tries_per_minute, now)?;
    app.lockout.check(&name, limits, now)?;
    let secret = auth::sign_in(&app.ledger, &said.login, &said.password, agent(headers), &app.config.auth).await;
    if let Ok(_) | Err(Error::Unauthorized(_)) = &secret {
        app.lockout.note(&name, secret.is_ok(), limits, now);
    }
    secret
}

/// What the browser calls itself.
pub(super) fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Hands out the session's cookie; takes it back where `seconds` is 0.
pub(super) fn set_cookie(app: &App, response: &mut Response, secret: &str, seconds: u64) {
    let secure = if app.config.secure_cookies() { "; Secure" } else { "" };
    let cookie =
        format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", app.cookie_name());
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Nobody is signed in any more, and what the browser holds of our answers goes too.
fn gone(app: &App) -> Response {
    let cleared = HeaderValue::from_static("\"cache\"");
    let mut response = (StatusCode::NO_CONTENT, [("clear-site-data", cleared)]).into_response();
    set_cookie(app, &mut response, "", 0);
    response
}

async fn told(app: &App, who: auth::OfficeSession) -> Result<Shown<Me>, Error> {
    let company = app.ledger.storage().tenant(who.tenant).await?.map(|t| t.name).unwrap_or_default();
    let view = app.ledger.storage().views(who.tenant, &[who.author.staff.into()]).await?.pop();
    let (name, code) = match view.map(|v| v.entity()).transpose()? {
        Some(Entity::Staff(staff)) => (staff.name, staff.code),
        _ => Default::default(),
    };
    let language = users::language(&app.ledger, &who).await?;
    Ok(Shown(Me {
        tenant: who.tenant,
        company,
        staff: who.author.staff,
        name,
        code,
        login: who.login,
        roles: who.author.roles,
        language,
        created: who.created,
        expires: who.expires,
    }))
}

/// Signs in: the answer sets the session's cookie. The same `unauthorized` for an unknown name and a wrong password;
/// `busy` after too many tries.
#[utoipa::path(
    post,
    path = "/api/session",
    tag = "session",
    operation_id = "sign_in",
    security(()),
    request_body = Credentials,
    responses((status = 200, body = Me)),
)]
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    same_site(&app, &Method::POST, &headers)?;
    let secret = enter(&app, &peer, &headers, &json(&headers, &body)?).await?;
    let who = auth::office_still(&app.ledger, &secret, &app.config.auth).await?;
    let mut response = told(&app, who).await?.into_response();
    set_cookie(&app, &mut response, &secret, app.config.auth.session_seconds);
    Ok(response)
}

/// How one can sign in.
#[derive(Serialize, ToSchema)]
pub(super) struct Ways {
    /// The name of the identity provider, where one is configured: `/api/session/oidc` leads to it.
    oidc: Option<String>,
}

/// How one can sign in, besides by password.
#[utoipa::path(
    get,
    path = "/api/sign-in",
    tag = "session",
    operation_id = "ways_to_sign_in",
    security(()),
    responses((status = 200, body = Ways)),
)]
pub(super) async fn ways(State(app): State<Arc<App>>) -> Shown<Ways> {
    let oidc = &app.config.oidc;
    Shown(Ways { oidc: oidc.issuer.as_ref().map(|_| oidc.name.clone()) })
}

/// The cookie that shows that a browser comes back from the provider itself. It does come from another site.
fn set_oidc_cookie(app: &App, response: &mut Response, secret: &str, seconds: u64) {
    let secure = if app.config.secure_cookies() { "; Secure" } else { "" };
    let name = app.cookie_name();
    let cookie = format!("{name}-oidc={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Where somebody wants to be who signs in.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Towards {
    /// A path of this server, such as `/board?q=abc`; anything else is passed over.
    next: Option<String>,
}

/// Leads the browser to the identity provider.
#[utoipa::path(
    get,
    path = "/api/session/oidc",
    tag = "session",
    security(()),
    params(Towards),
    responses((status = 303, description = "To the identity provider")),
)]
pub(super) async fn oidc(
    State(app): State<Arc<App>>,
    peer: Peer,
    Asked(towards): Asked<Towards>,
) -> Result<Response, Error> {
    let (limits, now) = (&app.config.limits, app.ledger.env().now());
    app.login_rate.take(peer.at, limits.login_tries_per_minute, now)?;
    let begun = app.oidc.begin(&app, towards.next).await?;
    let mut response = Redirect::to(&begun.to).into_response();
    set_oidc_cookie(&app, &mut response, &begun.browser, 600);
    Ok(response)
}

/// What the identity provider sends a browser back with.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Back {
    /// Which try it was.
    state: String,
    /// What the tokens are given for.
    code: String,
    /// Why there is no code.
    error: String,
}

/// Where the identity provider sends the browser back to. Leads to where it began, signed in; or to the
/// page's sign-in with the problem's code as `problem`.
#[utoipa::path(
    get,
    path = "/api/session/oidc/callback",
    tag = "session",
    operation_id = "oidc_callback",
    security(()),
    params(Back),
    responses((status = 303, description = "To the page")),
)]
pub(super) async fn oidc_back(State(app): State<Arc<App>>, headers: HeaderMap, Asked(back): Asked<Back>) -> Response {
    let name = format!("{}-oidc", app.cookie_name());
    let browser = named_cookie(&headers, &name).unwrap_or_default();
    let code = back.error.is_empty().then_some(back.code.as_str());
    let oidc::Ended { entered, next } = app.oidc.finish(&app, &back.state, code, &browser, agent(&headers)).await;
    let mut query: Vec<(&str, &str)> = Vec::new();
    match &entered {
        Err(e) => query.push(("problem", e.code())),
        // The session's cookie is not sent along a way that began at the provider: the page goes there itself.
        Ok(_) if next.as_deref().is_some_and(|path| path.starts_with("/api/")) => query.push(("entered", "")),
        Ok(_) => {}
    }
    let to = if query.is_empty() {
        next.unwrap_or_else(|| "/".into())
    } else {
        query.extend(next.as_deref().map(|path| ("next", path)));
        format!("/login?{}", serde_urlencoded::to_string(query).unwrap_or_default())
    };
    let mut response = Redirect::to(&to).into_response();
    set_oidc_cookie(&app, &mut response, "", 0);
    if let Ok(secret) = entered {
        set_cookie(&app, &mut response, &secret, app.config.auth.session_seconds);
    }
    response
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/session", tag = "session", responses((status = 200, body = Me)))]
pub(super) async fn who_am_i(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Me>, Error> {
    told(&app, who).await
}

/// What somebody chooses for themselves.
#[derive(Deserialize, ToSchema)]
pub(super) struct Preferences {
    /// The page's language.
    language: Language,
}

/// Sets the language in which one sees the office.
#[utoipa::path(
    patch,
    path = "/api/session",
    tag = "session",
    request_body = Preferences,
    responses((status = 200, body = Me)),
)]
pub(super) async fn prefer(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Shown<Me>, Error> {
    let Preferences { language } = json(&headers, &body)?;
    users::set_language(&app.ledger, &who, language).await?;
    told(&app, who).await
}

/// Signs out.
#[utoipa::path(
    delete,
    path = "/api/session",
    tag = "session",
    operation_id = "sign_out",
    security(()),
    responses((status = 204)),
)]
pub(super) async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Error> {
    same_site(&app, &Method::DELETE, &headers)?;
    if let Some(secret) = cookie(&app, &headers) {
        auth::sign_out(&app.ledger, &secret).await?;
    }
    Ok(gone(&app))
}

/// Another password.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordChange {
    /// The present one.
    old: String,
    /// The new one: at least 8 characters, at most 1024 bytes.
    new: String,
}

/// Changes one's own password; one's other sessions end.
#[utoipa::path(
    put,
    path = "/api/session/password",
    tag = "session",
    request_body = PasswordChange,
    responses((status = 204)),
)]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let PasswordChange { old, new } = json(&headers, &body)?;
    let (limits, now) = (&app.config.limits, app.ledger.env().now());
    // Whoever found a page open may not try passwords on it any longer than at the door.
    app.lockout.check(&who.login, limits, now)?;
    let done = users::change_password(&app.ledger, &who, &old, &new).await;
    if let Ok(()) | Err(Error::Bad { code: "wrong_password", .. }) = &done {
        app.lockout.note(&who.login, done.is_ok(), limits, now);
    }
    done?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own sessions, the newest first.
#[utoipa::path(get, path = "/api/sessions", tag = "session", responses((status = 200, body = Vec<SessionRow>)))]
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Office(who): Office,
) -> Result<Shown<Vec<SessionRow>>, Error> {
    users::sessions(&app.ledger, &who, &app.config.auth).await.map(Shown)
}

/// Signs out everywhere, here too.
#[utoipa::path(delete, path = "/api/sessions", tag = "session", responses((status = 204)))]
pub(super) async fn sign_out_everywhere(State(app): State<Arc<App>>, Office(who): Office) -> Result<Response, Error> {
    users::sign_out_everywhere(&app.ledger, &who).await?;
    Ok(gone(&app))
}

/// Ends one of one's own sessions.
#[utoipa::path(
    delete,
    path = "/api/sessions/{id}",
    tag = "session",
    params(("id" = String, Path, description = "The session's name")),
    responses((status = 204)),
)]
pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(session): Path<String>,
) -> Result<StatusCode, Error> {
    users::end_session(&app.ledger, &who, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everybody who signs in at the office. For the admin.
#[utoipa::path(get, path = "/api/users", tag = "users", responses((status = 200, body = Vec<UserRow>)))]
pub(super) async fn list_users(State(app): State<Arc<App>>, Office(who): Office) -> Result<Shown<Vec<UserRow>>, Error> {
    auth::require(&who.author, &[Role::Admin])?;
    users::users(&app.ledger, who.tenant).await.map(Shown)
}

/// A new user.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewUser {
    /// The person: a member of staff with a role. The command `put_staff` makes one, and sets their roles.
    staff: StaffId,
    /// Login name: 1 to 64 characters, no blanks; taken on this server once.
    login: String,
    /// Password: at least 8 characters, at most 1024 bytes.
    password: String,
}

/// Gives a member of staff a login name. For the admin.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUser, responses((status = 204)))]
pub(super) async fn add_user(
    State(app): State<Arc<App>>,
    Office(who): Office,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let new: NewUser = json(&headers, &body)?;
    auth::require(&who.author, &[Role::Admin])?;
    users::add_user(&app.ledger, &who, new.staff, &new.login, &new.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is changed of a user; what is absent stays.
#[derive(Deserialize, Default, ToSchema)]
#[serde(default)]
pub(super) struct UserChange {
    /// Whether they are kept from signing in. Their sessions end.
    disabled: Option<bool>,
    /// Another password. Their sessions end.
    password: Option<String>,
}

/// Disables a user, or gives them another password. For the admin.
#[utoipa::path(
    patch,
    path = "/api/users/{login}",
    tag = "users",
    params(("login" = String, Path, description = "The login name")),
    request_body = UserChange,
    responses((status = 204)),
)]
pub(super) async fn change_user(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Path(login): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let UserChange { disabled, password } = json(&headers, &body)?;
    auth::require(&who.author, &[Role::Admin])?;
    users::change_user(&app.ledger, &who, &login, &UserPatch { disabled, password }).await?;
    Ok(StatusCode::NO_CONTENT)
}
