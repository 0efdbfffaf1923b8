//! Bad input and failing parts, over real HTTP and on real disks: each is
//! answered with its stable code, the process goes on serving, nothing is lost
//! and nothing half-written.

use super::*;
use crate::link::Link;
use crate::world::Server;
use onsite_core::document::{Actor, Change, Doc};
use onsite_core::domain::command::SettingsPatch;
use onsite_core::domain::{ChangeHash, DeviceId, DocId, Entity, Millis, Role, Text, Visit, Write};
use onsite_core::sync::protocol::{Cursor, Fate, Push, SyncAnswer, SyncRequest, VERSION};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

/// A device's line to the server, by hand.
pub(super) struct Line {
    http: reqwest::Client,
    server: String,
    token: String,
    device: DeviceId,
    staff: StaffId,
}

/// An answer: status, media type, body, location.
struct Heard(u16, String, Vec<u8>, String);

impl Heard {
    /// That it is a problem of this status and code.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        let body: Value = serde_json::from_slice(&self.2).unwrap_or_default();
        let said = (self.0, self.1.as_str(), body["code"].as_str().unwrap_or_default());
        assert_eq!(said, (status, "application/problem+json", code), "{}", String::from_utf8_lossy(&self.2));
        body
    }
}

impl Line {
    /// With a token of the phone's.
    pub(super) async fn of(server: &Server, phone: &Phone) -> Self {
        let who = phone.engine().identity().unwrap().unwrap();
        let http = reqwest::Client::new();
        let ask = async |path: &str, body: Value| -> Value {
            let answer = http.post(server.url(path)).json(&body).send().await.unwrap();
            answer.error_for_status().unwrap().json().await.unwrap()
        };
        let nonce = ask("/v1/token/challenge", json!({ "device": who.device })).await;
        let signed = phone.engine().sign_challenge(nonce["nonce"].as_str().unwrap()).unwrap();
        let token = ask("/v1/token", serde_json::to_value(signed).unwrap()).await;
        let token = token["token"].as_str().unwrap().to_owned();
        Self { http, server: server.url(""), token, device: who.device, staff: who.staff }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Heard {
        let mut request = self.http.post(format!("{}{path}", self.server)).bearer_auth(&self.token).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let header = |name| answer.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let (kind, location) = (header("content-type"), header("location"));
        Heard(answer.status().as_u16(), kind, answer.bytes().await.unwrap().to_vec(), location)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = self.http.get(format!("{}{path}", self.server)).bearer_auth(&self.token).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    async fn cbor(&self, body: Vec<u8>) -> Heard {
        self.send("/v1/sync", &[("content-type", "application/cbor")], body).await
    }

    async fn message(&self, request: &SyncRequest) -> Heard {
        self.cbor(minicbor_serde::to_vec(request).unwrap()).await
    }

    /// Pushes changes; answers what became of each.
    async fn push(&self, kind: Kind, doc: DocId, changes: &[&Change]) -> Vec<(ChangeHash, Fate)> {
        let changes = changes.iter().map(|c| c.bytes.clone().into()).collect();
        let push = vec![Push { doc, kind, changes, sealed: None }];
        let heard = self.message(&SyncRequest { v: VERSION, push, ..SyncRequest::default() }).await;
        assert_eq!(heard.0, 200, "{}", String::from_utf8_lossy(&heard.2));
        let answer: SyncAnswer = minicbor_serde::from_slice(&heard.2).unwrap();
        answer.verdicts.into_iter().map(|v| (v.hash, v.fate)).collect()
    }
}

/// The process that was started is still the one that answers.
async fn still_serves(server: &Server, pid: u32) {
    assert_eq!(server.pid(), pid);
    assert!(reqwest::get(server.url("/healthz")).await.unwrap().status().is_success());
}

async fn code_of(phone: &Phone) -> String {
    phone.client.sync_once().await.map_or_else(|e| e.code().to_owned(), |_| "ok".to_owned())
}

fn changes_in(server: &Server) -> i64 {
    server.database().unwrap().query_row("SELECT count(*) FROM change", [], |r| r.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    // By hand goes another phone of the same person.
    let staff = phone.engine().identity().unwrap().unwrap().staff;
    let other = company.phone(&dir.path().join("other"), staff).await.unwrap();
    let line = Line::of(&server, &other).await;
    let (pid, before) = (server.pid(), changes_in(&server));

    let whole = SyncRequest { v: VERSION, ..SyncRequest::default() };
    let bytes = minicbor_serde::to_vec(&whole).unwrap();
    line.cbor(Vec::new()).await.problem(400, "bad_body");
    line.cbor(vec![0xff; 64]).await.problem(400, "bad_body");
    line.cbor(bytes[..bytes.len() - 1].to_vec()).await.problem(400, "bad_body");
    line.cbor([&bytes[..], b"x"].concat()).await.problem(400, "bad_body");
    line.cbor(vec![0x81; 100_000]).await.problem(400, "bad_body");
    line.send("/v1/sync", &[("content-type", "application/json")], b"{}".to_vec())
        .await
        .problem(415, "bad_content_type");
    let newer = line.message(&SyncRequest { v: 99, ..whole.clone() }).await.problem(400, "unsupported_version");
    assert_eq!(newer["field"], "v");
    line.message(&SyncRequest { cursor: Some(Cursor("v9.x".into())), ..whole.clone() })
        .await
        .problem(400, "bad_cursor");
    let many = SyncRequest { blobs: vec![onsite_core::domain::Sha256([1; 32]); 20_001], ..whole.clone() };
    line.message(&many).await.problem(400, "too_many_blobs");
    // A bomb: 200 kB that would be 200 MB.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..200 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let packed = [("content-type", "application/cbor"), ("content-encoding", "gzip")];
    line.send("/v1/sync", &packed, bomb.finish().unwrap()).await.problem(413, "too_large");
    line.send("/v1/sync", &packed, b"no gzip".to_vec()).await.problem(400, "bad_request");
    let stranger = Line { token: "0".repeat(64), http: line.http.clone(), server: line.server.clone(), ..line };
    stranger.message(&whole).await.problem(401, "unauthorized");
    let (status, body) = company.office.request("POST", "/api/commands", Some(json!({ "do": "fly" }))).await.unwrap();
    assert!(status == 400 && body.contains("bad_body"), "{status} {body}");
    assert_eq!(changes_in(&server), before, "nothing of it was written");
    still_serves(&server, pid).await;
    note(&phone, visit, "照常");
    assert_eq!(code_of(&phone).await, "ok");
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_forged_or_lack_a_parent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let staff = phone.engine().identity().unwrap().unwrap().staff;
    let other = company.phone(&dir.path().join("other"), staff).await.unwrap();
    let line = Line::of(&server, &other).await;
    let (pid, before) = (server.pid(), changes_in(&server));
    let written = |actor: Actor, by: StaffId, texts: &[&str]| -> Vec<Change> {
        let mut doc = Doc::new(Kind::Visit);
        let write = |text: &&str| {
            let Entity::Visit(mut v) = doc.entity().unwrap() else { panic!("no visit") };
            v.resolution = Text((*text).into());
            let now = Millis(1_790_000_000_000);
            doc.write(actor, by, now, &[Write::Put(visit.into(), Entity::Visit(Visit { ..v }))]).unwrap().unwrap()
        };
        texts.iter().map(write).collect()
    };
    let own = Actor { device: line.device, incarnation: [9; 8] };
    let aside = |fate: &Fate| match fate {
        Fate::SetAside { code, .. } => code.clone(),
        other => format!("{other:?}"),
    };
    // Another device's actor; another person's name.
    let victim = Actor { device: phone.engine().identity().unwrap().unwrap().device, incarnation: [7; 8] };
    let forged = written(victim, line.staff, &["冒名"]);
    let fates = line.push(Kind::Visit, visit.into(), &[&forged[0]]).await;
    assert_eq!(aside(&fates[0].1), "forged_actor");
    let forged = written(own, company.office.staff.unwrap(), &["冒名"]);
    let fates = line.push(Kind::Visit, visit.into(), &[&forged[0]]).await;
    assert_eq!(aside(&fates[0].1), "forged_author");
    // What rests on a change nobody has sent is asked for, and goes in once its parent is there.
    let actor = Actor { device: line.device, incarnation: [8; 8] };
    let chain = written(actor, line.staff, &["一", "一二"]);
    let missing = line.push(Kind::Visit, visit.into(), &[&chain[1]]).await;
    assert_eq!(missing, [(chain[1].header.hash, Fate::NeedDeps(vec![chain[0].header.hash]))]);
    assert_eq!(changes_in(&server), before);
    let both = line.push(Kind::Visit, visit.into(), &[&chain[0], &chain[1]]).await;
    assert!(both.iter().all(|(_, fate)| *fate == Fate::Accepted), "{both:?}");
    // Bytes that are no change at all.
    let garbage = Change { bytes: vec![0x85; 200], ..chain[0].clone() };
    let fates = line.push(Kind::Visit, visit.into(), &[&garbage]).await;
    assert!(matches!(&fates[0].1, Fate::SetAside { code, .. } if !code.is_empty()), "{fates:?}");
    let set_aside = company.office.get("/api/set-aside").await.unwrap();
    assert_eq!(set_aside["rows"].as_array().unwrap().len(), 3, "kept for the office to see");
    still_serves(&server, pid).await;
    phone.sync().await.unwrap();
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_and_an_ended_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (_company, phone, visit) = ready(&server, dir.path()).await;
    let stranger = Phone::open(&dir.path().join("stranger"), Link::to(server.addr).unwrap()).unwrap();
    for code in ["", "AAAA-AAAA", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A", "现场"] {
        let refused = stranger.client.enrol(&stranger.link.url(), code, "x").await.unwrap_err();
        assert_eq!(refused.code(), "wrong_code", "{code:?}");
    }
    assert!(stranger.engine().identity().unwrap().is_none());
    let line = Line::of(&server, &phone).await;
    let whole = SyncRequest { v: VERSION, ..SyncRequest::default() };
    assert_eq!(line.message(&whole).await.0, 200);
    // Every token's end is put into the past, as if the time had gone by.
    let db = rusqlite::Connection::open(server.dir.join("onsite.sqlite")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    assert!(db.execute("UPDATE record SET expires = 1 WHERE tbl = 'token'", []).unwrap() > 0);
    line.message(&whole).await.problem(401, "unauthorized");
    // The phone asks for a fresh one by itself.
    note(&phone, visit, "令牌过期之后");
    assert_eq!(code_of(&phone).await, "ok");
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_over_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(dir.path().join("server"), &[("ONSITE_LIMITS__PHOTO_BYTES", "100000")]).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let pid = server.pid();
    let line = Line::of(&server, &phone).await;
    let begin = async |length: &str| {
        let named = format!("sha256 {}MA==", "MDAw".repeat(21));
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", length), ("upload-metadata", named.as_str())];
        line.send("/v1/blobs", &headers, Vec::new()).await
    };
    assert_eq!(begin("100000").await.0, 201);
    begin("100001").await.problem(413, "too_large");
    begin("99999999999999999999").await.problem(400, "bad_header");
    // A phone that does not know the server's limit keeps its photo, says so, and its words go through.
    let big = phone.engine().add_blob(&vec![7; 150_000], "image/jpeg").unwrap();
    let add = |stored: &onsite_core::engine::StoredBlob| Command::AddPhoto {
        doc: DocRef::new(Kind::Visit, visit),
        id: item(),
        blob: stored.blob,
        size: stored.size,
        media_type: "image/jpeg".into(),
        caption: "大".into(),
        check: None,
    };
    phone.execute(&add(&big)).unwrap();
    note(&phone, visit, "照片太大");
    let report = phone.sync().await.unwrap();
    assert_eq!(report.skipped, [(big.blob.to_string(), "too_large".to_owned())]);
    assert_eq!(notes_at(&company.office, visit).await, ["照片太大"]);
    let status = phone.engine().status().unwrap();
    assert_eq!((status.unsent_changes, status.blobs_waiting, status.safe_to_hand_in), (0, 1, false));
    // The company's own limit is met before the photo is kept.
    let patch = SettingsPatch { photo_bytes: Some(20_000), ..SettingsPatch::default() };
    company.office.execute(&Command::ChangeSettings(patch)).await.unwrap();
    phone.sync().await.unwrap();
    let refused = phone.engine().add_blob(&vec![8; 30_000], "image/jpeg").unwrap_err();
    assert!(matches!(&refused, onsite_core::Error::Invalid { field: "photo", .. }), "{refused}");
    still_serves(&server, pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_gbk_and_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("岭南机械").await.unwrap();
    let import = |name: &str, text: &str| {
        let (bytes, _, lost) = encoding_rs::GBK.encode(text);
        assert!(!lost);
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        server.run(&["import", "--company", "岭南机械", file.to_str().unwrap()], "")
    };
    let head = "客户编号,客户名称,联系人,电话,地址,工程竣工,产品型号,出厂编号\r\n";
    let found =
        async || company.office.get("/api/documents?kind=customer").await.unwrap()["rows"].as_array().unwrap().len();
    let refused = import(
        "bad.csv",
        &format!(
            "{head}C900,岭南纸托厂,陈工,0757-88886666,佛山,2025-03-01,HK-3000,SN-1\r\nC901,乙,丙,电话,丁,三月,,\r\n"
        ),
    );
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("line 3, column 4") && said.contains("bad_phone") && said.contains("column 6"), "{said}");
    assert_eq!(found().await, 0, "nothing is half-imported");
    import("good.csv", &format!("{head}C900,岭南纸托厂,陈工,0757-88886666,佛山市南海区,2025-03-01,HK-3000,SN-1\r\n"))
        .unwrap();
    assert_eq!(found().await, 1);
    let row = &company.office.get("/api/documents?kind=customer&search=88886666").await.unwrap()["rows"][0]["summary"];
    assert_eq!((row["title"].as_str(), row["subtitle"].as_str()), (Some("岭南纸托厂"), Some("佛山市南海区")));
}

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    /// `None`, loudly, where this user may not mount one.
    fn of(path: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Process::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(path));
        }
        // Past the harness, which shows nothing of a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: a full disk is not tried, for this user may not mount a tmpfs");
        None
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.0.join("ballast")).unwrap();
        for piece in [64 << 10, 4096, 1] {
            let piece = vec![0x55; piece];
            while ballast.write_all(&piece).is_ok() {}
        }
    }

