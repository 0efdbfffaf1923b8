//! The targets: what is done with an input, and how one is bent.

use super::rescue::{HEADER, PASSPHRASE, seal};
use super::{chunk, docs, gate, phone, seeds, server, xlsx};
use onsite_core::document::{Change, screen};
use onsite_core::store::rescue::{Rescue, open};
use onsite_core::sync::protocol::{SyncAnswer, SyncRequest};
use onsite_server::fuzzing;
use onsite_server::import::{MAX_ROWS, parse};
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use std::collections::HashMap;

/// A door where foreign bytes come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A chunk, at the pre-scan: no panic, and never another opinion than the parser's.
    Screen,
    /// A byte that names a document, then a change for it, at the gate (see [`gate::meet`]).
    Gate,
    /// A sync body, either way: what is read is written and read the same.
    Messages,
    /// Requests of a phone, at a server.
    Request,
    /// Answers of a server, at a phone.
    Session,
    /// Zero and a rescue file, or one and the content of a rescue file, which is sealed right.
    Rescue,
    /// A cursor: it has one form only.
    Cursor,
    /// Zero and a CSV file, one and an XLSX file, or two and a workbook's parts, which are packed right.
    Import,
}

use Target::*;

impl Target {
    /// Every one.
    pub const ALL: [Self; 8] = [Screen, Gate, Messages, Request, Session, Rescue, Cursor, Import];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Screen => "screen",
            Gate => "gate",
            Messages => "messages",
            Request => "request",
            Session => "session",
            Rescue => "rescue",
            Cursor => "cursor",
            Import => "import",
        }
    }

    /// Inputs to begin with, made of real documents and messages, each with a name.
    pub fn seeds(self) -> Vec<(String, Vec<u8>)> {
        seeds::of(self)
    }

    /// Feeds it an input.
    ///
    /// # Panics
    /// Where something does not hold that must.
    pub fn run(self, data: &[u8]) {
        match self {
            Screen => screen(data),
            Gate => {
                let Some((which, bytes)) = data.split_first() else { return };
                let bases = docs::bases();
                gate::meet(&bases[usize::from(*which) % bases.len()], bytes);
            }
            Messages => messages(data),
            Request => server::hear(&phone::split(data)),
            Session => phone::hear(&phone::split(data)),
            Rescue => rescue(data),
            Cursor => {
                if let Some(printed) = fuzzing::cursor(&String::from_utf8_lossy(data)) {
                    assert_eq!(fuzzing::cursor(&printed).as_ref(), Some(&printed));
                }
            }
            Import => import(data),
        }
    }

    /// Another input, made of this one; `raw` bends bytes that have no form.
    pub fn bend(self, data: &[u8], rng: &mut impl Rng, raw: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
        let bent = match self {
            Screen => bend_chunk(data, rng, raw),
            Gate => Some(bend_gate(data, rng, raw)),
            Messages | Cursor => None,
            Request => bend_list(data, rng, raw, bend_request),
            Session => bend_list(data, rng, raw, bend_answer),
            Rescue => bend_rescue(data, rng),
            Import => bend_import(data, rng, raw),
        };
        bent.unwrap_or_else(|| {
            let mut data = data.to_vec();
            raw(&mut data);
            data
        })
    }
}

// ---- what is done with an input ----

fn screen(data: &[u8]) {
    if let Ok(header) = screen::screen(data) {
        assert!(header.ops <= screen::MAX_OPS && header.deps.len() <= screen::MAX_DEPS);
        if let Ok(change) = Change::parse(data.to_vec()) {
            assert_eq!(change.header, header);
        }
    }
    let _ = screen::screen_document(data);
    let mut whole = 0;
    for chunk in screen::chunks(data).map_while(Result::ok).take(1_000) {
        whole += chunk.len();
    }
    assert!(whole <= data.len(), "chunks stand one after another");
}

fn messages(data: &[u8]) {
    if let Ok(request) = phone::decode::<SyncRequest>(data) {
        let bytes = minicbor_serde::to_vec(&request).expect("written");
        assert_eq!(fuzzing::request(&bytes), Some(request), "a request is read again");
    }
    if let Ok(answer) = phone::decode::<SyncAnswer>(data) {
        let bytes = minicbor_serde::to_vec(&answer).expect("written");
        assert_eq!(phone::decode::<SyncAnswer>(&bytes).expect("read again"), answer);
    }
}

fn rescue(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let file = match mode {
        0 => {
            let mut file = rest.to_vec();
            if file.len() >= HEADER {
                // Its word for how hard to work, memory and passes, or nothing else would be done.
                file[13..15].fill(0);
                file[15] &= 1;
                file[17..20].fill(0);
                file[20] &= 3;
            }
            file
        }
        _ => seal(rest),
    };
    if open(&file, PASSPHRASE).is_err() {
        return;
    }
    let (mut engine, _) = phone::phone(2);
    let before = engine.status().expect("status").unsent_changes;
    if let Ok(done) = engine.rescue_import(&file, PASSPHRASE) {
        let after = engine.status().expect("status").unsent_changes;
        assert_eq!(after, before + done.changes, "what was here stays, what came waits");
        let again = engine.rescue_import(&file, PASSPHRASE).expect("again");
        assert_eq!(again.changes, 0, "twice is once");
        for doc in done.docs {
            engine.show(doc).expect("it is there");
        }
    }
}

