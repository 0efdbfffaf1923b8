//! Of the session, by hand-made answers, and of the wire messages, by bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::device::{Device, Written, hex};
use super::protocol::*;
use super::session::*;
use crate::document::{Actor, Change, Doc};
use crate::domain::*;
use crate::env::{Env as _, SeededEnv};
use crate::store::blobs::MemoryBlobs;
use crate::store::outbox::Lane;
use crate::store::{View, blobs, chunks, meta, outbox, views};
use rusqlite::Connection;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

mod hostile;

const T0: Millis = Millis(1_764_000_000_000);

fn staff(n: u128) -> StaffId {
    StaffId(Uuid::from_u128(0x5000 + n))
}

fn device_id(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(0xd000 + n))
}

fn doc_ref(kind: Kind, n: u128) -> DocRef {
    DocRef::new(kind, DocId(Uuid::from_u128(0x7000 + n)))
}

fn enrolled(n: u128) -> EnrolAnswer {
    EnrolAnswer {
        tenant: TenantId(Uuid::from_u128(1)),
        company: "华南纸浆模塑".into(),
        device: device_id(n),
        device_code: format!("A{n}"),
        staff: staff(n),
        roles: [Role::Technician].into(),
    }
}

fn device(n: u128) -> (Device, Arc<SeededEnv>) {
    let env = Arc::new(SeededEnv::new(u64::try_from(n).unwrap(), T0));
    let mut device =
        Device::open(Connection::open_in_memory().unwrap(), Box::new(Arc::clone(&env)), Box::new(MemoryBlobs::new()))
            .unwrap();
    device.begin_enrolment().unwrap();
    device.finish_enrolment("https://onsite.example", &enrolled(n)).unwrap();
    (device, env)
}

/// Writes a content as a command would.
fn edit(device: &mut Device, id: DocRef, f: impl FnOnce(Entity) -> Entity) -> ChangeHash {
    let (by, now) = (device.author().unwrap().staff, device.stamp().unwrap());
    let (hash, docs) = device
        .store
        .commit(|tx| {
            let mut doc = chunks::load_or_new(tx, id)?;
            let entity = f(doc.entity()?);
            let change = doc.write(meta::actor(tx)?, by, now.best(), &[Write::Put(id.id, entity)])?.unwrap();
            chunks::put_own(tx, id, &change, &doc.heads(), Lane::Work, now.device)?;
            let mut written = Written::new(tx)?;
            written.put(id, &doc)?;
            Ok((change.header.hash, written.finish(tx, now.device)?))
        })
        .unwrap();
    device.notify(&docs);
    hash
}

fn note(text: &str) -> impl FnOnce(Entity) -> Entity {
    let text = text.to_owned();
    move |e| {
        let mut v = Visit::unwrap(e).unwrap();
        v.remarks = Text(format!("{}{text}", v.remarks.0));
        v.wrap()
    }
}

fn outcome(o: Outcome) -> impl FnOnce(Entity) -> Entity {
    move |e| {
        let mut v = Visit::unwrap(e).unwrap();
        v.outcome = Some(o);
        v.wrap()
    }
}

fn visit(device: &Device, id: DocRef) -> Visit {
    views::entity(device.read(), id.id).unwrap().and_then(Visit::unwrap).unwrap()
}

fn sent(effects: &[Effect]) -> SyncRequest {
    match effects {
        [Effect::Send(body)] => minicbor_serde::from_slice(body).unwrap(),
        other => panic!("expected a message, got {other:?}"),
    }
}

fn report(effects: &[Effect]) -> SyncReport {
    match effects {
        [.., Effect::Done(report)] => report.clone(),
        other => panic!("expected the end, got {other:?}"),
    }
}

fn answer(n: u64) -> SyncAnswer {
    SyncAnswer { v: VERSION, clock: T0, cursor: Cursor(format!("v1.1.{n}")), mark: vec![1], ..SyncAnswer::default() }
}

fn cbor(message: &impl serde::Serialize) -> Vec<u8> {
    minicbor_serde::to_vec(message).unwrap()
}

fn take(session: &mut Session, device: &mut Device, message: &SyncAnswer) -> Vec<Effect> {
    let now = device.env.now();
    session.handle(device, now, Event::Answer(cbor(message))).unwrap()
}

fn start(session: &mut Session, device: &mut Device) -> SyncRequest {
    let now = device.env.now();
    sent(&session.handle(device, now, Event::Start).unwrap())
}

/// Verdicts of one kind on everything pushed.
fn all(request: &SyncRequest, fate: &Fate) -> Vec<Verdict> {
    pushed(request).into_iter().map(|(doc, hash)| Verdict { doc, hash, fate: fate.clone() }).collect()
}

fn pushed(request: &SyncRequest) -> Vec<(DocId, ChangeHash)> {
    let changes = |p: &Push| -> Vec<_> {
        p.changes.iter().map(|c| (p.doc, Change::parse(c.to_vec()).unwrap().header.hash)).collect()
    };
    request.push.iter().flat_map(changes).collect()
}

fn aside(code: &str) -> Fate {
    Fate::SetAside { code: code.into(), field: "outcome".into(), detail: "not now".into() }
}

/// A document another device wrote, as the server delivers it.
fn delivery(id: DocRef, doc: &Doc) -> Delivery {
    Delivery {
        doc: id.id,
        kind: id.kind,
        snapshot: doc.save(),
        changes: Vec::new(),
        sealed: Sealed { heads: doc.heads(), seal: vec![9; 32] },
    }
}

fn foreign(id: DocRef, doc: &mut Doc, f: impl FnOnce(Entity) -> Entity) -> Change {
    let actor = Actor { device: device_id(99), incarnation: [7; 8] };
    let entity = f(doc.entity().unwrap());
    doc.write(actor, staff(9), T0, &[Write::Put(id.id, entity)]).unwrap().unwrap()
}

/// Goes on with empty answers until the end.
fn finish(session: &mut Session, device: &mut Device, mut effects: Vec<Effect>) -> SyncReport {
    let mut n = 1_000;
    while let [Effect::Send(body)] = effects.as_slice() {
        let request: SyncRequest = minicbor_serde::from_slice(body).unwrap();
        n += 1;
        let message = SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(n) };
        effects = take(session, device, &message);
    }
    report(&effects)
}

#[test]
fn nothing_changed_is_one_round_trip_under_a_kilobyte() {
    let (mut device, _) = device(1);
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    assert_eq!(request.cursor, None, "the first sync has no cursor");
    let got = report(&take(&mut session, &mut device, &answer(5)));
    assert_eq!(got.round_trips, 1);
    assert!(got.bytes_up + got.bytes_down < 1024, "{got:?}");
    let request = start(&mut session, &mut device);
    assert_eq!(request.cursor, Some(Cursor("v1.1.5".into())));
    assert_eq!(request.mark, vec![1], "the mark is echoed");
    assert!(request.digest.is_some(), "an empty outbox compares digests");
}

