//! What each target begins with: made of real documents and messages, so that nothing of it can
//! fall behind the formats.

use super::Target;
use super::{docs, phone, rescue, server, xlsx};
use onsite_core::document::{Doc, screen};
use onsite_core::domain::*;
use onsite_core::store::rescue::{Rescue, RescuedBlob, RescuedDoc};
use onsite_core::sync::protocol::*;
use rand::{Rng, RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use uuid::Uuid;

type Seeds = Vec<(String, Vec<u8>)>;

pub(super) fn of(target: Target) -> Seeds {
    match target {
        Target::Screen => chunks(),
        Target::Gate => changes(),
        Target::Messages => {
            let all = requests().into_iter().chain(answers());
            all.map(|(name, bytes)| (name.to_owned(), bytes)).collect()
        }
        Target::Request => stories(&requests(), &REQUESTS),
        Target::Session => stories(&answers(), &ANSWERS),
        Target::Rescue => rescues(),
        Target::Cursor => cursors().into_iter().enumerate().map(|(n, c)| (format!("cursor-{n}"), c.into())).collect(),
        Target::Import => imports(),
    }
}

fn chunks() -> Seeds {
    let mut out = Vec::new();
    for (n, base) in docs::bases().iter().enumerate() {
        out.push((format!("document-{n}"), base.snapshot.clone()));
        for (m, change) in [base.next.first(), base.next.last()].into_iter().flatten().enumerate() {
            out.push((format!("change-{n}-{m}"), change.bytes.clone()));
        }
    }
    out
}

fn changes() -> Seeds {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut out = Vec::new();
    for (n, base) in docs::bases().iter().enumerate() {
        let input = |bytes: &[u8]| [&[n as u8], bytes].concat();
        for (m, change) in [base.next.first(), base.next.last()].into_iter().flatten().enumerate() {
            out.push((format!("change-{n}-{m}"), input(&change.bytes)));
        }
        out.push((format!("forged-{n}"), input(&base.forge(&mut rng))));
    }
    out
}

/// Messages one after another, by their names.
fn stories(messages: &[(&str, Vec<u8>)], stories: &[(&str, &[&str])]) -> Seeds {
    let body = |name: &&str| messages.iter().find(|(n, _)| n == name).map_or_else(Vec::new, |(_, b)| b.clone());
    stories
        .iter()
        .map(|(name, story)| ((*name).to_owned(), phone::join(&story.iter().map(body).collect::<Vec<_>>())))
        .collect()
}

fn cbor(message: &impl serde::Serialize) -> Vec<u8> {
    minicbor_serde::to_vec(message).expect("written")
}

// ---- requests ----

const REQUESTS: [(&str, &[&str]); 6] = [
    ("push", &["push"]),
    ("retry", &["push", "push", "idle"]),
    ("job", &["job", "push"]),
    ("compare", &["push", "ranges", "have", "idle"]),
    ("asked", &["push", "full"]),
    ("more", &["first", "page", "idle"]),
];

/// What a phone sends, first and later.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let push = phone::first_request(1);
    let first: SyncRequest = phone::decode(&push).expect("its own message");
    let idle = SyncRequest {
        cursor: Some(Cursor("v1.1.9".into())),
        mark: mark(1),
        digest: Some(digest(1)),
        push: Vec::new(),
        ..first.clone()
    };
    let have = first.push.iter().map(|p| Held { doc: p.doc, kind: p.kind, heads: heads(p) }).collect();
    let ranges = SyncRequest {
        reconcile: Some(Reconcile::Ranges(vec![digest(2); 256])),
        blobs: vec![Sha256([3; 32])],
        ..idle.clone()
    };
    let lists = SyncRequest { reconcile: Some(Reconcile::Have(have)), ranges: (0..=255).collect(), ..idle.clone() };
    let page = SyncRequest { cursor: Some(Cursor(cursors().swap_remove(1))), budget: 1, ..idle.clone() };
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let full = SyncRequest {
        refused: undecided(&first, &mut rng),
        push: first.push.iter().map(|p| Push { sealed: Some(sealed(p, &mut rng)), ..p.clone() }).collect(),
        ..ranges.clone()
    };
    let job = SyncRequest { push: vec![server::job_visit()], ..first.clone() };
    vec![
        ("push", push),
        ("first", cbor(&SyncRequest { push: Vec::new(), budget: 1, ..first })),
        ("idle", cbor(&idle)),
        ("page", cbor(&page)),
        ("ranges", cbor(&ranges)),
        ("have", cbor(&lists)),
        ("full", cbor(&full)),
        ("job", cbor(&job)),
    ]
}

