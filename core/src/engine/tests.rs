//! Of the engine, and of the crate's law.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::domain::{Entity, Kind, Millis, Role, StaffId, TenantId, VisitId};
use crate::env::SeededEnv;
use crate::store::blobs::MemoryBlobs;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

const T0: Millis = Millis(1_764_000_000_000);

fn fresh() -> Engine {
    let env = Arc::new(SeededEnv::new(3, T0));
    let conn = Connection::open_in_memory().unwrap();
    Engine::open(conn, Box::new(env), Box::new(MemoryBlobs::new())).unwrap()
}

fn enrolled() -> Engine {
    enrolled_as(answer().device)
}

fn enrolled_as(device: crate::domain::DeviceId) -> Engine {
    let mut engine = fresh();
    engine.begin_enrolment().unwrap();
    engine.finish_enrolment("https://onsite.example", &EnrolAnswer { device, ..answer() }).unwrap();
    engine
}

fn answer() -> EnrolAnswer {
    EnrolAnswer {
        tenant: TenantId(Uuid::from_u128(1)),
        company: "华南纸浆模塑".into(),
        device: crate::domain::DeviceId(Uuid::from_u128(2)),
        device_code: "A7".into(),
        staff: StaffId(Uuid::from_u128(3)),
        roles: [Role::Technician].into(),
    }
}

#[test]
fn nothing_works_before_enrolment_and_says_so() {
    let mut engine = fresh();
    assert_eq!(engine.identity().unwrap(), None);
    let command = Command::OpenUnplannedVisit { request: engine.new_id().into() };
    assert_eq!(engine.execute(&command).unwrap_err().code(), "not_enrolled");
    assert_eq!(engine.today(engine.day()).unwrap_err().code(), "not_enrolled");
    assert!(!engine.status().unwrap().enrolled);
}

#[test]
fn a_fresh_phone_says_what_it_is_and_what_it_lacks() {
    let engine = enrolled();
    let me = engine.identity().unwrap().unwrap();
    assert_eq!((me.device_code.as_str(), me.roles.contains(&Role::Technician)), ("A7", true));
    let status = engine.status().unwrap();
    assert!(status.enrolled && status.safe_to_hand_in);
    let ready = engine.ready_to_leave().unwrap();
    assert!(!ready.ready);
    assert!(ready.missing.iter().any(|m| m.key == "missing.first_sync"), "{ready:?}");
    assert_eq!(engine.now().doubt, None, "a clock never compared proves nothing");
    let nothing = DocRef::new(Kind::Visit, VisitId(Uuid::from_u128(9)));
    assert_eq!(engine.show(nothing).unwrap_err().code(), "not_found");
    assert_eq!(engine.history(nothing).unwrap_err().code(), "not_found");
}

#[test]
fn blobs_are_checked_before_they_are_kept() {
    let mut engine = enrolled();
    let stored = engine.add_blob(b"jpeg", "image/jpeg").unwrap();
    assert_eq!(engine.add_blob(b"jpeg", "image/jpeg").unwrap(), stored, "twice is once");
    assert_eq!(engine.blob(stored.blob).unwrap().unwrap(), b"jpeg");
    assert_eq!(engine.add_blob(b"", "image/jpeg").unwrap_err().code(), "invalid");
    assert_eq!(engine.add_blob(b"x", "jpeg").unwrap_err().code(), "invalid");
    assert_eq!(engine.add_blob(&vec![0; (20 << 20) + 1], "image/jpeg").unwrap_err().code(), "invalid");
    let missing = Command::AddPhoto {
        doc: DocRef::new(Kind::Visit, VisitId(Uuid::from_u128(9))),
        id: engine.new_id().into(),
        blob: Sha256([1; 32]),
        size: 4,
        media_type: "image/jpeg".into(),
        caption: String::new(),
        check: None,
    };
    assert_eq!(engine.execute(&missing).unwrap_err().code(), "not_found");
}