#[test]
fn edits_are_pushed_once_and_acknowledged() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let hash = edit(&mut device, id, note("泵漏油"));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    assert_eq!(pushed(&request), [(id.id, hash)]);
    assert_eq!(request.digest, None, "no digest while changes wait");
    assert_eq!(request.account.changes, 1);
    let got =
        report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(1) }));
    assert_eq!((got.pushed, got.accepted, got.round_trips), (1, 1, 1));
    assert!(outbox::account(device.read()).unwrap().safe_to_hand_in());
    assert_eq!(outbox::delivery(device.read(), id.id).unwrap(), outbox::Delivery::Accepted);
}

#[test]
fn a_lost_answer_sends_the_same_change_again() {
    let (mut device, env) = device(1);
    let hash = edit(&mut device, doc_ref(Kind::Visit, 1), note("a"));
    let mut session = Session::new(SessionOptions::default());
    let first = start(&mut session, &mut device);
    let failure = Failure { code: "offline".into(), status: 0, retry_after: None };
    let now = env.now();
    let effects = session.handle(&mut device, now, Event::Failed(failure)).unwrap();
    let [Effect::Wait { until }] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(until.since(now) < 1_000, "full jitter under the first step");
    assert_eq!(session.handle(&mut device, now, Event::Poke).unwrap(), effects, "a poke does not break the wait");
    env.set(*until);
    let again = sent(&session.handle(&mut device, *until, Event::Tick).unwrap());
    assert_eq!(pushed(&again), pushed(&first));
    assert_eq!(pushed(&again)[0].1, hash);
    // An answer that comes after the file was opened anew is no answer: a new session asks.
    let mut other = Session::new(SessionOptions::default());
    assert_eq!(other.handle(&mut device, *until, Event::Answer(cbor(&answer(9)))).unwrap(), []);
}

#[test]
fn retry_after_is_the_least_wait_and_backoff_grows_to_its_bound() {
    let (mut device, env) = device(1);
    let mut session = Session::new(SessionOptions::default());
    let mut longest = 0;
    for n in 0..40 {
        start(&mut session, &mut device);
        let retry_after = (n == 39).then_some(60_000);
        let failure = Failure { code: "busy".into(), status: 503, retry_after };
        let effects = session.handle(&mut device, env.now(), Event::Failed(failure)).unwrap();
        let [Effect::Wait { until }] = effects.as_slice() else { panic!("{effects:?}") };
        let wait = until.since(env.now());
        longest = longest.max(wait);
        assert!(wait < 360_000);
        assert!(retry_after.is_none_or(|least| wait >= least));
    }
    assert!(longest > 60_000, "it grew: {longest}");
    assert_eq!(meta::sync_state(device.read()).unwrap().last_error, "busy");
}

#[test]
fn deliveries_are_taken_shown_and_watched() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 4);
    let mut doc = Doc::new(Kind::Visit);
    foreign(id, &mut doc, note("同事写的"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    device.watch(Box::new(move |docs| ears.lock().unwrap().extend_from_slice(docs)));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    let got = report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(1) }));
    assert_eq!(got.received, 1);
    assert_eq!(visit(&device, id).remarks.0, "同事写的");
    assert_eq!(heard.lock().unwrap().as_slice(), [id]);
    assert_eq!(Digest(chunks::digest(device.read()).unwrap()).0, chunks::digest_of(id.id, &doc.heads()));

    // The tail merges with an edit of one's own that is not sent yet.
    edit(&mut device, id, outcome(Outcome::Completed));
    let tail = foreign(id, &mut doc, note("，又写"));
    let request = start(&mut session, &mut device);
    // What it accepts is in what it vouches for.
    doc.apply(request.push[0].changes.iter().map(|c| c.to_vec())).unwrap();
    let message = SyncAnswer {
        verdicts: all(&request, &Fate::Accepted),
        docs: vec![Delivery { snapshot: Vec::new(), changes: vec![tail.bytes.clone().into()], ..delivery(id, &doc) }],
        ..answer(2)
    };
    report(&take(&mut session, &mut device, &message));
    let merged = visit(&device, id);
    assert_eq!((merged.remarks.0.as_str(), merged.outcome), ("同事写的，又写", Some(Outcome::Completed)));
}

#[test]
fn a_receipt_is_news_to_whoever_watches() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 4);
    edit(&mut device, id, note("现场"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    device.watch(Box::new(move |docs| ears.lock().unwrap().extend_from_slice(docs)));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(1) }));
    assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [id], "what waits is another number now");
    let heads = chunks::load(device.read(), id.id).unwrap().unwrap().heads();
    let seen = Seen { doc: id.id, heads, at: T0, by: staff(9) };
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { seen: vec![seen], ..answer(2) }));
    assert_eq!(*heard.lock().unwrap(), [id], "seen at the office");
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &answer(3)));
    assert_eq!(heard.lock().unwrap().len(), 1, "nothing new");
}

#[test]
fn one_bad_delivery_does_not_block_the_others() {
    let (mut device, _) = device(1);
    let good = doc_ref(Kind::Visit, 1);
    let mut doc = Doc::new(Kind::Visit);
    let change = foreign(good, &mut doc, note("好"));
    let bad = |n: u128, f: &dyn Fn(&mut Delivery)| {
        let mut d = delivery(doc_ref(Kind::Visit, n), &doc);
        f(&mut d);
        d
    };
    let mut orphan = Doc::load(Kind::Visit, Some(&doc.save()), std::iter::empty::<&[u8]>()).unwrap();
    let orphan = foreign(good, &mut orphan, note("child"));
    let docs = vec![
        bad(11, &|d| d.snapshot = b"not a document".to_vec()),
        bad(12, &|d| d.kind = Kind::Customer),
        bad(13, &|d| d.sealed.heads = vec![ChangeHash([7; 32])]),
        bad(14, &|d| d.sealed.heads.clear()),
        bad(15, &|d| d.snapshot[20] ^= 0x55),
        bad(16, &|d| d.changes = vec![vec![0; 40].into()]),
        bad(17, &|d| (d.snapshot, d.changes) = (Vec::new(), vec![orphan.bytes.clone().into()])),
        delivery(good, &doc),
    ];
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    let got = report(&finish_message(&mut session, &mut device, &SyncAnswer { docs, ..answer(1) }));
    assert_eq!(got.received, 1, "{:?}", got.skipped);
    assert_eq!(got.skipped.len(), 7, "{:?}", got.skipped);
    assert_eq!(visit(&device, good).remarks.0, "好");
    assert_eq!(outbox::account(device.read()).unwrap().documents, 1, "nothing half-taken");
    assert!(meta::sync_state(device.read()).unwrap().reconcile, "what was skipped is compared again next time");
    assert!(chunks::load(device.read(), good.id).unwrap().unwrap().has(change.header.hash));
}

/// Takes a message, then goes on with empty answers.
fn finish_message(session: &mut Session, device: &mut Device, message: &SyncAnswer) -> Vec<Effect> {
    let effects = take(session, device, message);
    vec![Effect::Done(finish(session, device, effects))]
}

