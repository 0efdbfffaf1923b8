//! The document of the office's API (OpenAPI 3.1), made from the handlers, and a viewer of it.

use super::{
    Office, appraisals, blobs, desk, events, export, feeds, import, office, print, records, session, sync_state,
    webhooks,
};
use crate::error::Error;
use crate::problem::Problem;
use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use onsite_core::domain as d;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};
use std::sync::LazyLock;
use utoipa::OpenApi;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The viewer has no script or style of its own in the page.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                   connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Starts the viewer on this document.
const STARTS: &str = r##"window.ui = SwaggerUIBundle({
  url: "/api/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: "StandaloneLayout",
});
"##;

/// A file's bytes.
#[derive(utoipa::ToSchema)]
#[schema(as = File, value_type = String, format = Binary)]
#[expect(dead_code, reason = "stands for bytes in the document only")]
pub(super) struct Binary(Vec<u8>);

/// What an answer leaves out where there is none; everything else an answer always has.
const LEFT_OUT: [(&str, &str); 7] = [
    ("Evidence", "at"),
    ("Evidence", "value"),
    ("Evidence", "doc"),
    ("Problem", "field"),
    ("Problem", "orders"),
    ("VisitEvent", "position"),
    ("VisitEvent", "corrects"),
];

/// Every route of the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onsite",
        description = "The office's API. Times are milliseconds since the epoch, days are of the company's calendar, \
                       money is fen (1/100 yuan). Who asks comes from the session's cookie alone.",
    ),
    paths(
        session::sign_in,
        session::who_am_i,
        session::ways,
        session::oidc,
        session::oidc_back,
        session::prefer,
        session::sign_out,
        session::change_password,
        session::sessions,
        session::sign_out_everywhere,
        session::end_session,
        session::list_users,
        session::add_user,
        session::change_user,
        desk::today,
        desk::board,
        desk::calendar,
        events::office_events,
        office::command,
        office::work_orders,
        office::documents,
        office::document,
        office::seen,
        records::work_order,
        records::timeline,
        records::visit,
        records::customer,
        records::entitlement,
        records::calls,
        records::staff,
        appraisals::proposals,
        appraisals::figures,
        appraisals::trend,
        appraisals::cases,
        sync_state::devices,
        sync_state::device,
        sync_state::revoke,
        sync_state::device_code,
        sync_state::clashes,
        sync_state::set_aside,
        sync_state::decide_aside,
        office::rescue,
        sync_state::audit_list,
        sync_state::audit_verify,
        print::dispatch,
        print::visit,
        blobs::photo,
        blobs::thumb,
        import::preview,
        import::take,
        import::template,
        export::export,
        webhooks::list,
        webhooks::create,
        webhooks::change,
        webhooks::remove,
        webhooks::secret,
        webhooks::ping,
        webhooks::deliveries,
        webhooks::redeliver,
        feeds::list,
        feeds::issue,
        feeds::revoke,
        document,
        viewer,
        viewer_file,
    ),
    // What is set as one is not found through what holds it, nor what a query holds through the query.
    components(schemas(
        Problem,
        crate::office::export::List,
        crate::office::figures::Step,
        crate::sheets::Form,
        d::figures::FigureName,
        d::Acceptance,
        d::Analysis,
        d::Booking,
        d::Charge,
        d::ContactLog,
        d::EntitlementOverride,
        d::Expense,
        d::Feedback,
        d::Mark,
        d::Note,
        d::Reasoned,
        d::Receipt,
        d::Ruling,
        d::Signature,
        d::Signoff,
        d::VisitEvent,
    )),
    tags(
        (name = "session", description = "Sign-in and out, one's own sessions and password"),
        (name = "users", description = "Who signs in at the office"),
        (name = "desk", description = "What waits, the board, the calendar"),
        (name = "records", description = "Records and what can be done to them"),
        (name = "appraisals", description = "Penalties and rewards"),
        (name = "figures", description = "Figures and the cases they are summed from"),
        (name = "sync", description = "Phones, clashes, refused edits"),
        (name = "audit", description = "The audit chain"),
        (name = "files", description = "Imports and exports"),
        (name = "webhooks", description = "What is told to other programs"),
        (name = "feeds", description = "Technicians' calendars for other programs"),
        (name = "api", description = "This document"),
    ),
)]
struct Api;

/// The document as text.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // What serialises once does so always: a test does it.
        let api = serde_json::to_value(Api::openapi()).unwrap_or_default();
        format!("{:#}\n", finished(api))
    });
    &TEXT
}