fn heads(push: &Push) -> Vec<ChangeHash> {
    push.changes.last().and_then(|c| screen::screen(c).ok()).map(|h| h.hash).into_iter().collect()
}

pub(super) fn cursors() -> Vec<String> {
    ["v1.1.0", "v1.1.9.00000000-0000-0000-0000-000000000500.3", "v1.1.77", "v1.2.1", "v1.1.18446744073709551615"]
        .map(String::from)
        .into()
}

pub(super) fn mark(n: u64) -> Vec<u8> {
    n.to_be_bytes().into()
}

pub(super) fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// Documents that a phone's request may name besides its own.
pub(super) fn documents() -> Vec<DocId> {
    vec![server::ORDER.into(), server::CUSTOMER.into(), docs::staff(1).into(), SETTINGS, docs::ID]
}

pub(super) fn undecided(request: &SyncRequest, rng: &mut impl Rng) -> Vec<Undecided> {
    let own = request.push.iter().flat_map(|p| heads(p).into_iter().map(|h| (p.doc, h)));
    let other = (docs::ID, ChangeHash([rng.random(); 32]));
    let all: Vec<_> = own.chain([other]).collect();
    let ask = |(doc, hash): &(DocId, ChangeHash)| Undecided {
        doc: *doc,
        hash: *hash,
        instead: all.choose(rng).map(|a| a.1).filter(|_| rng.random()),
    };
    all.iter().map(ask).collect()
}

pub(super) fn sealed(push: &Push, rng: &mut impl Rng) -> Sealed {
    let seal = (0..rng.random_range(0..40_u32)).map(|_| rng.random()).collect();
    Sealed { heads: heads(push), seal }
}

pub(super) fn reconcile(rng: &mut impl Rng) -> Reconcile {
    let some = rng.random_range(0..5_usize);
    match rng.random_range(0..3_u32) {
        0 => Reconcile::Ranges(vec![digest(rng.random()); rng.random_range(0..300)]),
        1 => Reconcile::Ranges(vec![digest(0); 256]),
        _ => Reconcile::Have(
            documents()
                .into_iter()
                .take(some)
                .map(|doc| Held {
                    doc,
                    kind: Kind::ALL[rng.random_range(0..Kind::ALL.len())],
                    heads: (0..rng.random_range(0..3_u32)).map(|_| ChangeHash([rng.random(); 32])).collect(),
                })
                .collect(),
        ),
    }
}

// ---- answers ----

const ANSWERS: [(&str, &[&str]); 7] = [
    ("accepted", &["accepted", "rest"]),
    ("mixed", &["mixed", "rest"]),
    ("news", &["news", "rest"]),
    ("more", &["more", "rest"]),
    ("differ", &["differ", "rest"]),
    ("compared", &["news", "differ", "differ", "want", "accepted"]),
    ("long", &["mixed", "more", "accepted", "news", "mixed"]),
];