#[test]
fn a_refused_edit_is_kept_aside_and_innocent_ones_are_written_again() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let first = edit(&mut device, id, note("先"));
    let guilty = edit(&mut device, id, outcome(Outcome::Completed));
    let innocent = edit(&mut device, id, note("后"));
    let before = meta::actor(device.read()).unwrap();
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    let fate = |hash: ChangeHash| if hash == first { Fate::Accepted } else { aside("frozen") };
    let verdicts = [first, guilty].map(|hash| Verdict { doc: id.id, hash, fate: fate(hash) }).to_vec();
    assert_eq!(pushed(&request).len(), 3);
    let next = sent(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(1) }));
    let now = visit(&device, id);
    assert_eq!(now.outcome, None, "the refused one is out");
    assert_eq!(now.remarks.0, "先后", "the innocent one stays");
    let again = pushed(&next);
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].1, innocent, "as a change of its own");
    assert_ne!(meta::actor(device.read()).unwrap(), before, "under a new incarnation");
    let open = outbox::refused(device.read(), true).unwrap();
    assert_eq!(open.iter().map(|r| r.hash).collect::<Vec<_>>(), [guilty], "both versions are kept");
    let got =
        report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(2) }));
    assert_eq!((got.accepted, got.refused), (2, 1));
    assert!(outbox::account(device.read()).unwrap().safe_to_hand_in());
}

#[test]
fn what_the_server_refuses_only_for_what_it_rests_on_is_written_again() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let first = edit(&mut device, id, note("先"));
    // Words and a value, refused; then words within them, a value over it, and something else.
    let guilty = edit(&mut device, id, |e| outcome(Outcome::Completed)(note("不许")(e)));
    let innocent = edit(&mut device, id, |e| outcome(Outcome::Incomplete)(note("后")(e)));
    let unsent = edit(&mut device, id, |e| {
        let mut v = Visit::unwrap(e).unwrap();
        v.resolution = Text("换泵".into());
        v.wrap()
    });
    let mut session = Session::new(SessionOptions { push_changes: 3, ..SessionOptions::default() });
    let request = start(&mut session, &mut device);
    assert_eq!(pushed(&request).into_iter().map(|(_, h)| h).collect::<Vec<_>>(), [first, guilty, innocent]);
    let fates = [(first, Fate::Accepted), (guilty, aside("frozen")), (innocent, aside("depends_on_refused"))];
    let verdicts = fates.map(|(hash, fate)| Verdict { doc: id.id, hash, fate }).to_vec();
    let next = sent(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(1) }));
    let now = visit(&device, id);
    assert_eq!((now.remarks.0.as_str(), now.resolution.0.as_str()), ("先后", "换泵"));
    assert_eq!(now.outcome, Some(Outcome::Incomplete), "set over a refused value");
    let again: Vec<_> = pushed(&next).into_iter().map(|(_, h)| h).collect();
    assert_eq!(again.len(), 2);
    assert!(!again.contains(&innocent) && !again.contains(&unsent), "as changes of their own");
    let open = outbox::refused(device.read(), true).unwrap();
    assert_eq!(open.iter().map(|r| r.hash).collect::<Vec<_>>(), [guilty], "only the guilty one stays open");
    let got =
        report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(2) }));
    assert_eq!((got.accepted, got.refused), (3, 2));
    // It loads again as it is.
    assert_eq!(chunks::load(device.read(), id.id).unwrap().unwrap().entity().unwrap(), visit(&device, id).wrap());
}

#[test]
fn the_offices_decision_is_asked_for_and_stays_until_it_is_noted() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    edit(&mut device, id, note("先"));
    let guilty = edit(&mut device, id, outcome(Outcome::Completed));
    let innocent = edit(&mut device, id, note("后"));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    assert!(request.refused.is_empty());
    let mut verdicts = all(&request, &Fate::Accepted);
    verdicts[1].fate = aside("frozen");
    verdicts[2].fate = aside("depends_on_refused");
    // What is written again goes with the word about it.
    let next = sent(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(1) }));
    let instead = pushed(&next)[0].1;
    let asked = |request: &SyncRequest| {
        let mut all: Vec<_> = request.refused.iter().map(|u| (u.doc, u.hash, u.instead)).collect();
        all.sort_by_key(|(_, hash, _)| *hash != guilty);
        all
    };
    assert_eq!(asked(&next), [(id.id, guilty, None), (id.id, innocent, Some(instead))]);
    let word = |hash, verdict: &str| Decided {
        doc: id.id,
        hash,
        verdict: verdict.into(),
        by: staff(9),
        at: T0,
        reason: "重复".into(),
    };
    let message = SyncAnswer {
        verdicts: all(&next, &Fate::Accepted),
        decided: vec![word(innocent, "rewritten"), word(instead, "accepted")],
        ..answer(2)
    };
    report(&take(&mut session, &mut device, &message));

    // Asked once a sync, until the office has decided; what nobody refused is not decided.
    assert_eq!(asked(&start(&mut session, &mut device)), [(id.id, guilty, None)]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    device.watch(Box::new(move |docs| heard.lock().unwrap().extend_from_slice(docs)));
    report(&take(&mut session, &mut device, &SyncAnswer { decided: vec![word(guilty, "dismissed")], ..answer(3) }));
    assert_eq!(*told.lock().unwrap(), [id], "whoever watches hears of it");
    assert!(start(&mut session, &mut device).refused.is_empty());
    // A second word changes nothing.
    report(&take(&mut session, &mut device, &SyncAnswer { decided: vec![word(guilty, "accepted")], ..answer(4) }));
    let open = outbox::refused(device.read(), true).unwrap();
    assert_eq!(open.iter().map(|r| r.hash).collect::<Vec<_>>(), [guilty]);
    assert_eq!(open[0].decision.as_ref().map(|d| (d.verdict.as_str(), d.by)), Some(("dismissed", staff(9))));
    device.store.commit(|tx| outbox::settle_refused(tx, open[0].id)).unwrap();
    assert!(outbox::refused(device.read(), true).unwrap().is_empty());
}

#[test]
fn what_its_author_lets_rest_is_not_asked_about() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    edit(&mut device, id, note("x"));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &aside("frozen")), ..answer(1) }));
    let open = outbox::refused(device.read(), true).unwrap();
    device.store.commit(|tx| outbox::settle_refused(tx, open[0].id)).unwrap();
    assert!(start(&mut session, &mut device).refused.is_empty());
}

#[test]
fn a_refused_document_that_was_new_leaves_only_its_refusal() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    edit(&mut device, id, note("x"));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    report(&take(
        &mut session,
        &mut device,
        &SyncAnswer { verdicts: all(&request, &aside("not_your_visit")), ..answer(1) },
    ));
    assert!(chunks::held(device.read(), id.id).unwrap().is_none());
    assert_eq!(outbox::refused(device.read(), true).unwrap().len(), 1);
}

