//! `/api/openapi.json`: that it is whole, and says what is really sent.

use super::World;
use crate::routes::openapi;
use onsite_core::domain::Millis;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn document() -> Value {
    serde_json::from_str(openapi::text()).unwrap()
}

/// The operations of the document: method, path, what it says.
pub(super) fn operations(api: &Value) -> Vec<(String, String, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    let of = |(path, item): (&String, &'_ Value)| (path.clone(), item.as_object().unwrap().clone());
    let named: Vec<_> = paths.map(of).flat_map(|(p, ops)| ops.into_iter().map(move |(m, _)| (m, p.clone()))).collect();
    named.into_iter().map(|(m, p)| (m.clone(), p.clone(), &api["paths"][&p][&m])).collect()
}

/// The routes of the table under `/api`, as its source tells them.
fn table() -> BTreeSet<(String, String)> {
    let source = include_str!("../mod.rs");
    let mut found = BTreeSet::new();
    for rest in source.split(".route(").skip(1) {
        let Some((path, rest)) = rest.split_once('"').and_then(|(_, r)| r.split_once('"')) else { continue };
        if !path.starts_with("/api/") {
            continue;
        }
        // The handlers end where the call's bracket does.
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let handlers = &rest[..end.unwrap()];
        let methods = METHODS.iter().filter(|m| {
            let call = format!("{m}(");
            handlers.match_indices(&call).any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_alphanumeric()))
        });
        found.extend(methods.map(|m| ((*m).to_owned(), path.to_owned())));
    }
    found
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboard/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, openapi::text()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == openapi::text(),
        "write it anew: `UPDATE_OPENAPI=1 cargo test -p onsite-server openapi`, or `onsite openapi > {path}`"
    );
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let api = document();
    let said: BTreeSet<(String, String)> = operations(&api).into_iter().map(|(m, p, _)| (m, p)).collect();
    let table = table();
    assert!(table.len() > 30, "{table:?}");
    assert_eq!(said, table);
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&api) {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: its operationId is taken");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{at}: no tag");
        let told: BTreeSet<&str> = (operation["parameters"].as_array().into_iter().flatten())
            .filter(|p| p["in"] == "path")
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|p| p.split('}').next()).collect();
        assert_eq!(told, named, "{at}: the path's parameters");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let text = openapi::text();
    let api = document();
    let mut seen = 0;
    for reference in text.split("\"$ref\": \"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(api["components"]["schemas"][name].is_object(), "{name}");
        seen += 1;
    }
    assert!(seen > 100);
    assert!(!text.contains("Atomic_"));
}

/// A schema of the document that allows nothing it does not name.
pub(super) struct Strict(Value);

impl Strict {
    pub(super) fn new() -> Self {
        let mut api = document();
        let schemas = api["components"]["schemas"].as_object_mut().unwrap();
        // What is a part of something larger may not forbid the rest.
        let parts: Vec<(String, Value)> = schemas.iter().map(|(n, s)| (format!("{n}.part"), s.clone())).collect();
        schemas.values_mut().for_each(strict);
        schemas.extend(parts);
        Self(api["components"].clone())
    }

    /// That a value is as the schema of this name, or as this schema, says.
    #[track_caller]
    pub(super) fn holds(&self, schema: &Value, value: &Value, at: &str) {
        let mut schema = schema.clone();
        strict(&mut schema);
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.add_resource("https://x/", json!({ "allOf": [schema], "components": self.0 })).unwrap();
        let mut schemas = boon::Schemas::new();
        let whole = compiler.compile("https://x/", &mut schemas).unwrap();
        if let Err(e) = schemas.validate(value, whole) {
            panic!("{at}: {e:#}\n{value:#}");
        }
    }
}