#[test]
fn signing_out_leaves_nothing() {
    let mut engine = enrolled();
    engine.sign_out().unwrap();
    assert_eq!(engine.identity().unwrap(), None);
    assert_eq!(engine.rescue_export("a long passphrase").unwrap_err().code(), "not_enrolled");
}

#[test]
fn refused_edits_that_are_not_there() {
    let mut engine = enrolled();
    assert_eq!(engine.resend(1).unwrap_err().code(), "not_found");
    assert_eq!(engine.dismiss(1).unwrap_err().code(), "not_found");
    let command = Command::OpenUnplannedVisit { request: engine.new_id().into() };
    assert_eq!(engine.amend(1, &command).unwrap_err().code(), "not_found");
}

/// A repair request with a photo, as a technician without a network writes it.
fn report(engine: &mut Engine) -> DocRef {
    let id = DocRef::new(Kind::Request, crate::domain::DocId(engine.new_id()));
    let command = Command::ReportRepair {
        id: id.id.into(),
        customer: None,
        customer_name: "东莞绿源包装".into(),
        contact_name: "张三".into(),
        contact_phone: "13800000000".into(),
        address: "一车间".into(),
        equipment: None,
        problem: "热压机漏油".into(),
        reported: None,
    };
    assert_eq!(engine.execute(&command).unwrap().docs, [id]);
    assert_eq!(engine.execute(&command).unwrap().docs, [], "the same command twice does it once");
    let photo = engine.add_blob(b"jpeg", "image/jpeg").unwrap();
    let command = Command::AddPhoto {
        doc: id,
        id: engine.new_id().into(),
        blob: photo.blob,
        size: photo.size,
        media_type: "image/jpeg".into(),
        caption: "漏油处".into(),
        check: None,
    };
    engine.execute(&command).unwrap();
    id
}

#[test]
fn a_request_written_offline_is_found_shown_and_not_lost() {
    let mut engine = enrolled();
    let id = report(&mut engine);
    for words in ["漏", "张三", "绿源"] {
        assert_eq!(engine.search(words, None).unwrap().lines.len(), 1, "{words}");
    }
    let shown = engine.show(id).unwrap();
    assert_eq!((shown.delivery, shown.stage), (Delivery::OnThisPhone, Some(crate::domain::stage::Stage::Reported)));
    assert_eq!(engine.today(engine.day()).unwrap().requests.len(), 1);
    let history = engine.history(id).unwrap();
    assert_eq!(history.len(), 2);
    assert!(history[1].paths.iter().any(|p| p == "problem"), "{history:?}");
    let status = engine.status().unwrap();
    assert_eq!((status.unsent_changes, status.blobs_waiting, status.safe_to_hand_in), (2, 1, false));
    assert_eq!(status.reasons, ["unsafe.changes", "unsafe.photos"]);
    assert_eq!(engine.sign_out().unwrap_err().code(), "unsent_work");
    assert_eq!(engine.show(id).unwrap().entity, shown.entity, "and nothing was wiped");
    assert_eq!(engine.list(Kind::Request, None, None).unwrap().lines.len(), 1);
    assert_eq!(engine.render(id, crate::messages::Language::ZhCn).unwrap_err().code(), "invalid");
}

#[test]
fn an_edit_late_in_a_long_day_without_a_network_loads_no_more_than_an_early_one() {
    let mut engine = enrolled();
    let id = report(&mut engine);
    let mut longest = 0;
    for n in 0..100 {
        let text = format!("热压机漏油, 第{n}次");
        engine.execute(&Command::EditText { doc: id, field: "problem".into(), text, seen: Vec::new() }).unwrap();
        let tail = "SELECT count(*) FROM change WHERE covered = 0";
        longest = longest.max(engine.device.read().query_row(tail, [], |r| r.get::<_, u32>(0)).unwrap());
    }
    assert_eq!(longest, 8);
    assert_eq!((engine.status().unwrap().unsent_changes, engine.history(id).unwrap().len()), (102, 102));
    let file = engine.rescue_export("correct horse").unwrap();
    let mut other = enrolled_as(crate::domain::DeviceId(Uuid::from_u128(77)));
    assert_eq!(other.rescue_import(&file, "correct horse").unwrap().changes, 102, "all of them are still to be sent");
    let shown = engine.show(id).unwrap();
    assert_eq!(other.show(id).unwrap().entity, shown.entity);
    assert!(matches!(shown.entity, Entity::Request(r) if r.problem.0 == "热压机漏油, 第99次"));
}