#[test]
fn a_copied_file_mints_a_new_actor_and_writes_again() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    edit(&mut device, id, note("甲"));
    edit(&mut device, id, note("乙"));
    let before = meta::actor(device.read()).unwrap();
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    let old = pushed(&request);
    let message =
        SyncAnswer { verdicts: all(&request, &Fate::ActorReused), orders: vec![Order::NewActor], ..answer(1) };
    let next = sent(&take(&mut session, &mut device, &message));
    let new = pushed(&next);
    assert_eq!(new.len(), 2);
    assert!(new.iter().all(|n| !old.contains(n)));
    let actor = meta::actor(device.read()).unwrap();
    assert_ne!(actor, before);
    for push in &next.push {
        for change in &push.changes {
            assert_eq!(Change::parse(change.to_vec()).unwrap().header.author(), Some(actor));
        }
    }
    assert_eq!(visit(&device, id).remarks.0, "甲乙");
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(2) }));
    assert!(outbox::account(device.read()).unwrap().safe_to_hand_in());
}

#[test]
fn a_twins_change_under_the_same_number_is_taken_and_ours_written_again() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let actor = meta::actor(device.read()).unwrap();
    edit(&mut device, id, note("我"));
    // The same file on another phone wrote, and was faster.
    let mut twin = Doc::new(Kind::Visit);
    let theirs = Visit { outcome: Some(Outcome::Incomplete), ..Visit::default() };
    twin.write(actor, staff(1), T0, &[Write::Put(id.id, theirs.wrap())]).unwrap().unwrap();
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    let message = SyncAnswer { verdicts: all(&request, &Fate::Later), docs: vec![delivery(id, &twin)], ..answer(1) };
    let next = sent(&take(&mut session, &mut device, &message));
    assert_eq!(pushed(&next).len(), 1);
    let merged = visit(&device, id);
    assert_eq!((merged.remarks.0.as_str(), merged.outcome), ("我", Some(Outcome::Incomplete)));
    let got =
        report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(2) }));
    assert_eq!(got.skipped, []);
}

/// Found by the simulation: such a change was sent, and refused, without end.
#[test]
fn anothers_change_whose_number_was_taken_meanwhile_is_said_again_by_who_holds_it() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let mut doc = Doc::new(Kind::Visit);
    let theirs = foreign(id, &mut doc, note("别人写的"));
    // And something that rests on it, which nobody waits to send.
    foreign(id, &mut doc, note("又写的"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(1) }));
    edit(&mut device, id, outcome(Outcome::Completed));
    // A restored server lost it, and its author, restored too, wrote something else under its number.
    let queued = device.store.commit(|tx| outbox::requeue(tx, id, std::slice::from_ref(&theirs), Lane::Rest, T0));
    assert_eq!(queued.unwrap(), 1);
    let request = start(&mut session, &mut device);
    assert_eq!(pushed(&request).len(), 2);
    let verdicts = request.push.iter().flat_map(|p| &p.changes).map(|bytes| {
        let hash = Change::parse(bytes.to_vec()).unwrap().header.hash;
        let reused = hash == theirs.header.hash;
        Verdict {
            doc: id.id,
            hash,
            fate: if reused { Fate::ActorReused } else { Fate::NeedDeps(vec![theirs.header.hash]) },
        }
    });
    let message = SyncAnswer { verdicts: verdicts.collect(), ..answer(2) };
    let next = sent(&take(&mut session, &mut device, &message));
    assert!(!pushed(&next).contains(&(id.id, theirs.header.hash)), "not once more under the number that is taken");
    let actor = meta::actor(device.read()).unwrap();
    for change in next.push.iter().flat_map(|p| &p.changes) {
        assert_eq!(Change::parse(change.to_vec()).unwrap().header.author(), Some(actor));
    }
    let here = visit(&device, id);
    assert_eq!((here.remarks.0.as_str(), here.outcome), ("别人写的又写的", Some(Outcome::Completed)));
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(3) }));
    assert!(outbox::account(device.read()).unwrap().safe_to_hand_in());
}

#[test]
fn a_document_that_left_waits_for_its_unsent_edit() {
    let (mut device, _) = device(1);
    let (keeps, goes) = (doc_ref(Kind::Visit, 1), doc_ref(Kind::Visit, 2));
    let mut doc = Doc::new(Kind::Visit);
    foreign(goes, &mut doc, note("x"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    let docs = vec![delivery(keeps, &doc), delivery(goes, &doc)];
    report(&take(&mut session, &mut device, &SyncAnswer { docs, ..answer(1) }));
    edit(&mut device, keeps, outcome(Outcome::Completed));
    let request = start(&mut session, &mut device);
    let left = vec![keeps.id, goes.id];
    let message = SyncAnswer { verdicts: all(&request, &Fate::Later), left, ..answer(2) };
    let next = sent(&take(&mut session, &mut device, &message));
    assert!(chunks::held(device.read(), goes.id).unwrap().is_none(), "gone");
    assert!(chunks::held(device.read(), keeps.id).unwrap().unwrap().leaving, "waits");
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(3) }));
    assert!(chunks::held(device.read(), keeps.id).unwrap().is_none(), "gone with its last edit");
    assert_eq!(chunks::digest(device.read()).unwrap(), [0; 32]);
}

/// Found by the simulation: it went before what rested on the refused edit was written again.
#[test]
fn a_document_that_left_waits_for_what_is_written_again() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let mut doc = Doc::new(Kind::Visit);
    foreign(id, &mut doc, note("x"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(1) }));
    let guilty = edit(&mut device, id, outcome(Outcome::Completed));
    let innocent = edit(&mut device, id, note("无辜"));
    let request = start(&mut session, &mut device);
    let aside = |code: &str| Fate::SetAside { code: code.into(), field: String::new(), detail: String::new() };
    let both_aside = |id: DocRef, guilty, innocent| {
        let fates = [(guilty, aside("not_assigned")), (innocent, aside("depends_on_refused"))];
        fates.map(|(hash, fate)| Verdict { doc: id.id, hash, fate }).to_vec()
    };
    let verdicts = both_aside(id, guilty, innocent);
    assert_eq!(pushed(&request), [(id.id, guilty), (id.id, innocent)]);
    let message = SyncAnswer { verdicts, left: vec![id.id], ..answer(2) };
    let next = sent(&take(&mut session, &mut device, &message));
    assert_eq!(pushed(&next).len(), 1, "the innocent edit again");
    assert!(chunks::held(device.read(), id.id).unwrap().unwrap().leaving, "waits");
    let refused = outbox::refused(device.read(), false).unwrap();
    let instead = |hash| refused.iter().find(|r| r.hash == hash).unwrap().instead;
    assert_eq!((instead(guilty), instead(innocent)), (None, Some(pushed(&next)[0].1)));
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(3) }));
    assert!(chunks::held(device.read(), id.id).unwrap().is_none(), "gone with its last edit");

    // Where it left before, and everything waiting is refused.
    let id = doc_ref(Kind::Visit, 2);
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(4) }));
    edit(&mut device, id, outcome(Outcome::Completed));
    edit(&mut device, id, note("无辜"));
    let request = start(&mut session, &mut device);
    let message = SyncAnswer { verdicts: all(&request, &Fate::Later), left: vec![id.id], ..answer(5) };
    let next = sent(&take(&mut session, &mut device, &message));
    let [(_, guilty), (_, innocent)] = pushed(&next)[..] else { panic!("{next:?}") };
    let verdicts = both_aside(id, guilty, innocent);
    let next = sent(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(6) }));
    assert_eq!(pushed(&next).len(), 1, "the innocent edit again");
    let verdicts = all(&next, &aside("not_assigned"));
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(7) }));
    assert!(chunks::held(device.read(), id.id).unwrap().is_none(), "nothing is left to be sent");
    assert_eq!(chunks::digest(device.read()).unwrap(), [0; 32]);
}