fn strict(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, inner) in object.iter_mut() {
                match key.as_str() {
                    "allOf" => {
                        for part in inner.as_array_mut().unwrap() {
                            if let Some(to) = part["$ref"].as_str() {
                                part["$ref"] = format!("{to}.part").into();
                            }
                            part["properties"]
                                .as_object_mut()
                                .into_iter()
                                .for_each(|p| p.values_mut().for_each(strict));
                            if part["properties"].is_null() {
                                part.as_object_mut().unwrap().remove("properties");
                            }
                        }
                    }
                    _ => strict(inner),
                }
            }
            if object.contains_key("allOf") || object.get("properties").is_some_and(Value::is_object) {
                object.insert("unevaluatedProperties".into(), false.into());
            }
        }
        Value::Array(all) => all.iter_mut().for_each(strict),
        _ => {}
    }
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let w = World::new().await;
    let job = w.job().await;
    crate::office::open_company(&w.app.ledger, w.tenant, "恒达机械").await.unwrap();
    let (who, ..) = w.phone(1).await;
    let request = w.app.ledger.storage();
    let request = request.children(w.tenant, onsite_core::domain::Kind::Request, job.customer.into()).await.unwrap();
    let now = onsite_core::env::Env::now(&*w.env);
    let (api, strict) = (document(), Strict::new());
    let mut asked = 0;
    for (_, path, operation) in operations(&api).into_iter().filter(|(m, ..)| m == "get") {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let ids: Vec<String> = match path.as_str() {
            p if p.starts_with("/api/work-orders/{id}") => vec![job.order.to_string()],
            p if p.starts_with("/api/visits/{id}") => vec![job.visit.to_string()],
            p if p.starts_with("/api/customers/{id}") => vec![job.customer.to_string()],
            p if p.starts_with("/api/devices/{id}") => vec![who.device.to_string()],
            "/api/documents/{id}" => vec![
                job.order.to_string(),
                job.visit.to_string(),
                job.customer.to_string(),
                job.complaint.to_string(),
                job.boss.staff.to_string(),
                onsite_core::domain::SETTINGS.to_string(),
                request[0].to_string(),
            ],
            p if p.contains('{') => continue,
            _ => vec![String::new()],
        };
        let query = match path.as_str() {
            "/api/calendar" => format!("?from={}&to={}", now.plus(-Millis::DAY).0, now.plus(Millis::DAY).0),
            "/api/entitlement" => format!("?customer={}&equipment={}", job.customer, job.machine),
            "/api/figures/jobs" => "?figure=on_time_arrival&from=2025-11-01&to=2025-11-30".into(),
            "/api/set-aside" => "?decided=true".into(),
            _ => String::new(),
        };
        if schema.is_null() {
            continue;
        }
        for id in ids {
            let path = format!("{}{query}", path.replace("{id}", &id));
            strict.holds(schema, &w.get(&path, &job.cookie).await, &path);
            asked += 1;
        }
    }
    assert!(asked > 25, "{asked}");
    let problem = &json!({ "$ref": "#/components/schemas/Problem" });
    let missing = w.call("GET", "/api/documents/x", &[("cookie", &job.cookie)], "").await.problem(404, "not_found");
    strict.holds(problem, &missing, "problem");
    let refused = json!({ "do": "close_work_order", "id": job.order });
    let refused = w.post("/api/commands", &[("cookie", &job.cookie)], refused).await;
    assert_eq!(refused.status, 422);
    strict.holds(problem, &refused.json(), "refused");
}

#[tokio::test]
async fn a_viewer_shows_it_to_who_is_signed_in() {
    let w = World::new().await;
    let job = w.job().await;
    let cookie = [("cookie", job.cookie.as_str())];
    w.call("GET", "/api/openapi.json", &[], "").await.problem(401, "unauthorized");
    let said = w.call("GET", "/api/openapi.json", &cookie, "").await.good(200);
    assert_eq!(said.body, openapi::text());
    assert_eq!(w.call("GET", "/api/docs", &cookie, "").await.header("location"), "/api/docs/index.html");
    let page = w.call("GET", "/api/docs/index.html", &cookie, "").await.good(200);
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("script-src 'self';"));
    // Nothing in the page that this forbids, and everything it names is there.
    assert!(html.split("<script").skip(1).all(|s| s.trim_start().starts_with("src=")), "{html}");
    assert!(!html.contains("<style"), "{html}");
    let names: Vec<&str> = html.split("=\"./").skip(1).filter_map(|s| s.split('"').next()).collect();
    assert!(names.contains(&"swagger-initializer.js"), "{names:?}");
    for name in names {
        w.call("GET", &format!("/api/docs/{name}"), &cookie, "").await.good(200);
    }
    let start = w.call("GET", "/api/docs/swagger-initializer.js", &cookie, "").await.good(200);
    assert!(String::from_utf8_lossy(&start.body).contains("/api/openapi.json"));
    w.call("GET", "/api/docs/passwd", &cookie, "").await.problem(404, "not_found");
}