#[test]
fn a_refused_command_writes_nothing_and_names_the_field() {
    let mut engine = enrolled();
    let command = Command::PutCustomer {
        id: engine.new_id().into(),
        name: "某厂".into(),
        code: String::new(),
        project_completed: None,
        call_interval_days: None,
    };
    let refused = engine.execute(&command).unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    assert_eq!(engine.status().unwrap().unsent_changes, 0);
}

#[test]
fn a_rescue_file_brings_the_work_to_another_phone_once() {
    let mut lost = enrolled();
    let id = report(&mut lost);
    let file = lost.rescue_export("correct horse").unwrap();
    assert_eq!(lost.rescue_export("short").unwrap_err().code(), "invalid");
    let mut other = enrolled_as(crate::domain::DeviceId(Uuid::from_u128(77)));
    assert_eq!(other.rescue_import(&file, "wrong horse").unwrap_err().code(), "rescue_unreadable");
    let got = other.rescue_import(&file, "correct horse").unwrap();
    assert_eq!((got.docs.as_slice(), got.changes, got.blobs, got.failed.len()), ([id].as_slice(), 2, 1, 0));
    assert_eq!(other.show(id).unwrap().entity, lost.show(id).unwrap().entity);
    assert_eq!(other.status().unwrap().unsent_changes, 2);
    assert_eq!(other.status().unwrap().blobs_waiting, 1);
    assert_eq!(other.rescue_import(&file, "correct horse").unwrap().changes, 0, "twice is once");
}

/// Every `.rs` file below `dir`, with its module path's first part.
fn sources(dir: &Path, out: &mut Vec<(String, String)>, module: Option<&str>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let top = module.unwrap_or(&stem).to_owned();
        if path.is_dir() {
            sources(&path, out, Some(&top));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push((top, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn modules_import_from_their_left_only() {
    let may: &[(&str, &[&str])] = &[
        ("error", &["domain"]),
        ("env", &["domain"]),
        ("domain", &[]),
        ("messages", &["domain"]),
        ("forms", &["domain", "messages"]),
        ("document", &["domain"]),
        ("store", &["domain", "document"]),
        ("sync", &["domain", "document", "store"]),
        ("engine", &["domain", "document", "store", "sync", "forms", "messages"]),
    ];
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found, None);
    let mut broken = Vec::new();
    for (module, text) in &found {
        let Some((_, left)) = may.iter().find(|(m, _)| m == module) else { continue };
        // What comes after is test code: it may build what it likes.
        let text = text.split("\nmod tests {").next().unwrap();
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let known = may.iter().any(|(m, _)| *m == name);
                let own = name == *module || matches!(name.as_str(), "error" | "env");
                // Grouped imports would hide from this reading.
                let grouped = rest.starts_with('{');
                if grouped || (known && !own && !left.contains(&name.as_str())) {
                    broken.push(format!("{module}: {}", line.trim()));
                }
            }
        }
    }
    assert!(found.len() > 20, "the sources were read");
    // Test files beside their module build worlds of all layers.
    broken.retain(|b| !b.contains("SeededEnv"));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn without_default_features_there_is_no_network_and_no_runtime() {
    let out = std::process::Command::new(env!("CARGO"))
        .args(["tree", "-p", "onsite-core", "--no-default-features", "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8(out.stdout).unwrap();
    assert!(tree.contains("automerge"), "{tree}");
    for never in ["tokio", "reqwest", "hyper", "mio", "rayon", "crossbeam"] {
        let found = tree
            .lines()
            .find(|l| l.split(' ').next().is_some_and(|n| n == never || n.starts_with(&format!("{never}-"))));
        assert_eq!(found, None);
    }
}