#[test]
fn a_restored_server_gets_back_what_it_lost_sealed() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let mut doc = Doc::new(Kind::Visit);
    let kept = foreign(id, &mut doc, note("旧"));
    foreign(id, &mut doc, note("新"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(8) }));

    let request = start(&mut session, &mut device);
    assert_eq!(request.cursor, Some(Cursor("v1.1.8".into())));
    // The backup is older: another epoch.
    let other = |n: u64| SyncAnswer { cursor: Cursor(format!("v1.2.{n}")), ..answer(n) };
    let ranges = sent(&take(&mut session, &mut device, &SyncAnswer { orders: vec![Order::Reconcile], ..other(3) }));
    let Some(Reconcile::Ranges(digests)) = ranges.reconcile else { panic!("{ranges:?}") };
    assert_eq!(digests.len(), 256);
    let range = u8::try_from(digests.iter().position(|d| d.0 != [0; 32]).unwrap()).unwrap();
    let message = SyncAnswer { reconcile: Some(ReconcileAnswer::Differ(vec![range])), ..other(3) };
    let have = sent(&take(&mut session, &mut device, &message));
    assert_eq!(have.ranges, [range]);
    let Some(Reconcile::Have(held)) = have.reconcile else { panic!("{have:?}") };
    assert_eq!(held, [Held { doc: id.id, kind: Kind::Visit, heads: doc.heads() }]);
    let want = Held { heads: vec![kept.header.hash], ..held[0].clone() };
    let message = SyncAnswer { reconcile: Some(ReconcileAnswer::Want(vec![want])), ..other(3) };
    let push = sent(&take(&mut session, &mut device, &message));
    assert_eq!(push.push.len(), 1);
    assert_eq!(push.push[0].changes.len(), 1, "only what it lost");
    assert_eq!(
        push.push[0].sealed,
        Some(Sealed { heads: doc.heads(), seal: vec![9; 32] }),
        "of another author: sealed"
    );
    let got =
        report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&push, &Fate::Accepted), ..other(4) }));
    assert!(got.reconciled);
    assert_eq!(chunks::held(device.read(), id.id).unwrap().unwrap().accepted, doc.heads());
    let quiet = start(&mut session, &mut device);
    assert_eq!((quiet.reconcile, quiet.push.len()), (None, 0), "compared once");
    assert_eq!(quiet.digest.unwrap().0, chunks::digest_of(id.id, &doc.heads()));
}

#[test]
fn a_restored_server_that_wrote_on_still_gets_back_what_it_lost() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let mut doc = Doc::new(Kind::Visit);
    let kept = foreign(id, &mut doc, note("旧"));
    let lost = foreign(id, &mut doc, note("新"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(8) }));

    // Before anything was compared, somebody wrote on what the backup had.
    let mut theirs = Doc::load(Kind::Visit, None, [&kept.bytes]).unwrap();
    let actor = Actor { device: device_id(98), incarnation: [6; 8] };
    let written = outcome(Outcome::Completed)(theirs.entity().unwrap());
    let since = theirs.write(actor, staff(8), T0, &[Write::Put(id.id, written)]).unwrap().unwrap();
    let news = Delivery {
        snapshot: Vec::new(),
        changes: vec![since.bytes.into()],
        sealed: Sealed { heads: theirs.heads(), seal: vec![7; 32] },
        ..delivery(id, &theirs)
    };
    start(&mut session, &mut device);
    let push = sent(&take(&mut session, &mut device, &SyncAnswer { docs: vec![news], ..answer(4) }));
    assert_eq!(pushed(&push), [(id.id, lost.header.hash)]);
    assert_eq!(push.push[0].sealed, Some(Sealed { heads: doc.heads(), seal: vec![9; 32] }), "the older seal vouches");
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&push, &Fate::Accepted), ..answer(5) }));
    let held = chunks::held(device.read(), id.id).unwrap().unwrap();
    assert_eq!(held.accepted, held.heads);
}

#[test]
fn a_restored_server_is_compared_with_before_it_judges() {
    let (mut device, _) = device(1);
    let hash = edit(&mut device, doc_ref(Kind::Visit, 1), note("a"));
    let mut session = Session::new(SessionOptions::default());
    assert_eq!(pushed(&start(&mut session, &mut device)).len(), 1, "nobody knows of it yet");
    // It says nothing of the push.
    let message = SyncAnswer { orders: vec![Order::Reconcile], ..answer(3) };
    let compare = sent(&take(&mut session, &mut device, &message));
    assert!(matches!(compare.reconcile, Some(Reconcile::Ranges(_))) && compare.push.is_empty(), "{compare:?}");
    let same = SyncAnswer { reconcile: Some(ReconcileAnswer::Same), ..answer(3) };
    let push = sent(&take(&mut session, &mut device, &same));
    assert_eq!(pushed(&push)[0].1, hash);
}

#[test]
fn missing_parents_are_sent_along() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let first = edit(&mut device, id, note("1"));
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(1) }));
    let second = edit(&mut device, id, note("2"));
    let request = start(&mut session, &mut device);
    let verdicts = all(&request, &Fate::NeedDeps(vec![first]));
    let next = sent(&take(&mut session, &mut device, &SyncAnswer { verdicts, ..answer(2) }));
    let both: Vec<_> = pushed(&next).into_iter().map(|(_, h)| h).collect();
    assert!(both.contains(&first) && both.contains(&second), "{both:?}");
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&next, &Fate::Accepted), ..answer(3) }));
}

