//! `fixtures/story.json` played in Rust, through the same door as every other language's player.

use crate::world::{Office, Server};
use onsite_ffi::{
    Command, Content, Detail, Doc, Id, Kind, Language, Line, ListOf, NewPhoto, Onsite, OnsiteError, OpenOptions,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

struct Player {
    server: Server,
    office: Office,
    folder: PathBuf,
    phones: BTreeMap<String, Arc<Onsite>>,
    names: BTreeMap<String, Id>,
}

type Seen = Result<Value, OnsiteError>;

/// A word as stored: `OnSite` is `on_site`.
fn word(word: impl std::fmt::Debug) -> String {
    let mut out = String::new();
    for c in format!("{word:?}").chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all: Vec<_> = texts.into_iter().collect();
    all.sort();
    all
}

fn failure(e: &OnsiteError) -> Value {
    match e {
        OnsiteError::Refused { code, field, .. } => json!({ "error": "refused", "code": code, "field": field }),
        OnsiteError::Invalid { field, .. } => json!({ "error": "invalid", "field": field }),
        OnsiteError::Server { code, .. } => json!({ "error": "server", "code": code }),
        other => {
            let name = format!("{other:?}");
            json!({ "error": word(Plain(name.split([' ', '{']).next().unwrap_or_default())) })
        }
    }
}

struct Plain<'a>(&'a str);
impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Where it is not as expected: how.
fn differs(expected: &Value, found: &Value, at: &str) -> Option<String> {
    let no = || Some(format!("{at}: expected {expected}, found {found}"));
    let Value::Object(members) = expected else {
        return match (expected, found) {
            (Value::Array(e), Value::Array(f)) if e.len() == f.len() => {
                e.iter().zip(f).enumerate().find_map(|(n, (e, f))| differs(e, f, &format!("{at}/{n}")))
            }
            (e, f) if e == f => None,
            _ => no(),
        };
    };
    if let Some(least) = members.get("at_least") {
        return if found.as_i64() >= least.as_i64() { None } else { no() };
    }
    if let Some(parts) = members.get("holds").and_then(Value::as_array) {
        let holds = |part: &Value| match (part, found) {
            (Value::String(part), Value::String(text)) => text.contains(part),
            (part, Value::Array(list)) => list.contains(part),
            _ => false,
        };
        return if parts.iter().all(holds) { None } else { no() };
    }
    members.iter().find_map(|(name, e)| differs(e, found.get(name).unwrap_or(&Value::Null), &format!("{at}/{name}")))
}

fn titles(lines: &[Line]) -> Value {
    json!({ "titles": sorted(lines.iter().map(|l| l.summary.title.clone())) })
}

fn shown(detail: Detail) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("title", json!(detail.summary.title));
    put("stage", json!(detail.stage.map(word)));
    put("clashes", json!(sorted(detail.clashes.into_iter().map(|c| c.path))));
    put("delivery", json!(word(detail.delivery)));
    put("explained", json!(sorted(detail.explanations.into_iter().map(|e| e.key))));
    put("numbered", json!(!detail.summary.number.is_empty()));
    match detail.content {
        Content::Visit(v) => {
            put("resolution", json!(v.resolution));
            put("notes", json!(sorted(v.notes.into_iter().map(|n| n.text))));
            put("outcome", json!(v.outcome.map(word)));
            put("satisfaction", json!(v.satisfaction.map(word)));
            put("accepted", json!(v.acceptance.map(|a| a.accepted)));
            put("events", json!(sorted(v.events.into_iter().map(|e| word(e.kind)))));
            put("used", v.items.into_iter().map(|i| (i.name, json!(i.used))).collect::<Map<_, _>>().into());
            put(
                "checks",
                v.checks.into_iter().map(|c| (c.key, json!(c.result.map(word)))).collect::<Map<_, _>>().into(),
            );
            put("photos", json!(v.photos.len()));
            put("receipts", json!(v.receipts.iter().map(|r| r.amount).sum::<i64>()));
            put("signature", json!(detail.signature.map(word)));
        }
        Content::WorkOrder(o) => {
            put("service_description", json!(o.dispatch.service_description));
            put("technicians", json!(o.assignments.len()));
            let items = o.dispatch.items.into_iter().map(|i| (i.name, json!(i.required)));
            put("items", items.collect::<Map<_, _>>().into());
            put("visits", json!(detail.visits.len()));
            put("entitlement", json!(detail.entitlement.map(|e| word(e.entitlement))));
        }
        Content::Customer(c) => {
            put("name", json!(c.name));
            put("contacts", json!(sorted(c.contacts.into_iter().map(|c| c.name))));
        }
        other => panic!("the story looks at no such document: {other:?}"),
    }
    out.into()
}

