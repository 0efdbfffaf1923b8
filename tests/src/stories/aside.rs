//! Refused edits: kept on both sides, decided by the office, told to the phone; nothing else waits for them.

use super::*;
use crate::world::{PASSWORD, Server};
use onsite_core::domain::summary::summary;
use onsite_core::domain::{Atomic, Entity, Mark, Note, Request, Role, Stamp, Visit, Write};
use onsite_core::engine::RefusedEdit;
use onsite_core::env::{Env as _, SystemEnv};
use onsite_core::messages::{Language, find, refusal, tf};
use onsite_core::store::outbox::Lane;
use onsite_core::store::{Store, View, chunks, meta, views};
use serde_json::{Value, json};
use std::path::Path;

/// Writes into a phone's file what no phone's rules let pass: a note in somebody else's name.
fn tamper(dir: &Path, visit: VisitId, name: StaffId, text: &str) {
    let mut store = Store::open(rusqlite::Connection::open(dir.join("device.sqlite")).unwrap()).unwrap();
    let (doc, now) = (DocRef::new(Kind::Visit, visit), SystemEnv.now());
    store
        .commit(|tx| {
            let me = meta::identity(tx)?.unwrap();
            let mut held = chunks::load_or_new(tx, doc)?;
            let Entity::Visit(mut content) = held.entity()? else { unreachable!() };
            let mark = Mark { at: Stamp::exact(now), by: name };
            content.notes.insert(item(), Atomic(Note { mark, text: text.into() }));
            let content = Entity::Visit(content);
            let writes = [Write::Put(doc.id, content.clone())];
            let change = held.write(meta::actor(tx)?, me.staff, now, &writes)?.unwrap();
            chunks::put_own(tx, doc, &change, &held.heads(), Lane::Work, now)?;
            // Its screens show it, as the commands that come after it see it.
            let view = View::new(tx);
            let row = summary(doc, &content, &view, now);
            view.finish()?;
            views::put(tx, &row, &content)
        })
        .unwrap();
}

fn refused(phone: &Phone) -> Vec<RefusedEdit> {
    phone.engine().refused().unwrap()
}

async fn list(office: &Office) -> Vec<Value> {
    office.get("/api/set-aside").await.unwrap()["rows"].as_array().unwrap().clone()
}