#[test]
fn an_answer_that_leads_nowhere_ends_in_a_wait() {
    let (mut device, _) = device(1);
    edit(&mut device, doc_ref(Kind::Visit, 1), note("x"));
    let mut session = Session::new(SessionOptions::default());
    let mut effects = vec![Effect::Send(cbor(&start(&mut session, &mut device)))];
    for _ in 0..10 {
        match effects.as_slice() {
            [Effect::Send(_)] => effects = take(&mut session, &mut device, &SyncAnswer { more: true, ..answer(1) }),
            [Effect::Wait { .. }] => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(effects.as_slice(), [Effect::Wait { .. }]), "{effects:?}");
    for junk in [vec![], vec![0xff; 9], cbor(&SyncAnswer { v: 7, ..answer(1) }), b"<html>".to_vec()] {
        start(&mut session, &mut device);
        let now = device.env.now();
        let effects = session.handle(&mut device, now, Event::Answer(junk)).unwrap();
        assert!(matches!(effects.as_slice(), [Effect::Wait { .. }]), "{effects:?}");
    }
    assert_eq!(outbox::account(device.read()).unwrap().changes, 1, "nothing was lost over it");
}

#[test]
fn a_message_refused_whole_is_halved_until_the_bad_item_stands_alone() {
    let (mut device, _) = device(1);
    for n in 0..6 {
        edit(&mut device, doc_ref(Kind::Visit, n), note("x"));
    }
    let poison = doc_ref(Kind::Visit, 3).id;
    let mut session = Session::new(SessionOptions::default());
    let mut request = start(&mut session, &mut device);
    let mut n = 0;
    let got = loop {
        n += 1;
        assert!(n < 40, "it ends");
        let bad = request.push.iter().any(|p| p.doc == poison);
        let effects = if bad {
            let failure = Failure { code: "bad_body".into(), status: 400, retry_after: None };
            let now = device.env.now();
            session.handle(&mut device, now, Event::Failed(failure)).unwrap()
        } else {
            take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(n) })
        };
        match effects.as_slice() {
            [Effect::Send(body)] => request = minicbor_serde::from_slice(body).unwrap(),
            [Effect::Done(report)] => break report.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((got.accepted, got.skipped.len()), (5, 1), "{got:?}");
    assert_eq!(outbox::account(device.read()).unwrap().changes, 1);
}

#[test]
fn a_revoked_device_is_wiped() {
    let (mut device, _) = device(1);
    edit(&mut device, doc_ref(Kind::Visit, 1), note("x"));
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    let effects = take(&mut session, &mut device, &SyncAnswer { orders: vec![Order::Wipe], ..answer(1) });
    assert!(matches!(effects.as_slice(), [Effect::Wipe, Effect::Done(SyncReport { wiped: true, .. })]), "{effects:?}");
    assert_eq!(device.identity().unwrap_err().code(), "not_enrolled");
    assert_eq!(outbox::account(device.read()).unwrap(), outbox::Account::default());
}

#[test]
fn the_clock_is_measured_and_a_finer_measure_stays() {
    let (mut device, env) = device(1);
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    env.advance(200);
    report(&take(&mut session, &mut device, &SyncAnswer { clock: T0.plus(90_100), ..answer(1) }));
    let stamp = device.stamp().unwrap();
    assert_eq!((stamp.offset, stamp.doubt), (Some(90_000), Some(101)));
    start(&mut session, &mut device);
    env.advance(20_000);
    report(&take(&mut session, &mut device, &SyncAnswer { clock: env.now().plus(82_000), ..answer(1) }));
    assert_eq!(device.stamp().unwrap().doubt, Some(101), "a slow answer knows less");
    // The phone's clock was set: the old measure is contradicted.
    env.advance(-600_000);
    start(&mut session, &mut device);
    env.advance(1_000);
    report(&take(&mut session, &mut device, &SyncAnswer { clock: env.now().plus(690_000), ..answer(1) }));
    assert_eq!(device.stamp().unwrap().offset, Some(690_500));
}

#[test]
fn photos_go_last_in_parts_and_give_way_to_texts() {
    let (mut device, _) = device(1);
    let bytes = vec![3_u8; 2_500];
    let name = device.blobs.put(&bytes).unwrap();
    let id = doc_ref(Kind::Visit, 1);
    device.store.commit(|tx| blobs::link(tx, id, name, 2_500, "image/jpeg", T0)).unwrap();
    edit(&mut device, id, note("带照片"));
    let mut session = Session::new(SessionOptions { chunk: 1_000, ..SessionOptions::default() });
    let request = start(&mut session, &mut device);
    assert_eq!(request.account.blob_bytes, 2_500);
    let effects =
        take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(1) });
    let [Effect::Upload { upload, offset: 0, size: 2_500, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(upload.is_empty());
    let mut progress = |device: &mut Device, upload: &str, sent| {
        let event = Event::BlobProgress { blob: name, upload: upload.into(), sent };
        session.handle(device, T0, event).unwrap()
    };
    let effects = progress(&mut device, "/v1/blobs/uploads/1", 0);
    assert!(matches!(effects.as_slice(), [Effect::Upload { offset: 0, .. }]));
    // A text written meanwhile goes before the rest of the photo.
    edit(&mut device, id, note("！"));
    let request = sent(&progress(&mut device, "/v1/blobs/uploads/1", 1_000));
    assert_eq!(request.push.len(), 1);
    let effects =
        take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(2) });
    assert!(
        matches!(effects.as_slice(), [Effect::Upload { offset: 1_000, upload, .. }] if upload == "/v1/blobs/uploads/1"),
        "{effects:?}"
    );
    assert!(!outbox::account(device.read()).unwrap().safe_to_hand_in());
    let event = Event::BlobProgress { blob: name, upload: String::new(), sent: 2_500 };
    let got = report(&session.handle(&mut device, T0, event).unwrap());
    assert_eq!(got.uploaded, 1);
    assert!(outbox::account(device.read()).unwrap().safe_to_hand_in());
}

#[test]
fn a_restored_server_is_asked_for_photos_and_gets_back_what_it_lost() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let (kept, lost) = (device.blobs.put(b"kept").unwrap(), device.blobs.put(b"lost").unwrap());
    edit(&mut device, id, note("x"));
    device
        .store
        .commit(|tx| {
            for name in [kept, lost] {
                blobs::link(tx, id, name, 4, "image/jpeg", T0)?;
                outbox::acknowledge_blob(tx, name)?;
            }
            Ok(())
        })
        .unwrap();
    let mut session = Session::new(SessionOptions::default());
    let first = start(&mut session, &mut device);
    assert!(first.blobs.is_empty(), "asked only where the server may have lost some");
    let verdicts = all(&first, &Fate::Accepted);
    // A word about blobs nobody asked about means nothing.
    let other_life = SyncAnswer { verdicts, orders: vec![Order::Reconcile], lost: vec![kept], ..answer(5) };
    let asked = sent(&take(&mut session, &mut device, &other_life));
    assert!(matches!(asked.reconcile, Some(Reconcile::Ranges(_))));
    assert_eq!(asked.blobs.iter().collect::<std::collections::BTreeSet<_>>(), [&kept, &lost].into());
    let same = SyncAnswer { reconcile: Some(ReconcileAnswer::Same), lost: vec![lost], ..answer(5) };
    match take(&mut session, &mut device, &same).as_slice() {
        [Effect::Upload { blob, offset: 0, .. }] => assert_eq!(*blob, lost),
        other => panic!("{other:?}"),
    }
    assert_eq!(outbox::account(device.read()).unwrap().blobs, 1, "not safe to hand in until it is back");
}