/// What holds of all routes and schemas alike, which their derivation does not know.
fn finished(mut api: Value) -> Value {
    api["info"] = json!({
        "title": api["info"]["title"],
        "description": api["info"]["description"],
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
    });
    api["components"]["securitySchemes"] = json!({ "session": {
        "type": "apiKey", "in": "cookie", "name": "__Host-onsite",
        "description": "The office's session; the cookie is called `onsite` where the server has no HTTPS.",
    }});
    api["security"] = json!([{ "session": [] }]);
    each(&mut api, &mut plain);
    if let Some(schemas) = api["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| !name.starts_with("Atomic_"));
    }
    let asked = asked(&api);
    if let Some(schemas) = api["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas.iter_mut().filter(|(name, _)| !asked.contains(*name)) {
            each(schema, &mut |object| whole(name, object));
        }
    }
    let paths = api["paths"].as_object_mut().into_iter().flat_map(|p| p.values_mut());
    for (method, operation) in paths.filter_map(Value::as_object_mut).flatten() {
        let problem = json!({ "description": "A problem (RFC 9457): its `code` is stable",
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for (status, response) in responses.iter_mut() {
            if response["description"].as_str().is_none_or(str::is_empty) {
                response["description"] = if status == "204" { "Done" } else { "As asked" }.into();
            }
        }
        if method == "get" && responses.get("200").is_some_and(|r| r["content"]["application/json"].is_object()) {
            responses.insert("304".into(), json!({ "description": "As the `if-none-match` of the request says" }));
        }
        responses.insert("default".into(), problem);
    }
    api
}

/// Does something to every object in a document.
fn each(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(|v| each(v, change));
            change(object);
        }
        Value::Array(all) => all.iter_mut().for_each(|v| each(v, change)),
        _ => {}
    }
}

/// In answers what is set as one is what it holds; links among Rust's items lead nowhere here.
fn plain(object: &mut Map<String, Value>) {
    if let Some(to) = object.get("$ref").and_then(Value::as_str).map(str::to_owned)
        && let Some(inner) = to.strip_prefix("#/components/schemas/Atomic_")
    {
        if inner == "Value" {
            object.remove("$ref");
        } else {
            object.insert("$ref".into(), format!("#/components/schemas/{inner}").into());
        }
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
}

/// An answer's object has all its members.
fn whole(name: &str, object: &mut Map<String, Value>) {
    let Some(members) = object.get("properties").and_then(Value::as_object) else { return };
    let left_out = |member: &str| LEFT_OUT.contains(&(name, member));
    let all: Vec<Value> = members.keys().filter(|m| !left_out(m)).map(|m| m.as_str().into()).collect();
    object.insert("required".into(), all.into());
}

/// The schemas of what is sent to the server, which may lack what has a default.
fn asked(api: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    let operations = api["paths"].as_object().into_iter().flat_map(Map::values).filter_map(Value::as_object);
    for operation in operations.flat_map(Map::values) {
        open.push(&operation["requestBody"]);
        open.push(&operation["parameters"]);
    }
    while let Some(value) = open.pop() {
        match value {
            Value::Object(object) => {
                let name = object.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
                if let Some(name) = name.filter(|name| found.insert((*name).to_owned())) {
                    open.push(&api["components"]["schemas"][name]);
                }
                open.extend(object.values());
            }
            Value::Array(all) => open.extend(all),
            _ => {}
        }
    }
    found
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "api",
    operation_id = "openapi",
    responses((status = 200, body = serde_json::Value)),
)]
pub(super) async fn document(_: Office) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
}

/// The viewer of this document.
#[utoipa::path(get, path = "/api/docs", tag = "api", responses((status = 308, description = "To the viewer's page")))]
pub(super) async fn viewer(_: Office) -> Redirect {
    Redirect::permanent("/api/docs/index.html")
}

/// A file of the viewer.
#[utoipa::path(
    get,
    path = "/api/docs/{file}",
    tag = "api",
    params(("file" = String, Path, description = "The file")),
    responses((status = 200, body = Binary, content_type = "text/html")),
)]
pub(super) async fn viewer_file(_: Office, Path(file): Path<String>) -> Result<Response, Error> {
    let bytes = if file == "swagger-initializer.js" { STARTS.as_bytes().to_vec() } else { packed(&file)? };
    let kind = match file.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, CSP)], bytes).into_response())
}

/// A file of the packed viewer.
fn packed(file: &str) -> Result<Vec<u8>, Error> {
    let broken = |e: &dyn std::fmt::Display| Error::Internal(format!("the viewer: {e}"));
    let missing = || Error::NotFound("no such file of the viewer".into());
    let mut all = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).map_err(|e| broken(&e))?;
    let end = format!("/dist/{file}");
    let mut names = all.file_names().filter_map(Result::ok);
    let found = names.find(|name| name.ends_with(&end)).ok_or_else(missing)?.into_owned();
    drop(names);
    let mut bytes = Vec::new();
    all.by_name(&found).map_err(|e| broken(&e))?.read_to_end(&mut bytes).map_err(|e| broken(&e))?;
    Ok(bytes)
}