    fn relieve(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Text that no compression makes small.
fn noise(seed: u32) -> String {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let next = std::iter::repeat_with(move || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        char::from_u32(0x4e00 + x % 20_000).unwrap_or('好')
    });
    next.take(15_000).collect()
}

fn sound(file: &Path) {
    let db = rusqlite::Connection::open(file).unwrap();
    let found: String = db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// A sync's code; a connection that broke with an old process is found out and tried again.
async fn code_through(phone: &Phone) -> String {
    for _ in 0..3 {
        let code = code_of(phone).await;
        if code != "offline" {
            return code;
        }
    }
    code_of(phone).await
}

fn add_note(visit: VisitId, text: &str) -> Command {
    Command::AddNote { visit, id: item(), text: text.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(dir.path().join("disk"), 12) else { return };
    let mut server = Server::start(disk.0.join("server")).await.unwrap();
    let (office, phone, visit) = {
        let (company, phone, visit) = ready(&server, dir.path()).await;
        (company.office, phone, visit)
    };
    // Begun anew, the log beside the database is small: it must grow.
    server.stop().unwrap();
    server.up().await.unwrap();
    let line = Line::of(&server, &phone).await;
    let (pid, before) = (server.pid(), changes_in(&server));
    disk.fill();
    for n in 0..20 {
        note(&phone, visit, &noise(n));
    }
    assert_eq!(code_through(&phone).await, "disk_full");
    let named = format!("sha256 {}MA==", "MDAw".repeat(21));
    let photo = [("tus-resumable", "1.0.0"), ("upload-length", "500000"), ("upload-metadata", named.as_str())];
    // A page or two may have become free meanwhile: the line of an upload, but not its bytes.
    let begun = line.send("/v1/blobs", &photo, Vec::new()).await;
    if begun.0 == 201 {
        let part = [
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("content-type", "application/offset+octet-stream"),
            ("x-http-method-override", "PATCH"),
        ];
        line.send(&begun.3, &part, vec![7; 500_000]).await.problem(507, "disk_full");
    } else {
        begun.problem(507, "disk_full");
    }
    still_serves(&server, pid).await;
    assert_eq!(office.get("/api/documents?kind=visit").await.unwrap()["rows"].as_array().unwrap().len(), 1);
    assert_eq!(changes_in(&server), before, "nothing is half-written");
    assert_eq!(phone.engine().status().unwrap().unsent_changes, 20, "nothing is lost");
    disk.relieve();
    assert_eq!(code_through(&phone).await, "ok");
    assert_eq!(notes_at(&office, visit).await.len(), 20);
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
    still_serves(&server, pid).await;
    server.stop().unwrap();
    sound(&server.dir.join("onsite.sqlite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phones_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(dir.path().join("disk"), 6) else { return };
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, &disk.0).await;
    disk.fill();
    let (mut kept, mut code) = (Vec::new(), String::new());
    for n in 0..200 {
        let text = noise(n);
        let done = phone.engine().execute(&add_note(visit, &text)).map(drop);
        match done {
            Ok(()) => kept.push(text),
            Err(e) => {
                code = e.code().to_owned();
                break;
            }
        }
    }
    assert_eq!(code, "disk_full");
    let photo = phone.engine().add_blob(&vec![1; 300_000], "image/jpeg").unwrap_err();
    assert_eq!(photo.code(), "disk_full");
    // All that was said to be kept is there, and reading goes on.
    let shown: Vec<String> = phone.visit(visit).unwrap().notes.values().map(|n| n.text.clone()).collect();
    assert_eq!(shown.len(), kept.len());
    let _ = code_of(&phone).await;
    disk.relieve();
    note(&phone, visit, "好了");
    kept.push("好了".into());
    kept.sort();
    sync_through(&phone).await;
    assert_eq!(notes_at(&company.office, visit).await, kept);
    let (path, _) = phone.close();
    sound(&path.join("device.sqlite"));
    assert_eq!(std::fs::read_dir(path.join("blobs/partial")).unwrap().count(), 0, "no half of a photo stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_process_holds() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let (pid, before) = (server.pid(), changes_in(&server));
    note(&phone, visit, "等待");
    let holder = rusqlite::Connection::open(server.dir.join("onsite.sqlite")).unwrap();
    holder.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let id = onsite_core::domain::StaffId(Uuid::now_v7());
    let roles = [Role::Technician].into();
    let put = Command::PutStaff { id, name: "新人".into(), code: String::new(), phone: String::new(), roles };
    let command = Some(serde_json::to_value(&put).unwrap());
    let (status, body) = company.office.request("POST", "/api/commands", command).await.unwrap();
    assert!(status == 503 && body.contains("\"database_locked\""), "{status} {body}");
    assert_eq!(code_of(&phone).await, "database_locked");
    // Reading does not wait for it.
    company.office.get("/api/work-orders").await.unwrap();
    still_serves(&server, pid).await;
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(changes_in(&server), before);
    assert_eq!(code_of(&phone).await, "ok");
    assert_eq!(notes_at(&company.office, visit).await, ["等待"]);

    // The same on a phone: a file that a second process holds.
    let holder = rusqlite::Connection::open(phone.dir.join("device.sqlite")).unwrap();
    holder.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = phone.engine().execute(&add_note(visit, "锁")).unwrap_err();
    assert_eq!(refused.code(), "database_locked");
    assert_eq!(phone.visit(visit).unwrap().notes.len(), 1);
    holder.execute_batch("ROLLBACK").unwrap();
    note(&phone, visit, "开锁");
    assert_eq!(code_of(&phone).await, "ok");
}

/// Overwrites bytes of a file; answers what was there.
fn overwrite(file: &Path, at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    let was = bytes[at..at + with.len()].to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    std::fs::write(file, bytes).unwrap();
    was
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let (office, phone, visit) = {
        let (company, phone, visit) = ready(&server, dir.path()).await;
        (company.office, phone, visit)
    };
    server.stop().unwrap();
    let file = server.dir.join("onsite.sqlite");
    let (page, size): (usize, usize) = {
        let db = rusqlite::Connection::open(&file).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'aside_open'";
        let size: i64 = db.pragma_query_value(None, "page_size", |r| r.get(0)).unwrap();
        (db.query_row(root, [], |r| r.get(0)).unwrap(), usize::try_from(size).unwrap())
    };
    // One page of an index: what needs it says so, the rest goes on.
    let was = overwrite(&file, (page - 1) * size, &vec![0xa5; size]);
    server.up().await.unwrap();
    let pid = server.pid();
    let (status, body) = office.request("GET", "/api/set-aside", None).await.unwrap();
    assert!(status == 500 && body.contains("\"database_damaged\""), "{status} {body}");
    office.get("/api/work-orders").await.unwrap();
    note(&phone, visit, "照写");
    assert_eq!(code_through(&phone).await, "ok");
    still_serves(&server, pid).await;
    server.stop().unwrap();
    overwrite(&file, (page - 1) * size, &was);

    // The file's head: the server says what is wrong and does not begin, nor touch the file.
    let was = overwrite(&file, 0, &[0x5a; 64]);
    let hurt = std::fs::read(&file).unwrap();
    let refused = server.up().await.unwrap_err().to_string();
    assert!(refused.contains("the database is damaged"), "{refused}");
    assert!(std::fs::read(&file).unwrap() == hurt);
    overwrite(&file, 0, &was);
    server.up().await.unwrap();
    assert_eq!(code_through(&phone).await, "ok");
    assert_eq!(notes_at(&office, visit).await, ["照写"]);

    // A phone's file.
    let (path, link) = phone.close();
    let file = path.join("device.sqlite");
    let was = overwrite(&file, 0, &[0x5a; 64]);
    let refused = Phone::open(&path, link).err().unwrap();
    assert_eq!(refused.downcast_ref::<onsite_core::Error>().unwrap().code(), "database_damaged");
    overwrite(&file, 0, &was);
    let phone = Phone::open(&path, Link::to(server.addr).unwrap()).unwrap();
    assert_eq!(phone.visit(visit).unwrap().notes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_changes_over_the_quota() {
    let dir = tempfile::tempdir().unwrap();
    let quota = [("ONSITE_LIMITS__SET_ASIDE_PER_DEVICE", "2")];
    let server = Server::start_with(dir.path().join("server"), &quota).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let staff = phone.engine().identity().unwrap().unwrap().staff;
    let other = company.phone(&dir.path().join("other"), staff).await.unwrap();
    other.sync().await.unwrap();
    let line = Line::of(&server, &other).await;
    // Work orders are not a technician's to write.
    let forged = |n: u8| {
        let mut doc = Doc::new(Kind::WorkOrder);
        let actor = Actor { device: line.device, incarnation: [n; 8] };
        let order = onsite_core::domain::WorkOrder { planned_start: Some(Millis(i64::from(n))), ..Default::default() };
        let id = DocId(Uuid::now_v7());
        let change =
            doc.write(actor, line.staff, Millis(1_790_000_000_000), &[Write::Put(id, Entity::WorkOrder(order))]);
        (id, change.unwrap().unwrap())
    };
    for n in [1, 2] {
        let (id, change) = forged(n);
        assert!(matches!(line.push(Kind::WorkOrder, id, &[&change]).await[0].1, Fate::SetAside { .. }));
    }
    let (id, change) = forged(3);
    let push = vec![Push { doc: id, kind: Kind::WorkOrder, changes: vec![change.bytes.clone().into()], sealed: None }];
    let over = SyncRequest { v: VERSION, push, ..SyncRequest::default() };
    line.message(&over).await.problem(413, "set_aside_quota");
    let kept = company.office.get("/api/set-aside").await.unwrap();
    assert_eq!(kept["rows"].as_array().unwrap().len(), 2);
    // It concerns this device, and only what is refused: its other work goes through, and everybody else's.
    let visit_there: Vec<_> = phone.visit(visit).unwrap().provisional_numbers.keys().copied().collect();
    assert_eq!(visit_there, [staff]);
    note(&other, visit, "照样");
    assert_eq!(code_of(&other).await, "ok");
    note(&phone, visit, "别人");
    assert_eq!(code_of(&phone).await, "ok");
    // The office decides one, and there is room.
    let (doc, hash) = (kept["rows"][0]["doc"]["id"].as_str().unwrap(), kept["rows"][0]["hash"].as_str().unwrap());
    let dismiss = json!({ "decide": "dismiss", "reason": "无权" });
    let (status, body) =
        company.office.request("POST", &format!("/api/set-aside/{doc}/{hash}"), Some(dismiss)).await.unwrap();
    assert!(status < 300, "{status} {body}");
    assert!(matches!(line.push(Kind::WorkOrder, id, &[&change]).await[0].1, Fate::SetAside { .. }));
}