#[test]
fn a_photo_with_other_bytes_is_not_kept() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    let name: Sha256 = "ab".repeat(32).parse().unwrap();
    let mut doc = Doc::new(Kind::Visit);
    foreign(id, &mut doc, |e| {
        let mut v = Visit::unwrap(e).unwrap();
        let photo = Photo { blob: Some(name), size: 9, media_type: "image/png".into(), ..Photo::default() };
        v.photos.insert(ItemId(Uuid::from_u128(5)), photo);
        v.wrap()
    });
    let mut session = Session::new(SessionOptions::default());
    start(&mut session, &mut device);
    let effects = take(&mut session, &mut device, &SyncAnswer { docs: vec![delivery(id, &doc)], ..answer(1) });
    let [Effect::Download { blob, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*blob, name);
    let event = Event::BlobFetched { blob: name, bytes: b"something".to_vec() };
    let got = report(&session.handle(&mut device, T0, event).unwrap());
    assert_eq!(got.skipped, [(name.to_string(), "blob_mismatch".to_owned())]);
    assert_eq!(device.blobs.size(name).unwrap(), None);
}

#[test]
fn enrolling_anew_writes_unsent_edits_as_the_new_device() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    edit(&mut device, id, note("没发出"));
    device.begin_enrolment().unwrap();
    let refused = device.finish_enrolment("https://onsite.example", &enrolled(2)).unwrap_err();
    assert_eq!(refused.code(), "unsent_work", "another person's phone now");
    let again = EnrolAnswer { device: device_id(7), ..enrolled(1) };
    device.finish_enrolment("https://onsite.example/", &again).unwrap();
    let waiting = outbox::waiting(device.read(), id.id).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].header.author().unwrap().device, device_id(7));
    assert_eq!(visit(&device, id).remarks.0, "没发出");
    assert_eq!(device.identity().unwrap().server, "https://onsite.example");
}

#[test]
fn challenges_are_signed_for_this_device_only() {
    use ed25519_dalek::{Signature, VerifyingKey};
    let env = SeededEnv::new(5, T0);
    let mut device =
        Device::open(Connection::open_in_memory().unwrap(), Box::new(env), Box::new(MemoryBlobs::new())).unwrap();
    assert_eq!(device.sign_challenge("n").unwrap_err().code(), "not_enrolled");
    assert_eq!(device.finish_enrolment("https://x", &enrolled(1)).unwrap_err().code(), "not_enrolled");
    let public = device.begin_enrolment().unwrap();
    assert_eq!(device.begin_enrolment().unwrap(), public, "a retry keeps the key");
    device.finish_enrolment("https://x", &enrolled(1)).unwrap();
    let signed = device.sign_challenge("nonce").unwrap();
    let message = [b"onsite-token-v1".as_slice(), signed.device.as_bytes(), b"nonce"].concat();
    let bytes: Vec<u8> =
        (0..64).map(|i| u8::from_str_radix(&signed.signature[2 * i..2 * i + 2], 16).unwrap()).collect();
    let signature = Signature::from_slice(&bytes).unwrap();
    VerifyingKey::from_bytes(&public).unwrap().verify_strict(&message, &signature).unwrap();
}

#[test]
fn roles_come_from_the_staff_document_once_it_is_here() {
    let (mut device, _) = device(1);
    assert!(device.author().unwrap().is(Role::Technician));
    let id = DocRef::new(Kind::Staff, staff(1));
    edit(&mut device, id, |_| Staff { roles: [Role::Clerk].into_iter().collect(), ..Staff::default() }.wrap());
    assert!(device.author().unwrap().is(Role::Clerk));
    assert!(!device.author().unwrap().is(Role::Technician));
    let view = View::new(device.read());
    assert!(view.get::<Staff>(staff(1)).is_some());
}

#[test]
fn long_tails_are_compacted_and_read_the_same() {
    let (mut device, _) = device(1);
    let id = doc_ref(Kind::Visit, 1);
    for n in 0..40 {
        edit(&mut device, id, note(&format!("{n},")));
    }
    let before = visit(&device, id);
    let mut session = Session::new(SessionOptions::default());
    let request = start(&mut session, &mut device);
    report(&take(&mut session, &mut device, &SyncAnswer { verdicts: all(&request, &Fate::Accepted), ..answer(1) }));
    let long = chunks::wants_compaction(device.read(), id.id, chunks::LONG_TAIL).unwrap();
    assert!(!long, "compacted at the end of the sync");
    let doc = chunks::load(device.read(), id.id).unwrap().unwrap();
    assert_eq!(Visit::unwrap(doc.entity().unwrap()).unwrap(), before);
    assert_eq!(doc.changes().len(), 40);
}

/// Every message: a snapshot for people, bytes for machines. A message that
/// once was must stay readable, so these only ever grow.
mod wire {
    use super::*;

    fn id(n: u128) -> DocId {
        DocId(Uuid::from_u128(n))
    }

    fn request() -> SyncRequest {
        SyncRequest {
            v: VERSION,
            app: "onsite 0.1.0".into(),
            cursor: Some(Cursor("v1.3.77".into())),
            mark: vec![1, 2, 3],
            clock: T0,
            push: vec![Push {
                doc: id(1),
                kind: Kind::Visit,
                changes: vec![vec![0x85, 0x6f].into()],
                sealed: Some(Sealed { heads: vec![ChangeHash([2; 32])], seal: vec![3; 4] }),
            }],
            digest: Some(Digest([4; 32])),
            account: Account { changes: 1, blobs: 2, blob_bytes: 3, oldest: Some(T0), documents: 4 },
            reconcile: Some(Reconcile::Have(vec![Held {
                doc: id(1),
                kind: Kind::WorkOrder,
                heads: vec![ChangeHash([5; 32])],
            }])),
            ranges: vec![7, 9],
            blobs: Vec::new(),
            budget: 1 << 20,
            refused: Vec::new(),
        }
    }

    fn full_answer() -> SyncAnswer {
        let verdict = |n: u8, fate| Verdict { doc: id(1), hash: ChangeHash([n; 32]), fate };
        SyncAnswer {
            v: VERSION,
            clock: T0,
            verdicts: vec![
                verdict(1, Fate::Accepted),
                verdict(2, aside("frozen")),
                verdict(3, Fate::ActorReused),
                verdict(4, Fate::NeedDeps(vec![ChangeHash([9; 32])])),
                verdict(5, Fate::Later),
            ],
            docs: vec![Delivery {
                doc: id(2),
                kind: Kind::Customer,
                snapshot: vec![1, 2],
                changes: vec![vec![3].into()],
                sealed: Sealed { heads: vec![ChangeHash([6; 32])], seal: vec![7] },
            }],
            left: vec![id(3)],
            seen: vec![Seen { doc: id(4), heads: vec![ChangeHash([8; 32])], at: T0, by: staff(1) }],
            cursor: Cursor("v1.3.78".into()),
            mark: vec![4],
            more: true,
            remaining: 12,
            orders: vec![Order::NewActor, Order::Reconcile, Order::Wipe],
            lost: Vec::new(),
            reconcile: Some(ReconcileAnswer::Differ(vec![1, 2])),
            decided: Vec::new(),
        }
    }

    /// Reads back what it writes; pins the bytes.
    fn pin<T>(name: &str, message: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = cbor(message);
        assert_eq!(&minicbor_serde::from_slice::<T>(&bytes).unwrap(), message);
        insta::assert_snapshot!(format!("{name}_cbor"), hex(&bytes));
        insta::assert_json_snapshot!(format!("{name}_json"), message);
    }

