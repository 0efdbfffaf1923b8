//! Who may do what: every role, every route and every command, asked of the real thing.

use super::World;
use super::openapi::{document, operations};
use onsite_core::domain::Role;
use serde_json::{Map, Value, json};

/// The roles that sign in at the office: a technician has a phone.
fn office() -> impl Iterator<Item = Role> {
    Role::ALL.iter().copied().filter(|r| *r != Role::Technician)
}

/// A value that a schema allows; of several, the first.
fn sample(api: &Value, schema: &Value) -> Value {
    if let Some(to) = schema["$ref"].as_str() {
        // Each kind of thing has an id of its own.
        if to.ends_with("Id") {
            let n = api["components"]["schemas"].as_object().unwrap().keys().position(|name| to.ends_with(name));
            return json!(format!("01900000-0000-7000-8000-{:012x}", n.unwrap()));
        }
        return sample(api, api.pointer(to.trim_start_matches('#')).unwrap());
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in all {
            whole.extend(sample(api, part).as_object().cloned().unwrap_or_default());
        }
        return whole.into();
    }
    if let Some(first) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).and_then(|all| all.first()) {
        return sample(api, first);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match (kind, schema["format"].as_str()) {
        (Some("object"), _) => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().flat_map(Value::as_str).collect();
            let members = schema["properties"].as_object().into_iter().flatten();
            let needed = members.filter(|(name, _)| required.contains(&name.as_str()));
            Value::Object(needed.map(|(name, s)| (name.clone(), sample(api, s))).collect())
        }
        (Some("array"), _) => json!([sample(api, &schema["items"])]),
        (Some("string"), Some("uuid")) => json!("01900000-0000-7000-8000-000000000009"),
        (Some("string"), Some("date")) => json!("2025-11-24"),
        (Some("string"), _) if schema["pattern"].as_str().is_some_and(|p| p.contains("{64}")) => json!("0".repeat(64)),
        (Some("string"), _) if schema["pattern"].is_string() => json!("1763942400000"),
        (Some("integer" | "number"), _) => json!(1),
        (Some("boolean"), _) => json!(true),
        _ => json!("x"),
    }
}

/// Somebody with each role, signed in.
async fn people(w: &World) -> Vec<(Role, String)> {
    let mut people = Vec::new();
    for role in office() {
        w.office(role.word(), &[role]).await;
        people.push((role, w.cookie(role.word()).await));
    }
    people
}

fn table(rows: impl Iterator<Item = (String, Vec<&'static str>)>) -> String {
    rows.map(|(name, allowed)| format!("{name:<48} {}\n", allowed.join(" "))).collect()
}

#[tokio::test]
async fn every_command_by_every_role() {
    let w = World::new().await;
    let people = people(&w).await;
    let api = document();
    let strict = super::openapi::Strict::new();
    let mut rows = Vec::new();
    for schema in api["components"]["schemas"]["Command"]["oneOf"].as_array().unwrap() {
        // What the document says of a command is what the server takes for one.
        let command = sample(&api, schema);
        strict.holds(&json!({ "$ref": "#/components/schemas/Command" }), &command, "a command");
        let mut allowed = Vec::new();
        for (role, cookie) in &people {
            let answer = w.post("/api/commands", &[("cookie", cookie)], command.clone()).await;
            assert!(answer.status == 200 || answer.json()["code"] != "bad_body", "{command}: {:?}", answer.body);
            if answer.status == 200 || answer.json()["code"] != "not_your_role" {
                allowed.push(role.word());
            }
        }
        rows.push((command["do"].as_str().unwrap().to_owned(), allowed));
    }
    assert!(rows.len() > 40);
    insta::assert_snapshot!("commands", table(rows.into_iter()));
}

#[tokio::test]
async fn every_route_by_every_role() {
    let w = World::new().await;
    let people = people(&w).await;
    let api = document();
    let mut all = operations(&api);
    all.retain(|(_, _, op)| op["responses"]["200"]["content"]["text/event-stream"].is_null());
    // What ends the session comes last.
    all.sort_by_key(|(method, path, _)| (method == "delete" && path.starts_with("/api/session"), path.clone()));
    let mut rows = Vec::new();
    for (method, path, operation) in all {
        let mut query = Vec::new();
        let mut at = path.clone();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, value) = (parameter["name"].as_str().unwrap(), sample(&api, &parameter["schema"]));
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => at = at.replace(&format!("{{{name}}}"), &value),
                "query" if parameter["required"] == true => query.push(format!("{name}={value}")),
                _ => {}
            }
        }
        let body = operation["requestBody"]["content"].as_object().and_then(|c| c.iter().next());
        let kind = body.map_or("application/json", |(kind, _)| kind.as_str());
        let body = body.map_or(Value::Null, |(_, media)| sample(&api, &media["schema"]));
        let at = if query.is_empty() { at } else { format!("{at}?{}", query.join("&")) };
        let said = if body.is_null() { String::new() } else { body.to_string() };
        let mut allowed = Vec::new();
        for (role, cookie) in &people {
            let headers = [("cookie", cookie.as_str()), ("content-type", kind)];
            let answer = w.call(&method.to_uppercase(), &at, &headers, said.clone()).await;
            // Another's password is not tried at so many doors that one of them is shut.
            w.env.advance(60_000);
            assert!(answer.status < 500, "{method} {at}: {:?}", answer.body);
            if answer.status != 403 {
                allowed.push(role.word());
            }
        }
        // Without a session there is nothing but the door.
        let stranger = w.call(&method.to_uppercase(), &at, &[("content-type", kind)], said).await;
        let open = operation["security"].as_array().is_some_and(|s| s.contains(&json!({})));
        assert_eq!(
            stranger.status == 401 && path != "/api/session",
            !open && path != "/api/session",
            "{method} {at}: {}",
            stranger.status
        );
        rows.push((format!("{} {path}", method.to_uppercase()), allowed));
    }
    rows.sort();
    insta::assert_snapshot!("routes", table(rows.into_iter()));
}
