//! The printed forms, and the photos that documents name.

use super::World;
use onsite_core::domain::{Command, DeviceId, DocRef, ItemId, Kind, Role, Sha256};
use onsite_core::env::Env as _;
use std::io::Cursor;

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 120]));
    let mut out = Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb8(picture).write_to(&mut out, image::ImageFormat::Jpeg).unwrap();
    out.into_inner()
}

impl World {
    /// A blob in the store.
    async fn blob(&self, bytes: &[u8]) -> Sha256 {
        let (storage, now) = (self.app.ledger.storage(), self.env.now());
        let device = DeviceId(uuid::Uuid::nil());
        self.app.blobs.put(self.tenant, device, storage, bytes.to_vec(), now).await.unwrap()
    }
}

#[tokio::test]
async fn both_forms_are_printed_in_both_languages_and_nothing_runs_in_them() {
    let w = World::new().await;
    let job = w.job().await;
    let cookie = job.cookie.as_str();
    let blob = w.blob(&jpeg(800, 600)).await;
    let photo = Command::AddPhoto {
        doc: DocRef::new(Kind::Visit, job.visit),
        id: ItemId(w.env.new_id()),
        blob,
        size: 1,
        media_type: "image/jpeg".into(),
        caption: "旧密封<圈>".into(),
        check: None,
    };
    w.done(&job.technician, &[photo]).await;
    let get = async |path: String, more: (&'static str, &'static str)| {
        w.call("GET", &path, &[("cookie", cookie), more], "").await.good(200)
    };
    let none = ("x-none", "");
    let dispatch = format!("/api/work-orders/{}/dispatch/print", job.order);
    let page = get(dispatch.clone(), none).await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(
        text.contains("第一联:售后人员") && text.contains("第二联:销售部") && text.contains("class=\"qr\""),
        "{text}"
    );
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(!text.contains(" style=\"") && !text.contains("<script"), "a style or script that the policy refuses");
    assert_eq!(text.matches("<style").count(), 1);
    for asked in [("?lang=en", none), ("", ("accept-language", "fr, en-GB;q=0.8, zh;q=0.5"))] {
        let page = get(format!("{dispatch}{}", asked.0), asked.1).await;
        assert!(String::from_utf8_lossy(&page.body).contains("<html lang=\"en\">"), "{asked:?}");
    }
    // Without a session a browser is led to sign in and back; a program is told so.
    let browser = ("accept", "text/html,application/xhtml+xml;q=0.9");
    let led = w.call("GET", &format!("{dispatch}?lang=en"), &[browser], "").await.good(303);
    let to = format!("/login?next=%2Fapi%2Fwork-orders%2F{}%2Fdispatch%2Fprint%3Flang%3Den", job.order);
    assert_eq!(led.header("location"), to);
    w.call("GET", &dispatch, &[], "").await.problem(401, "unauthorized");
    w.call("GET", &format!("{dispatch}?lang=xx"), &[("cookie", cookie)], "").await.problem(400, "bad_lang");

    let page = get(format!("/api/visits/{}/print", job.visit), none).await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(text.contains("<polyline points=\"1,1 5,5\"/>"), "the signature as it was drawn");
    assert_eq!(text.matches("data:image/jpeg;base64,").count(), 1, "the photo that has come, not the one that has not");
    assert!(text.contains("旧密封&#60;圈&#62;") && !text.contains(" style=\""));

    // Only who is signed in, and only of their company.
    w.call("GET", &dispatch, &[], "").await.problem(401, "unauthorized");
    w.call("GET", &format!("/api/visits/{}/print", job.order), &[("cookie", cookie)], "")
        .await
        .problem(404, "not_found");
    let old = w.call("GET", &format!("/print/dispatch/{}?lang=en", job.order), &[], "").await.good(308);
    assert_eq!(old.header("location"), format!("{dispatch}?lang=en"));
    let old = w.call("GET", &format!("/print/visit/{}", job.visit), &[], "").await.good(308);
    assert_eq!(old.header("location"), format!("/api/visits/{}/print", job.visit));
}