    #[test]
    fn requests() {
        pin("request_full", &request());
        pin("request_quiet", &SyncRequest { v: VERSION, clock: T0, ..SyncRequest::default() });
        let ranges = Reconcile::Ranges(vec![Digest([1; 32]), Digest([0; 32])]);
        pin("request_ranges", &SyncRequest { v: VERSION, reconcile: Some(ranges), ..SyncRequest::default() });
        let hash = ChangeHash([4; 32]);
        let refused = [None, Some(ChangeHash([5; 32]))].map(|instead| Undecided { doc: id(1), hash, instead }).to_vec();
        pin("request_refused", &SyncRequest { v: VERSION, refused, ..SyncRequest::default() });
        pin("request_blobs", &SyncRequest { v: VERSION, blobs: vec![Sha256([3; 32])], ..SyncRequest::default() });
    }

    #[test]
    fn answers() {
        pin("answer_full", &full_answer());
        pin("answer_quiet", &answer(7));
        let want = vec![Held { doc: id(1), kind: Kind::Visit, heads: vec![ChangeHash([1; 32])] }];
        pin("answer_want", &SyncAnswer { reconcile: Some(ReconcileAnswer::Want(want)), ..answer(7) });
        pin("answer_lost", &SyncAnswer { lost: vec![Sha256([3; 32])], ..answer(7) });
        let decided = ["", "重复"].map(|reason| Decided {
            doc: id(1),
            hash: ChangeHash([4; 32]),
            verdict: "dismissed".into(),
            by: staff(1),
            at: T0,
            reason: reason.into(),
        });
        pin("answer_decided", &SyncAnswer { decided: decided.to_vec(), ..answer(7) });
        pin("answer_same", &SyncAnswer { reconcile: Some(ReconcileAnswer::Same), ..answer(7) });
    }

    #[test]
    fn enrolment_and_tokens() {
        insta::assert_json_snapshot!(EnrolRequest {
            code: "K7QF-2M9D".into(),
            public_key: vec![1, 2, 3],
            alg: "ed25519".into(),
            name: "张三的手机".into(),
            app: "onsite 0.1.0".into(),
        });
        insta::assert_json_snapshot!(enrolled(1));
        insta::assert_json_snapshot!(Challenge { nonce: "ab".into() });
        insta::assert_json_snapshot!(TokenRequest { device: device_id(1), nonce: "ab".into(), signature: "cd".into() });
        insta::assert_json_snapshot!(TokenAnswer { token: "ef".into(), expires: T0 });
        insta::assert_json_snapshot!(Problem { status: 401, code: "unauthorized".into(), ..Problem::default() });
        let old: EnrolAnswer = serde_json::from_str(
            r#"{"tenant":"00000000-0000-0000-0000-000000000001","company":"c","device":"00000000-0000-0000-0000-000000000002","device_code":"A1","staff":"00000000-0000-0000-0000-000000000003"}"#,
        )
        .unwrap();
        assert!(old.roles.is_empty(), "a server that names no roles is understood");
    }

    #[test]
    fn unknown_fields_of_a_newer_version_are_passed_over() {
        #[derive(serde::Serialize)]
        struct Newer {
            v: u32,
            clock: i64,
            weather: Vec<String>,
            cursor: String,
        }
        let newer = Newer { v: 1, clock: T0.0, weather: vec!["雨".into()], cursor: "v1.1.1".into() };
        let read: SyncAnswer = minicbor_serde::from_slice(&cbor(&newer)).unwrap();
        assert_eq!((read.clock, read.cursor), (T0, Cursor("v1.1.1".into())));
        let read: SyncRequest = minicbor_serde::from_slice(&cbor(&newer)).unwrap();
        assert_eq!(read.v, 1);
    }
}

/// The client against a server made by hand: what travels, byte by byte.
#[cfg(feature = "client")]
mod line {
    use super::*;
    use crate::sync::client::Client;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// A request as it came: its head and its body.
    type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    /// Answers `sync` (headers and body) to every message of a sync, and a token to whoever asks.
    fn serve(sync: (&'static str, Vec<u8>)) -> (String, Heard) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Heard::default();
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap().to_lowercase();
                let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let token = TokenAnswer { token: "t".into(), expires: T0.plus(900_000) };
                let (headers, answer) = match head.split(' ').nth(1).unwrap() {
                    "/v1/token/challenge" => ("", serde_json::to_vec(&Challenge { nonce: "n".into() }).unwrap()),
                    "/v1/token" => ("", serde_json::to_vec(&token).unwrap()),
                    _ => sync.clone(),
                };
                kept.lock().unwrap().push((head, body));
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                    answer.len()
                );
                // A client that has had enough hangs up.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer));
            }
        });
        (url, heard)
    }

    struct Phone(Device);

    impl AsMut<Device> for Phone {
        fn as_mut(&mut self) -> &mut Device {
            &mut self.0
        }
    }

    /// A phone with so many edits to send.
    async fn sync(url: &str, edits: u32) -> crate::Result<SyncReport> {
        let (mut device, _) = device(1);
        device.begin_enrolment().unwrap();
        device.finish_enrolment(url, &enrolled(1)).unwrap();
        for n in 0..edits {
            edit(&mut device, doc_ref(Kind::Visit, 1), note(&format!("更换密封圈 {n} ")));
        }
        let phone = Arc::new(Mutex::new(Phone(device)));
        Client::new(phone, "test").unwrap().sync_once().await
    }

    #[tokio::test]
    async fn large_messages_travel_compressed_both_ways_and_small_ones_as_they_are() {
        let packed = gzip(&cbor(&answer(1)));
        let (url, heard) = serve(("content-encoding: gzip\r\n", packed));
        // Every change is unknown to this server: the session gives up after a few messages, all of them understood.
        assert_eq!(sync(&url, 60).await.unwrap_err().code(), "no_progress");
        let messages: Vec<_> = heard.lock().unwrap().iter().filter(|(h, _)| h.contains("/v1/sync")).cloned().collect();
        let (head, body) = &messages[0];
        assert!(head.contains("content-encoding: gzip") && head.contains("accept-encoding: gzip"), "{head}");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(body.len() < plain.len());
        assert_eq!(minicbor_serde::from_slice::<SyncRequest>(&plain).unwrap().push.len(), 1);

        let (url, heard) = serve(("", cbor(&answer(1))));
        let _ = sync(&url, 1).await;
        assert!(heard.lock().unwrap().iter().all(|(h, _)| !h.contains("content-encoding")));
    }

    #[tokio::test]
    async fn a_bomb_of_an_answer_is_refused_at_the_cap() {
        let bomb = gzip(&vec![0; MAX_BODY + (1 << 20)]);
        assert!(bomb.len() < 100_000);
        let (url, _) = serve(("content-encoding: gzip\r\n", bomb));
        assert_eq!(sync(&url, 1).await.unwrap_err().code(), "bad_answer");
    }
}