impl Player {
    fn id(&mut self, name: &str) -> Id {
        *self.names.entry(name.to_owned()).or_insert_with(|| Id(Uuid::now_v7()))
    }

    /// Puts ids in the place of names.
    fn meant(&mut self, value: &Value) -> Value {
        match value {
            Value::String(s) if s == "$now" => {
                json!(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64)
            }
            Value::String(s) if s.starts_with('$') => json!(self.id(s).0),
            Value::Array(list) => list.iter().map(|v| self.meant(v)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.meant(v))).collect::<Map<_, _>>().into(),
            other => other.clone(),
        }
    }

    async fn phone(&mut self, name: &str, step: &Value) -> Seen {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        if step["opens"] == true {
            let folder = self.folder.join(name).display().to_string();
            let phone = Onsite::open(OpenOptions { folder, app: "story 1.0".into(), key: None, new_key: None }).await?;
            self.phones.insert(name.to_owned(), phone);
            return Ok(Value::Null);
        }
        let phone = Arc::clone(&self.phones[name]);
        if let Some(staff) = step["enrols"].as_str() {
            let asked = json!({ "staff": self.id(staff).0 });
            let (_, answer) = self.office.request("POST", "/api/device-codes", Some(asked)).await.unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let code = answer["code"].as_str().expect("a code").to_owned();
            phone.enrol(self.server.url(""), code, name.to_owned()).await?;
        } else if !step["syncs"].is_null() {
            let r = phone.sync(None, None).await?;
            let report =
                json!({ "accepted": r.accepted, "refused": r.refused, "received": r.received, "uploaded": r.uploaded });
            assert_eq!(differs(&step["syncs"], &report, "report"), None);
        } else if !step["does"].is_null() {
            let command = self.meant(&step["does"]);
            phone.execute_json(command.to_string()).await?;
        } else if let Some(doc) = step["adds_photo_to"].as_str() {
            let doc = Doc { kind: Kind::Visit, id: self.id(doc) };
            let (media_type, caption) = ("image/png".into(), "铭牌".into());
            let photo = NewPhoto { doc, id: phone.new_id(), media_type, caption, check: None };
            let size = usize::try_from(step["bytes"].as_u64().unwrap()).unwrap();
            let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
            bytes.resize(size, 7);
            phone.add_photo(photo, bytes).await?;
        } else if let Some(path) = step["chooses"].as_str() {
            let doc = Doc { kind: Kind::Visit, id: self.id(&text("of")) };
            let clashes = phone.show(doc).await?.clashes;
            let values = &clashes.iter().find(|c| c.path == path).expect("a clash").values;
            let meant = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|v| v == step["value"]);
            let choice = values.iter().find(|v| meant(&v.value)).expect("its value").change.clone();
            phone.execute(Command::ChooseClash { doc, path: path.into(), choice }).await?;
        } else if let Some(visit) = step["signs"].as_str() {
            let visit = self.id(visit);
            let shown = phone.to_sign(visit).await?;
            let (name, strokes) = (text("name"), text("strokes"));
            phone.execute(Command::Sign { visit, name, strokes, heads: shown.heads, content: shown.content }).await?;
        } else if step["resends"] == true {
            for edit in phone.refused().await? {
                phone.resend(edit.id).await?;
            }
        } else if !step["decided"].is_null() {
            let edit = &phone.refused().await?[usize::try_from(step["edit"].as_u64().unwrap()).unwrap()];
            let path = format!("/api/set-aside/{}/{}", edit.doc.id.0, edit.change);
            let what = self.meant(&step["decided"]);
            let (status, body) = self.office.request("POST", &path, Some(what)).await.unwrap();
            assert_eq!(status, 204, "{body}");
        } else if step["settles"] == true {
            for edit in phone.refused().await? {
                phone.dismiss(edit.id).await?;
            }
        } else if step["signs_out"] == true {
            phone.sign_out().await?;
        } else if step["closes"] == true {
            phone.shut_down().await?;
        } else if let Some(name) = step["visit"].as_str() {
            let doc = Doc { kind: Kind::WorkOrder, id: self.id(&text("of")) };
            let visit = phone.show(doc).await?.current_visit.expect("a visit");
            self.names.insert(name.to_owned(), visit);
        } else {
            return self.sees(&phone, &text("sees"), &text("of")).await;
        }
        Ok(Value::Null)
    }

    async fn sees(&mut self, phone: &Onsite, what: &str, of: &str) -> Seen {
        let kind = match what {
            "visit" => Kind::Visit,
            "customer" => Kind::Customer,
            _ => Kind::WorkOrder,
        };
        Ok(match what {
            "status" => {
                let s = phone.status().await?;
                json!({
                    "enrolled": s.enrolled, "documents": s.documents, "unsent": s.unsent_changes, "safe": s.safe_to_hand_in,
                    "blobs": s.blobs_waiting, "refused": s.refused, "clashed": s.clashed,
                })
            }
            "ready" => {
                let r = phone.ready_to_leave().await?;
                json!({ "ready": r.ready, "missing": r.missing.into_iter().map(|m| m.key).collect::<Vec<_>>() })
            }
            "today" => {
                let t = phone.today(None).await?;
                let jobs = t.jobs.into_iter().map(
                    |j| json!({ "customer": j.customer_name, "address": j.service_address, "stage": word(j.stage) }),
                );
                json!({ "jobs": jobs.collect::<Vec<_>>(), "requests": t.requests.len() })
            }
            "search" => titles(&phone.search(of.to_owned(), None).await?.lines),
            "list" => titles(&phone.list(ListOf { kind, status: None }, None).await?.lines),
            "form" => {
                let doc = Doc { kind: Kind::Visit, id: self.id(of) };
                json!({ "text": phone.render_form(doc, Language::ZhCn).await? })
            }
            "refused" => {
                let edits = phone.refused().await?.into_iter();
                let edits = edits.map(|e| {
                    let wrote = e.leaves.into_iter().map(|l| l.mine).collect::<String>();
                    let (decision, reason) = e.decision.map(|d| (d.verdict, d.reason)).unzip();
                    json!({
                        "code": e.code, "kind": word(e.doc.kind), "wrote": wrote, "decision": decision, "reason": reason,
                    })
                });
                json!({ "edits": edits.collect::<Vec<_>>() })
            }
            _ => shown(phone.show(Doc { kind, id: self.id(of) }).await?),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_that_every_language_plays() {
    let story: Value = serde_json::from_str(include_str!("../../fixtures/story.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let office = server.company(story["company"].as_str().unwrap()).await.unwrap().office;
    let folder = dir.path().to_owned();
    let mut player = Player { server, office, folder, phones: BTreeMap::new(), names: BTreeMap::new() };
    let mut chapter = String::new();
    for step in story["steps"].as_array().unwrap() {
        let told = format!("{chapter}: {step}");
        if let Some(next) = step["chapter"].as_str() {
            next.clone_into(&mut chapter);
        } else if step["server"] == "down" {
            player.server.kill();
        } else if step["server"] == "up" {
            player.server.up().await.unwrap();
        } else if !step["office"].is_null() {
            let command = serde_json::from_value(player.meant(&step["office"])).unwrap();
            player.office.execute(&command).await.expect(&told);
        } else if let Some(doc) = step["office_sees"].as_str() {
            let path = format!("/api/documents/{}", player.id(doc).0);
            let found = player.office.get(&path).await.unwrap();
            assert_eq!(differs(&step["is"], &found, ""), None, "{told}");
        } else {
            let name = step["phone"].as_str().expect("a phone").to_owned();
            match player.phone(&name, step).await {
                Ok(found) => {
                    assert!(step["fails"].is_null(), "{told}: it did not fail");
                    if !step["is"].is_null() {
                        assert_eq!(differs(&step["is"], &found, ""), None, "{told}");
                    }
                }
                Err(e) => assert_eq!(differs(&step["fails"], &failure(&e), ""), None, "{told}: {e}"),
            }
        }
    }
}