fn import(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let (file, name) = match mode % 3 {
        0 => (rest.to_vec(), "customers.csv"),
        1 => (rest.to_vec(), "customers.xlsx"),
        _ => (xlsx::zip(&xlsx::parts(rest)), "customers.xlsx"),
    };
    match parse(&file, name) {
        Ok(rows) => {
            assert!(rows.len() <= MAX_ROWS);
            assert!(rows.windows(2).all(|w| w[0].line <= w[1].line), "lines in order");
        }
        Err(errors) => assert!(!errors.is_empty(), "a refusal has a reason"),
    }
}

// ---- how one is bent ----

fn bend_chunk(data: &[u8], rng: &mut impl Rng, raw: &mut dyn FnMut(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let (mut kind, body) = chunk::open(data).filter(|_| rng.random_range(0..8_u32) > 0)?;
    let body = match chunk::Parts::of(body) {
        Some(mut parts) if kind == 1 && rng.random() => {
            let donor = parts.clone();
            parts.bend(rng, &donor);
            parts.body()
        }
        _ => {
            let mut body = body.to_vec();
            raw(&mut body);
            body
        }
    };
    if rng.random_range(0..200_u32) == 0 {
        kind = rng.random_range(0..4);
    }
    Some(chunk::seal(kind, &body))
}

fn bend_gate(data: &[u8], rng: &mut impl Rng, raw: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let bases = docs::bases();
    let which = match data.first() {
        Some(which) if rng.random_range(0..16_u32) > 0 => *which,
        _ => rng.random_range(0..bases.len()) as u8,
    };
    let base = &bases[usize::from(which) % bases.len()];
    let body = data.get(1..).and_then(chunk::open).filter(|(kind, _)| *kind == 1).map(|(_, body)| body.to_vec());
    let sealed = match (rng.random_range(0..10_u32), body) {
        (0, _) | (_, None) => base.forge(rng),
        (1, _) => base.bend(rng),
        (2..6, Some(mut body)) => {
            raw(&mut body);
            chunk::seal(1, &body)
        }
        (_, Some(body)) => match chunk::Parts::of(&body) {
            Some(mut parts) => {
                let donor = base.forge(rng);
                let donor = chunk::open(&donor).and_then(|(_, body)| chunk::Parts::of(body));
                let own = parts.clone();
                parts.bend(rng, donor.as_ref().unwrap_or(&own));
                chunk::seal(1, &parts.body())
            }
            None => base.bend(rng),
        },
    };
    [&[which], sealed.as_slice()].concat()
}

/// Bends one of several messages, doubles it, or leaves it out.
fn bend_list<R: Rng>(
    data: &[u8],
    rng: &mut R,
    raw: &mut dyn FnMut(&mut Vec<u8>),
    bend: fn(&[u8], &mut R) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut messages = phone::split(data);
    if messages.is_empty() || rng.random_range(0..20_u32) == 0 {
        return None;
    }
    let at = rng.random_range(0..messages.len());
    match rng.random_range(0..16_u32) {
        0 => {
            let again = messages[at].clone();
            messages.insert(at, again);
        }
        1 if messages.len() > 1 => {
            messages.remove(at);
        }
        2 | 3 => raw(&mut messages[at]),
        _ => messages[at] = bend(&messages[at], rng)?,
    }
    Some(phone::join(&messages))
}

/// A chunk, its parts bent, its checksum right.
fn bend_sealed(bytes: &[u8], donor: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let Some((kind, body)) = chunk::open(bytes) else { return bytes.to_vec() };
    let mut body = body.to_vec();
    match chunk::Parts::of(&body) {
        Some(mut parts) if kind == 1 => {
            let donor = chunk::open(donor).and_then(|(_, body)| chunk::Parts::of(body));
            let own = parts.clone();
            parts.bend(rng, donor.as_ref().unwrap_or(&own));
            body = parts.body();
        }
        _ => chunk::bytes(rng, &mut body),
    }
    chunk::seal(kind, &body)
}

/// Changes, some of them bent; those made on a bent one are made on what it became, or not.
fn bend_changes(changes: &mut [serde_bytes::ByteBuf], rng: &mut impl Rng) {
    let mut became = HashMap::new();
    let (follow, donor) = (rng.random::<bool>(), changes.choose(rng).cloned().unwrap_or_default());
    for change in changes {
        let before = change.clone();
        let parts = chunk::open(change).filter(|(kind, _)| *kind == 1).and_then(|(_, b)| chunk::Parts::of(b));
        if let (true, Some(mut parts)) = (follow, parts)
            && parts.deps.iter().any(|d| became.contains_key(d))
        {
            for dep in &mut parts.deps {
                *dep = became.get(dep).copied().unwrap_or(*dep);
            }
            parts.deps.sort_unstable();
            *change = chunk::seal(1, &parts.body()).into();
        }
        if rng.random_range(0..3_u32) == 0 {
            *change = bend_sealed(change, &donor, rng).into();
        }
        if *change != before {
            became.insert(chunk::name(&before), chunk::name(change));
        }
    }
}

fn bend_request<R: Rng>(body: &[u8], rng: &mut R) -> Option<Vec<u8>> {
    let mut request: SyncRequest = phone::decode(body).ok()?;
    let push = (!request.push.is_empty()).then(|| rng.random_range(0..request.push.len()));
    match (rng.random_range(0..24_u32), push) {
        (0, _) => request.cursor = seeds::cursors().choose(rng).map(|c| onsite_core::sync::protocol::Cursor(c.clone())),
        (1, _) => request.mark = seeds::mark(rng.random_range(0..3)),
        (2, _) => request.digest = request.digest.map_or(Some(seeds::digest(rng.random())), |_| None),
        (3, _) => request.reconcile = Some(seeds::reconcile(rng)),
        (4, _) => request.ranges = (0..rng.random_range(0..300_u32)).map(|_| rng.random()).collect(),
        (5, _) => request.budget = rng.random_range(0..4_000),
        (6, _) => request.refused = seeds::undecided(&request, rng),
        (7, Some(at)) => request.push[at].kind = *onsite_core::domain::Kind::ALL.choose(rng)?,
        (8, Some(at)) => request.push[at].doc = request.push.choose(rng)?.doc,
        (9, Some(at)) => request.push[at].doc = seeds::documents().choose(rng).copied()?,
        (10, Some(at)) => request.push[at].sealed = Some(seeds::sealed(&request.push[at], rng)),
        (11, Some(at)) => {
            let again = request.push[at].clone();
            request.push.push(again);
        }
        (12, Some(at)) => {
            let changes = &mut request.push[at].changes;
            let len = changes.len();
            if len > 0 {
                changes.rotate_left(rng.random_range(0..len));
            }
        }
        (13, Some(at)) => {
            let changes = &mut request.push[at].changes;
            if !changes.is_empty() {
                changes.remove(rng.random_range(0..changes.len()));
            }
        }
        (_, Some(at)) => bend_changes(&mut request.push[at].changes, rng),
        (_, None) => return None,
    }
    minicbor_serde::to_vec(&request).ok()
}

fn bend_answer<R: Rng>(body: &[u8], rng: &mut R) -> Option<Vec<u8>> {
    let mut answer: SyncAnswer = phone::decode(body).ok()?;
    let (from, to) = (rng.random_range(0..4_usize), rng.random_range(0..4_usize));
    match rng.random_range(0..8_u32) {
        0 => answer.more = !answer.more,
        1 => answer.cursor.0.push(char::from(rng.random_range(b'.'..b':'))),
        2 => answer.docs.reverse(),
        3 => {
            let from = answer.docs.get(from).cloned();
            if let (Some(from), Some(to)) = (from, answer.docs.get_mut(to)) {
                to.sealed = from.sealed;
            }
        }
        4 => {
            let from = answer.verdicts.get(from).cloned();
            if let (Some(from), Some(to)) = (from, answer.verdicts.get_mut(to)) {
                to.fate = from.fate;
            }
        }
        _ => {
            for delivery in &mut answer.docs {
                if rng.random() {
                    delivery.snapshot = bend_sealed(&delivery.snapshot, &[], rng);
                }
                bend_changes(&mut delivery.changes, rng);
            }
        }
    }
    minicbor_serde::to_vec(&answer).ok()
}

fn bend_rescue(data: &[u8], rng: &mut impl Rng) -> Option<Vec<u8>> {
    let mut rescue = data.get(1..).and_then(|c| phone::decode::<Rescue>(c).ok())?;
    if rng.random_range(0..3_u32) == 0 {
        return None;
    }
    for doc in &mut rescue.docs {
        if rng.random() {
            bend_changes(&mut doc.changes, rng);
        }
        if rng.random_range(0..4_u32) == 0 {
            doc.snapshot = bend_sealed(&doc.snapshot, &[], rng);
        }
    }
    Some([&[1], minicbor_serde::to_vec(&rescue).ok()?.as_slice()].concat())
}

fn bend_import(data: &[u8], rng: &mut impl Rng, raw: &mut dyn FnMut(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let (mode, rest) = data.split_first()?;
    if *mode % 3 == 0 || rng.random_range(0..8_u32) == 0 {
        return None;
    }
    let mut parts = if mode % 3 == 1 { xlsx::unzip(rest) } else { xlsx::parts(rest) };
    let at = (!parts.is_empty()).then(|| rng.random_range(0..parts.len()))?;
    raw(&mut parts[at].1);
    Some([&[2], xlsx::input(&parts).as_slice()].concat())
}