/// What a server may answer to what phone 1 sends.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let request: SyncRequest = phone::decode(&phone::first_request(1)).expect("its own message");
    let answer = |n: u64| SyncAnswer {
        v: VERSION,
        clock: phone::T0,
        cursor: Cursor(format!("v1.1.{n}")),
        mark: mark(1),
        ..SyncAnswer::default()
    };
    // Every verdict on what the phone really sends.
    let hashes: Vec<(DocId, ChangeHash)> = request
        .push
        .iter()
        .flat_map(|p| p.changes.iter().map(|c| (p.doc, screen::screen(c).expect("honest").hash)))
        .collect();
    let verdicts = |fate: &dyn Fn(usize) -> Fate| -> Vec<Verdict> {
        hashes.iter().enumerate().map(|(n, (doc, hash))| Verdict { doc: *doc, hash: *hash, fate: fate(n) }).collect()
    };
    let aside = || Fate::SetAside { code: "frozen".into(), field: "outcome".into(), detail: "later".into() };
    let accepted = SyncAnswer { verdicts: verdicts(&|_| Fate::Accepted), ..answer(1) };
    let mixed = SyncAnswer {
        verdicts: verdicts(&|n| match n % 4 {
            0 => aside(),
            1 => Fate::ActorReused,
            2 => Fate::NeedDeps(vec![hashes[0].1]),
            _ => Fate::Later,
        }),
        orders: vec![Order::NewActor, Order::Reconcile],
        left: vec![hashes[0].0],
        ..answer(2)
    };
    let delivery = |doc: &Doc, id: DocId| Delivery {
        doc: id,
        kind: doc.kind(),
        snapshot: doc.save(),
        changes: Vec::new(),
        sealed: Sealed { heads: doc.heads(), seal: vec![9; 32] },
    };
    let bases = docs::bases();
    let deliveries: Vec<_> =
        bases.iter().enumerate().map(|(n, b)| delivery(&b.doc, DocId(Uuid::from_u128(n as u128)))).collect();
    // Changes by others to what the phone itself wrote, and a document in changes only.
    let mut whole = delivery(&bases[2].doc, docs::ID);
    whole.snapshot.clear();
    whole.changes = bases[2].doc.changes().into_iter().map(|c| c.bytes.into()).collect();
    let mut onto = Vec::new();
    for push in &request.push {
        let mut doc = Doc::load(push.kind, None::<&[u8]>, push.changes.iter().map(|c| c.as_slice())).expect("loads");
        if let Some(change) = docs::honest(&mut doc, 5).expect("honest") {
            let mut out = delivery(&doc, push.doc);
            (out.snapshot, out.changes) = (Vec::new(), vec![change.bytes.into()]);
            onto.push(out);
        }
    }
    let news = SyncAnswer {
        docs: deliveries,
        seen: vec![Seen { doc: docs::ID, heads: bases[1].heads.clone(), at: phone::T0, by: docs::staff(9) }],
        ..answer(3)
    };
    let more = SyncAnswer { docs: [vec![whole], onto].concat(), more: true, remaining: 9, ..answer(4) };
    let differ = SyncAnswer {
        reconcile: Some(ReconcileAnswer::Differ((0..=255).collect())),
        orders: vec![Order::Reconcile],
        ..answer(5)
    };
    let want = Held { doc: docs::ID, kind: Kind::Visit, heads: bases[1].heads.clone() };
    let want = SyncAnswer { reconcile: Some(ReconcileAnswer::Want(vec![want])), ..answer(6) };
    vec![
        ("accepted", cbor(&accepted)),
        ("mixed", cbor(&mixed)),
        ("news", cbor(&news)),
        ("more", cbor(&more)),
        ("differ", cbor(&differ)),
        ("want", cbor(&want)),
        ("rest", cbor(&answer(9))),
    ]
}

// ---- files ----

fn rescues() -> Seeds {
    let request: SyncRequest = phone::decode(&phone::first_request(1)).expect("its own message");
    // What a phone with unsent work would give out.
    let rescued = request.push.iter().map(|p| {
        let doc = Doc::load(p.kind, None::<&[u8]>, p.changes.iter().map(|c| c.as_slice())).expect("loads");
        RescuedDoc { doc: p.doc, kind: p.kind, snapshot: doc.save(), changes: p.changes.clone() }
    });
    let photo = b"jpeg".to_vec();
    let rescue = Rescue {
        tenant: phone::TENANT,
        device: phone::device(1),
        staff: docs::staff(1),
        exported_at: phone::T0,
        docs: rescued.collect(),
        blobs: vec![RescuedBlob {
            name: onsite_core::store::blobs::name_of(&photo),
            doc: request.push.first().map(|p| (p.doc, p.kind)),
            media_type: "image/jpeg".into(),
            bytes: photo,
        }],
    };
    let content = cbor(&rescue);
    vec![
        ("content".into(), [&[1], content.as_slice()].concat()),
        ("file".into(), [&[0], rescue::seal(&content).as_slice()].concat()),
    ]
}