#[tokio::test]
async fn photos_are_shown_to_who_may_see_their_document_and_hostile_files_are_only_saved() {
    let w = World::new().await;
    let job = w.job().await;
    let cookie = job.cookie.as_str();
    let files: [(&str, Vec<u8>); 4] = [
        ("photo", jpeg(1600, 1200)),
        ("html", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec()),
        ("cut", jpeg(900, 900)[..200].to_vec()),
    ];
    let mut named = Vec::new();
    for (caption, bytes) in &files {
        let blob = w.blob(bytes).await;
        let add = Command::AddPhoto {
            doc: DocRef::new(Kind::Visit, job.visit),
            id: ItemId(w.env.new_id()),
            blob,
            size: 1,
            media_type: "image/jpeg".into(),
            caption: (*caption).into(),
            check: None,
        };
        w.done(&job.technician, &[add]).await;
        named.push(blob);
    }
    let get = async |path: String, more: (&'static str, String)| {
        w.call("GET", &path, &[("cookie", cookie), (more.0, &more.1)], "").await
    };
    let none = || ("x-none", String::new());
    let of = |n: usize, thumb: &str| format!("/api/blobs/{}{thumb}?doc={}", named[n], job.visit);

    let whole = get(of(0, ""), none()).await.good(200);
    assert_eq!((whole.header("content-type"), &whole.body[..]), ("image/jpeg", &files[0].1[..]));
    assert!(whole.header("content-disposition").starts_with("inline; filename="));
    assert_eq!(
        (whole.header("x-content-type-options"), whole.header("content-security-policy")),
        ("nosniff", "default-src 'none'; sandbox")
    );
    get(of(0, ""), ("if-none-match", whole.header("etag").to_owned())).await.good(304);
    let part = get(of(0, ""), ("range", "bytes=0-9".into())).await.good(206);
    assert_eq!(&part.body[..], &files[0].1[..10]);
    let small = get(of(0, "/thumb"), none()).await.good(200);
    let seen = image::load_from_memory(&small.body).unwrap();
    assert_eq!((small.header("content-type"), seen.width(), seen.height()), ("image/jpeg", 360, 270));
    assert!(small.header("cache-control").contains("immutable"));
    get(of(0, "/thumb"), ("if-none-match", small.header("etag").to_owned())).await.good(304);
    let again = get(of(0, "/thumb"), none()).await.good(200);
    assert_eq!(again.body, small.body, "from the disk");

    for n in [1, 2] {
        let file = get(of(n, ""), none()).await.good(200);
        assert_eq!(file.header("content-type"), "application/octet-stream", "{}", files[n].0);
        assert!(file.header("content-disposition").starts_with("attachment; filename="));
        get(of(n, "/thumb"), none()).await.problem(415, "no_thumbnail");
    }
    get(of(3, "/thumb"), none()).await.problem(415, "no_thumbnail");

    // Only with a document that names it.
    get(format!("/api/blobs/{}?doc={}", named[0], job.order), none()).await.problem(404, "not_found");
    get(format!("/api/blobs/{}/thumb?doc={}", named[0], job.order), none()).await.problem(404, "not_found");
    get(format!("/api/blobs/{}", named[0]), none()).await.problem(400, "bad_query");
    get(format!("/api/blobs/{}?doc={}", Sha256([7; 32]), job.visit), none()).await.problem(404, "not_found");
    w.call("GET", &of(0, ""), &[], "").await.problem(401, "unauthorized");
    // Another company's office sees nothing of it.
    let other = w.app.ledger.create_tenant("别家").await.unwrap().id;
    let roles = [Role::Admin].into();
    let staff = crate::office::add_staff(&w.app.ledger, other, "别人", "", "", roles).await.unwrap();
    crate::auth::set_password(&w.app.ledger, other, staff, "bieren", "correct horse").await.unwrap();
    let theirs = w.cookie("bieren").await;
    w.call("GET", &of(0, ""), &[("cookie", &theirs)], "").await.problem(404, "not_found");
    w.call("GET", &of(0, "/thumb"), &[("cookie", &theirs)], "").await.problem(404, "not_found");
}
