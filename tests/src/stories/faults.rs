//! What goes wrong: cut links, killed servers, copied phones, old backups, revoked devices.

use super::*;
use crate::link::{Cut, Link};
use crate::world::Server;

#[tokio::test(flavor = "multi_thread")]
async fn cut_at_every_message() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let mut written = Vec::new();
    let mut reached = true;
    let mut n = 0;
    while reached && n < 24 {
        reached = false;
        for how in [Cut::Before, Cut::Half] {
            let text = format!("第 {n} 次 {how:?}");
            note(&phone, visit, &text);
            written.push(text);
            let before = phone.link.cuts();
            phone.link.cut_at(n, how);
            let _ = phone.sync().await;
            reached |= phone.link.cuts() > before;
            phone.link.heal();
            sync_through(&phone).await;
            assert!(phone.engine().status().unwrap().safe_to_hand_in);
        }
        n += 1;
    }
    assert!(n >= 3, "cuts at {n} messages");
    written.sort();
    assert_eq!(notes_at(&company.office, visit).await, written, "nothing lost, nothing doubled");
    log_is_sound(&company);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_during_pushes() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let (phone, visit) = {
        let (_, phone, visit) = ready(&server, dir.path()).await;
        (phone, visit)
    };
    let mut written = Vec::new();
    for round in 0..6 {
        for i in 0..20 {
            // Not like any part of an id or a date.
            let text = format!("第{round}轮{i}条");
            note(&phone, visit, &text);
            written.push(text);
        }
        let client = phone.client.clone();
        let push = tokio::spawn(async move { client.sync_once().await });
        // Kill at another point of the push each time: after so many bytes have passed.
        let passed = phone.link.bytes();
        while phone.link.bytes() < passed + 400 * round && !push.is_finished() {
            tokio::task::yield_now().await;
        }
        server.kill();
        let _ = push.await;
        server.up().await.unwrap();
        sync_through(&phone).await;
    }
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
    let db = server.database().unwrap();
    let json: String =
        db.query_row("SELECT entity FROM view WHERE doc = ?1", [&visit.0.as_bytes()[..]], |row| row.get(0)).unwrap();
    for text in &written {
        assert_eq!(json.matches(text.as_str()).count(), 1, "{text} is there exactly once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn phone_restored_from_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    note(&phone, visit, "一");
    phone.sync().await.unwrap();
    let (old, link) = phone.close();
    let copy = dir.path().join("copy");
    copy_dir(&old, &copy);
    let phone = Phone::open(&old, link).unwrap();
    note(&phone, visit, "二");
    phone.sync().await.unwrap();
    // The copy does not know of 二, and writes with the same actor.
    let clone = Phone::open(&copy, Link::to(server.addr).unwrap()).unwrap();
    note(&clone, visit, "三");
    clone.sync().await.unwrap();
    clone.sync().await.unwrap();
    phone.sync().await.unwrap();
    note(&phone, visit, "四");
    phone.sync().await.unwrap();
    clone.sync().await.unwrap();
    phone.sync().await.unwrap();
    assert_eq!(notes_at(&company.office, visit).await, ["一", "三", "二", "四"]);
    assert_eq!(phone.visit(visit).unwrap(), clone.visit(visit).unwrap());
    assert!(clone.engine().status().unwrap().safe_to_hand_in);
    log_is_sound(&company);
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_restored_from_an_older_backup() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let (phone, other, visit, order) = {
        let company = server.company("陕西环科").await.unwrap();
        let (li, wang) =
            (company.technician("李工", "T1").await.unwrap(), company.technician("王工", "T2").await.unwrap());
        let (customer, machine) = customer(&company.office, "西安纸托厂").await;
        let order = job(&company.office, customer, machine, &[li, wang]).await;
        let phone = company.phone(&dir.path().join("a"), li).await.unwrap();
        let other = company.phone(&dir.path().join("b"), wang).await.unwrap();
        phone.sync().await.unwrap();
        other.sync().await.unwrap();
        let visit = arrive(&phone, order);
        note(&phone, visit, "备份前");
        phone.sync().await.unwrap();
        let backup = dir.path().join("backup");
        server.run(&["backup", backup.to_str().unwrap()], "").unwrap();
        // After the backup: a phone's edit and an office's command, both acknowledged and on the other phone.
        note(&phone, visit, "备份后");
        phone.sync().await.unwrap();
        company
            .office
            .execute(&Command::OverrideEntitlement {
                id: order,
                entitlement: onsite_core::domain::Entitlement::AnnualContract,
                reason: "新签合同".into(),
            })
            .await
            .unwrap();
        other.sync().await.unwrap();
        (phone, other, visit, order)
    };
    server.stop().unwrap();
    let backup = dir.path().join("backup");
    server.run(&["restore", backup.to_str().unwrap(), "--force"], "").unwrap();
    server.up().await.unwrap();
    // The phone that wrote them is lost; the other one gives back what the server forgot.
    drop(phone);
    sync_through(&other).await;
    sync_through(&other).await;
    let db = server.database().unwrap();
    let entity = |id: Uuid| -> String {
        db.query_row("SELECT entity FROM view WHERE doc = ?1", [&id.as_bytes()[..]], |row| row.get(0)).unwrap()
    };
    assert!(entity(visit.0).contains("备份后"), "the phone's edit is back");
    assert!(entity(order.0).contains("新签合同"), "the office's edit is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_gets_its_photos_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let backup = dir.path().join("backup");
    let (phone, photos) = {
        let (_, phone, visit) = ready(&server, dir.path()).await;
        let photo = |fill: u8| {
            let bytes = vec![fill; 50_000];
            let stored = phone.engine().add_blob(&bytes, "image/jpeg").unwrap();
            let add = Command::AddPhoto {
                doc: DocRef::new(Kind::Visit, visit),
                id: item(),
                blob: stored.blob,
                size: stored.size,
                media_type: "image/jpeg".into(),
                caption: format!("照片 {fill}"),
                check: None,
            };
            phone.execute(&add).unwrap();
            stored.blob
        };
        let mut photos = vec![photo(1), photo(2)];
        phone.sync().await.unwrap();
        server.run(&["backup", backup.to_str().unwrap()], "").unwrap();
        // One more after the backup; and of those in it, one the backup's folder turns out to lack.
        photos.push(photo(3));
        phone.sync().await.unwrap();
        assert!(phone.engine().status().unwrap().safe_to_hand_in);
        (phone, photos)
    };
    server.stop().unwrap();
    server.run(&["restore", backup.to_str().unwrap(), "--force"], "").unwrap();
    let name = photos[0].to_string();
    let mut removed = 0;
    for company in std::fs::read_dir(server.dir.join("blobs")).unwrap() {
        removed += usize::from(std::fs::remove_file(company.unwrap().path().join(&name[..2]).join(&name)).is_ok());
    }
    assert_eq!(removed, 1, "the photo was in the backup");
    server.up().await.unwrap();
    let mut uploaded = 0;
    for _ in 0..3 {
        uploaded += phone.sync().await.map_or(0, |r| r.uploaded);
    }
    assert_eq!(uploaded, 2, "the two it lacks, and not the one it has");
    let token = crate::stories::bad_input::Line::of(&server, &phone).await;
    for (n, photo) in (1..).zip(&photos) {
        let back = token.get(&format!("/v1/blobs/{photo}")).await;
        assert!(back.0 == 200 && back.1 == vec![n; 50_000], "photo {n}: {}", back.0);
    }
    // Once is enough.
    assert_eq!(phone.sync().await.unwrap().uploaded, 0);
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_device() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    note(&phone, visit, "撤销前");
    phone.sync().await.unwrap();
    let device = phone.engine().identity().unwrap().unwrap().device;
    note(&phone, visit, "撤销后");
    let (status, body) = company.office.request("POST", &format!("/api/devices/{device}/revoke"), None).await.unwrap();
    assert!(status < 300, "{status} {body}");
    let _ = phone.sync().await;
    assert_eq!(notes_at(&company.office, visit).await, ["撤销前"]);
    assert!(phone.show(Kind::Visit, visit.0).is_err(), "the phone was told to wipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_cut_midway() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (company, phone, visit) = ready(&server, dir.path()).await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let photo = phone.engine().add_blob(&bytes, "image/jpeg").unwrap();
    let add = Command::AddPhoto {
        doc: DocRef::new(Kind::Visit, visit),
        id: item(),
        blob: photo.blob,
        size: bytes.len() as i64,
        media_type: "image/jpeg".into(),
        caption: "铭牌".into(),
        check: None,
    };
    phone.execute(&add).unwrap();
    let start = phone.link.bytes();
    for cut in [1_000_000, 700_000, 600_000] {
        phone.link.cut_upload_after(cut);
        let _ = phone.sync().await;
    }
    phone.link.heal();
    assert!(!phone.engine().status().unwrap().safe_to_hand_in, "not safe before the photo is acknowledged");
    sync_through(&phone).await;
    assert!(phone.engine().status().unwrap().safe_to_hand_in);
    let sent = phone.link.bytes() - start;
    assert!(sent < 2 * bytes.len() as u64, "resumed, not begun anew: {sent} bytes for {}", bytes.len());
    let back = phone.client.fetch_blob(photo.blob).await.unwrap();
    assert!(back == bytes);
    let (status, _) = company.office.request("GET", &format!("/api/documents/{}", visit.0), None).await.unwrap();
    assert_eq!(status, 200);
}