fn imports() -> Seeds {
    let csv = "客户编码,客户名称,联系人,电话,地址,竣工日期,回访间隔,产品型号,出厂编号,安装日期,保修截止\n\
        C1,东莞绿源包装,张三,13800000000,一车间,2024-12-30,30,M1,S1,2025-01-02,2026年1月2日\n\
        C1,,,,,,,M2,S2,20250102,\nC2,\"华南, 纸浆\",李,1,\"二\n车间\",,,,,,\n";
    let parts = workbook(csv);
    vec![
        ("csv".into(), [&[0], csv.as_bytes()].concat()),
        ("csv-semicolon".into(), [&[0], csv.replace(',', ";").as_bytes()].concat()),
        ("xlsx".into(), [&[1], xlsx::zip(&parts).as_slice()].concat()),
        ("xlsx-parts".into(), [&[2], xlsx::input(&parts).as_slice()].concat()),
    ]
}

/// The parts of a workbook with these lines, as spreadsheets write them.
fn workbook(csv: &str) -> Vec<(String, Vec<u8>)> {
    let mut rows = String::new();
    for (n, line) in csv.lines().enumerate() {
        rows.push_str(&format!("<row r=\"{}\">", n + 1));
        for (m, cell) in line.split(',').enumerate() {
            let at = format!("{}{}", char::from(b'A' + m as u8), n + 1);
            match cell.parse::<f64>() {
                Ok(number) => rows.push_str(&format!("<c r=\"{at}\" s=\"1\"><v>{number}</v></c>")),
                Err(_) if m == 1 => rows.push_str(&format!("<c r=\"{at}\" t=\"s\"><v>{}</v></c>", n % 2)),
                Err(_) => rows
                    .push_str(&format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{}</t></is></c>", cell.trim_matches('"'))),
            }
        }
        rows.push_str("</row>");
    }
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
    let relation = |kind: &str, target: &str, n: u8| {
        format!("<Relationship Id=\"rId{n}\" Type=\"{office}/{kind}\" Target=\"{target}\"/>")
    };
    let relations =
        |inner: String| format!("{head}<Relationships xmlns=\"{packages}/relationships\">{inner}</Relationships>");
    [
        ("[Content_Types].xml", format!("{head}<Types xmlns=\"{packages}/content-types\"><Default Extension=\"xml\" ContentType=\"application/xml\"/></Types>")),
        ("_rels/.rels", relations(relation("officeDocument", "xl/workbook.xml", 1))),
        ("xl/workbook.xml", format!("{head}<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"客户\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>")),
        ("xl/_rels/workbook.xml.rels", relations([relation("worksheet", "worksheets/sheet1.xml", 1), relation("sharedStrings", "sharedStrings.xml", 2), relation("styles", "styles.xml", 3)].concat())),
        ("xl/worksheets/sheet1.xml", format!("{head}<worksheet xmlns=\"{main}\"><dimension ref=\"A1:K4\"/><sheetData>{rows}</sheetData></worksheet>")),
        ("xl/sharedStrings.xml", format!("{head}<sst xmlns=\"{main}\" count=\"2\" uniqueCount=\"2\"><si><t>客户名称</t></si><si><r><t>绿</t></r><r><t>源</t></r></si></sst>")),
        ("xl/styles.xml", format!("{head}<styleSheet xmlns=\"{main}\"><numFmts count=\"1\"><numFmt numFmtId=\"164\" formatCode=\"yyyy-mm-dd\"/></numFmts><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"164\"/></cellXfs></styleSheet>")),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .collect()
}