/// The office decides; status and the problem's code.
async fn decide(office: &Office, row: &Value, what: Value) -> (u16, String) {
    let path = format!("/api/set-aside/{}/{}", row["doc"]["id"].as_str().unwrap(), row["hash"].as_str().unwrap());
    let (status, body) = office.request("POST", &path, Some(what)).await.unwrap();
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

/// Said in plain words in both languages: why, and what was decided.
fn in_words(edit: &RefusedEdit) {
    for lang in Language::ALL {
        assert!(find(lang, &format!("reject.{}", edit.code)).is_some(), "{}", edit.code);
        let words = refusal(lang, &edit.code, &edit.field, &edit.detail);
        assert!(!words.is_empty() && !words.contains(&edit.code), "{words}");
        if let Some(said) = &edit.decision {
            let words = tf(lang, &format!("aside.{}", said.verdict), &[("who", &said.who), ("reason", &said.reason)]);
            assert!(words.contains(&said.who) && words.contains(&said.reason), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_phone_costs_nobody_an_honest_edit_and_the_office_may_take_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let OnSite { company, technician: li, customer, machine, order, phone } = OnSite::new(&server, dir.path()).await;
    let office = &company.office;
    phone.link.sever();
    let visit = arrive(&phone, order);
    note(&phone, visit, "之前");
    write(&phone, visit, "remarks", "甲");
    let (folder, link) = phone.close();
    tamper(&folder, visit, office.staff.unwrap(), "冒名");
    let phone = Phone::open(&folder, link).unwrap();
    note(&phone, visit, "之后");
    write(&phone, visit, "remarks", "甲乙");
    let report = RequestId(Uuid::now_v7());
    let beside = Command::ReportRepair {
        id: report,
        customer: Some(customer),
        customer_name: String::new(),
        contact_name: "张三".into(),
        contact_phone: "029-88886666".into(),
        address: "西安".into(),
        equipment: Some(machine),
        problem: "另有漏油".into(),
        reported: None,
    };
    phone.execute(&beside).unwrap();
    phone.link.heal();
    sync_through(&phone).await;

    // What is innocent is at the office, before, after and beside; under the same author.
    assert_eq!(notes_at(office, visit).await, ["之前", "之后"]);
    let there: Visit = office.entity(Kind::Visit, visit.0).await.unwrap();
    assert_eq!(&*there.remarks, "甲乙");
    assert!(there.notes.values().all(|n| n.mark.by == li));
    assert_eq!(&*office.entity::<Request>(Kind::Request, report.0).await.unwrap().problem, "另有漏油");
    assert_eq!(phone.visit(visit).unwrap(), there);
    let status = phone.engine().status().unwrap();
    assert!(status.safe_to_hand_in && status.refused == 1, "{status:?}");

    // The refused one is on both sides, and in words.
    let rows = list(office).await;
    assert_eq!(rows.len(), 1, "what was written again needs no decision: {rows:?}");
    let row = &rows[0];
    let device = phone.engine().identity().unwrap().unwrap().device;
    assert_eq!((row["code"].as_str(), row["field"].as_str()), (Some("forged_author"), Some("notes")));
    assert_eq!((&row["staff"], &row["device"]), (&json!(li), &json!(device)));
    assert!(row["bytes"].as_u64().unwrap() > 0 && row["because_of"].is_null());
    let edits = refused(&phone);
    assert_eq!(edits.len(), 1);
    assert_eq!(json!(edits[0].change), row["hash"]);
    assert!(edits[0].leaves.iter().any(|l| l.mine.to_string().contains("冒名") && l.stands.is_null()), "both versions");
    in_words(&edits[0]);
    let detail = phone.show(Kind::Visit, visit.0).unwrap();
    assert!(detail.explanations.iter().any(|e| e.key == "merge.refused"));

    // The office takes it in: once, and it comes back to the phone with the word about it.
    let accept = json!({ "decide": "accept", "reason": "本人口述" });
    assert_eq!(decide(office, row, accept.clone()).await, (204, String::new()));
    assert_eq!(decide(office, row, accept).await, (409, "already_decided".into()));
    let report = phone.sync().await.unwrap();
    assert!(report.skipped.is_empty() && !report.reconciled, "{report:?}");
    assert_eq!(notes_at(office, visit).await, ["之前", "之后", "冒名"]);
    let there: Visit = office.entity(Kind::Visit, visit.0).await.unwrap();
    assert_eq!((phone.visit(visit).unwrap(), &*there.remarks), (there.clone(), "甲乙"));
    let edit = refused(&phone).pop().unwrap();
    in_words(&edit);
    let said = edit.decision.unwrap();
    assert_eq!((said.verdict.as_str(), said.who.as_str(), said.reason.as_str()), ("accepted", "赵主任", "本人口述"));
    let detail = phone.show(Kind::Visit, visit.0).unwrap();
    assert!(detail.explanations.iter().any(|e| e.key == "aside.accepted"));
    // Sent again all the same, nothing is doubled.
    phone.engine().resend(edit.id).unwrap();
    phone.sync().await.unwrap();
    assert!(refused(&phone).is_empty());
    assert_eq!(notes_at(office, visit).await, ["之前", "之后", "冒名"]);
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_taken_away_meanwhile_and_what_the_office_decides() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("陕西环科").await.unwrap();
    let office = &company.office;
    let li = company.user("李工", "li", "technician,clerk").unwrap();
    company.user("钱主管", "qian", "clerk,service_manager").unwrap();
    let other = Office::login(&server, "qian", PASSWORD).await.unwrap();
    let (customer, machine) = customer(office, "西安纸托厂").await;
    let order = job(office, customer, machine, &[li]).await;
    let phone = company.phone(&dir.path().join("a"), li).await.unwrap();
    phone.sync().await.unwrap();
    phone.link.sever();
    let visit = arrive(&phone, order);
    let contact = |name: &str| Command::PutContact {
        customer,
        id: item(),
        contact: Contact { name: name.into(), phone: "029-1".into(), ..Contact::default() },
    };
    for name in ["李四", "王五", "赵六"] {
        phone.execute(&contact(name)).unwrap();
        note(&phone, visit, name);
    }
    // The phone cannot know: it may not write customers any more.
    let put = |roles: &[Role]| Command::PutStaff {
        id: li,
        name: "李工".into(),
        code: "T1".into(),
        phone: "13900001111".into(),
        roles: roles.iter().copied().collect(),
    };
    office.execute(&put(&[Role::Technician])).await.unwrap();
    phone.link.heal();
    sync_through(&phone).await;
    assert_eq!(notes_at(office, visit).await, ["李四", "王五", "赵六"], "nothing waits for what was refused");
    let contacts = async || {
        let there: onsite_core::domain::Customer = office.entity(Kind::Customer, customer.0).await.unwrap();
        let mut names: Vec<_> = there.contacts.values().map(|c| c.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(contacts().await, ["张三"]);
    let edits = refused(&phone);
    assert_eq!(edits.iter().map(|e| e.code.as_str()).collect::<Vec<_>>(), ["not_your_role"; 3]);
    edits.iter().for_each(in_words);
    let rows = list(office).await;
    let row = |edit: &RefusedEdit| rows.iter().find(|r| r["hash"] == json!(edit.change)).unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");

    // The first is done by the office instead, in one step with its decision: of two at once one has.
    let amend = |name: &str| json!({ "decide": "amend", "reason": "内勤代录", "command": contact(name) });
    let (a, b) =
        tokio::join!(decide(office, row(&edits[0]), amend("李四甲")), decide(&other, row(&edits[0]), amend("李四乙")));
    let (won, done, lost) = if a.0 == 204 { ("李四甲", a, b) } else { ("李四乙", b, a) };
    assert_eq!((done.0, lost), (204, (409, "already_decided".into())));
    // The second is left out.
    assert_eq!(decide(&other, row(&edits[1]), json!({ "decide": "dismiss", "reason": "重复" })).await.0, 204);
    phone.sync().await.unwrap();
    let told: Vec<_> = refused(&phone).iter().map(|e| e.decision.as_ref().map(|d| d.verdict.clone())).collect();
    assert_eq!(told, [Some("amended".into()), Some("dismissed".into()), None]);
    let now = contacts().await;
    assert!(now.len() == 2 && now.iter().any(|n| n == won), "{now:?}");
    for edit in refused(&phone).iter().filter(|e| e.decision.is_some()) {
        in_words(edit);
        phone.engine().dismiss(edit.id).unwrap();
    }
    // The third is sent again once the role is back: the office need not decide any more.
    office.execute(&put(&[Role::Technician, Role::Clerk])).await.unwrap();
    phone.sync().await.unwrap();
    phone.engine().resend(edits[2].id).unwrap();
    phone.sync().await.unwrap();
    assert!(refused(&phone).is_empty() && list(office).await.is_empty());
    assert!(contacts().await.contains(&"赵六".to_owned()));
    log_is_sound(&company);
}
