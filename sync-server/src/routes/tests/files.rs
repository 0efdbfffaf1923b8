//! Files in and out: imports looked at and taken, lists as tables, technicians' calendars.

use super::World;
use calamine::{Data, Reader as _};
use onsite_core::domain::{CallOutcome, Command, FollowUpId, Role, SuggestionId, WorkOrderId, WorkType};
use onsite_core::env::Env as _;
use serde_json::{Value, json};

const CSV: &str = "客户编码,客户名称,联系人,电话,地址,产品型号,出厂编号,安装日期\r\n\
    K1,甲厂,吴厂长,029-55501842,三原县,ZM-4000,SN-1,2025-03-01\r\n\
    K1,,,,,ZM-6000,SN-2,\r\n\
    K2,乙厂,郑工,13900000000,礼泉县,,,\r\n";

fn plain(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    text.strip_prefix('\u{feff}').expect("a spreadsheet must know that it is UTF-8").to_owned()
}

#[tokio::test]
async fn a_file_is_looked_at_and_then_taken() {
    let w = World::new().await;
    w.office("clerk", &[Role::Clerk]).await;
    w.office("finance", &[Role::Finance]).await;
    let cookie = w.cookie("clerk").await;
    let send = async |path: &str, file: Vec<u8>| {
        w.call("POST", path, &[("cookie", cookie.as_str()), ("content-type", "application/octet-stream")], file).await
    };
    let preview = "/api/import/customers/preview?filename=a.csv";

    let bad = "客户编码,客户名称,电话\r\nK1,甲厂,abc\r\n,乙厂,1\r\n";
    let shown = send(preview, bad.into()).await.good(200).json();
    assert_eq!(shown["good"], false);
    let said: Vec<_> =
        shown["errors"].as_array().unwrap().iter().map(|e| (&e["line"], &e["column"], &e["code"])).collect();
    assert_eq!(said, [(&json!(2), &json!(3), &json!("bad_phone")), (&json!(3), &json!(1), &json!("empty"))]);
    assert_eq!(shown["errors"][0]["said"], json!({ "zh": "“abc”不是电话号码", "en": "“abc” is not a phone number" }));
    let taken = format!("/api/import/customers?filename=a.csv&sha256={}", shown["sha256"].as_str().unwrap());
    send(&taken, bad.into()).await.problem(400, "bad_lines");

    let shown = send(preview, CSV.into()).await.good(200).json();
    let as_said = json!({ "$ref": "#/components/schemas/ImportShown" });
    super::openapi::Strict::new().holds(&as_said, &shown, "preview");
    let counts = |v: &Value| [v["new"].as_u64(), v["changed"].as_u64(), v["unchanged"].as_u64()].map(Option::unwrap);
    assert_eq!((counts(&shown["customers"]), counts(&shown["equipment"])), ([2, 0, 0], [2, 0, 0]), "{shown}");
    assert_eq!(shown["lines"][1]["equipment"], "new");
    assert_eq!(w.get("/api/documents?kind=customer", &cookie).await["rows"], json!([]), "looked at, not taken");
    let taken = format!("/api/import/customers?filename=a.csv&sha256={}", shown["sha256"].as_str().unwrap());
    send(&taken, CSV.replace("K2", "K3").into()).await.problem(409, "other_file");
    let done = send(&taken, CSV.into()).await.good(200).json();
    assert_eq!(done["customers"]["new"], 2);
    assert_eq!(w.get("/api/documents?kind=customer", &cookie).await["rows"].as_array().unwrap().len(), 2);
    let again = send(&taken, CSV.into()).await.good(200).json();
    assert_eq!((counts(&again["customers"]), counts(&again["equipment"])), ([0, 0, 2], [0, 0, 2]), "{again}");
    assert_eq!(again["lines"], json!([]));
    let (gbk, _, _) = encoding_rs::GBK.encode(CSV);
    let gbk = send(preview, gbk.into_owned()).await.good(200).json();
    assert_eq!(counts(&gbk["customers"]), [0, 0, 2]);

    // Too large, and not for everybody.
    send(preview, vec![b'a'; crate::import::MAX_FILE + 1]).await.problem(413, "too_large");
    let other = w.cookie("finance").await;
    w.call("POST", preview, &[("cookie", other.as_str())], CSV).await.problem(403, "forbidden");
    w.call("POST", preview, &[], CSV).await.problem(401, "unauthorized");
    send("/api/import/customers?filename=a.csv", CSV.into()).await.problem(400, "bad_query");

    // The templates are what is taken.
    for (form, lang) in [("csv", "zh-CN"), ("xlsx", "zh-CN"), ("csv", "en"), ("xlsx", "en")] {
        let path = format!("/api/import/customers/template?form={form}&lang={lang}");
        let file = w.call("GET", &path, &[("cookie", cookie.as_str())], "").await.good(200);
        assert!(file.header("content-disposition").ends_with(&format!(".{form}\"")));
        let path = format!("/api/import/customers/preview?filename=a.{form}");
        let shown = send(&path, file.body.to_vec()).await.good(200).json();
        assert_eq!((&shown["good"], &shown["errors"]), (&json!(true), &json!([])), "{form} {lang}");
    }
}

#[tokio::test]
async fn every_list_is_a_table_in_both_forms_and_languages() {
    let w = World::new().await;
    let job = w.job().await;
    let cookie = job.cookie.as_str();
    w.phone(3).await;
    let formula = Command::Suggest {
        id: SuggestionId(w.env.new_id()),
        title: "=HYPERLINK(\"http://x\")".into(),
        text: "+1".into(),
        work_order: None,
    };
    w.done(&job.technician, &[formula]).await;
    let mut heads = Vec::new();
    for list in crate::office::export::List::ALL {
        for lang in ["zh-CN", "en"] {
            let path = format!("/api/export/{}?lang={lang}", list.word());
            let file = w.call("GET", &path, &[("cookie", cookie)], "").await.good(200);
            assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
            assert!(file.header("content-disposition").contains(&format!("onsite-{}-2025-11-2", list.word())));
            let text = plain(&file.body);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
            let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.unwrap()).collect();
            assert!(head.iter().all(|h| !h.is_empty() && !h.contains('.')), "{head:?}");
            let empty = ["contracts", "calls"].contains(&list.word());
            assert_eq!(rows.is_empty(), empty, "{} {lang}", list.word());

            let path = format!("{path}&form=xlsx");
            let file = w.call("GET", &path, &[("cookie", cookie)], "").await.good(200);
            let mut book = calamine::Xlsx::new(std::io::Cursor::new(file.body.to_vec())).unwrap();
            let sheet = book.worksheet_range_at(0).unwrap().unwrap();
            let first: Vec<String> = sheet.rows().next().unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(first, head, "{}", list.word());
            assert_eq!(sheet.rows().count(), rows.len() + 1 + usize::from(list.word() == "audit"), "{}", list.word());
            heads.push(format!("{} {lang}: {}", list.word(), head.join(" | ")));
        }
    }
    insta::assert_snapshot!("export_headings", heads.join("\n"));

    let text = async |path: &str| plain(&w.call("GET", path, &[("cookie", cookie)], "").await.good(200).body);
    let orders = text("/api/export/work-orders?lang=zh-CN").await;
    for part in ["宏远纸塑", "李卫东", "维修", "12500.00", "900.00", "保内客户", "ZM-3000", "2025-11-24 08:"]
    {
        assert!(orders.contains(part), "{part} in {orders}");
    }
    let visits = text("/api/export/visits?lang=en").await;
    assert!(visits.contains("更换密封圈") && visits.contains("2500.00"), "{visits}");
    let suggestions = text("/api/export/suggestions?lang=en").await;
    assert!(suggestions.contains("\"'=HYPERLINK(\"\"http://x\"\")\"") && suggestions.contains("'+1"), "{suggestions}");
    assert_eq!(text("/api/export/work-orders?search=nobody&lang=en").await.lines().count(), 1, "conditions hold");
    assert_eq!(text("/api/export/equipment?lang=zh-CN").await.matches("WB0001").count(), 1);

    w.call("GET", "/api/export/nonsense", &[("cookie", cookie)], "").await.problem(404, "not_found");
    w.call("GET", "/api/export/visits?form=pdf", &[("cookie", cookie)], "").await.problem(400, "bad_query");
    w.call("GET", "/api/export/visits", &[], "").await.problem(401, "unauthorized");
    w.office("clerk", &[Role::Clerk]).await;
    let clerk = w.cookie("clerk").await;
    w.call("GET", "/api/export/audit", &[("cookie", &clerk)], "").await.problem(403, "forbidden");
    // Who took what is in the chain.
    let entries = w.app.ledger.storage().audit_log(w.tenant, 0, 1000).await.unwrap();
    assert!(entries.iter().filter(|e| e.entry.contains("\"export\"")).count() > 50);
}

#[tokio::test]
async fn what_narrows_a_list_narrows_its_file() {
    let w = World::new().await;
    let job = w.job().await;
    let call = |outcome, opinion: &str| Command::RecordCall {
        id: FollowUpId(w.env.new_id()),
        customer: job.customer,
        due: None,
        outcome,
        opinion: opinion.into(),
        request: None,
    };
    let calls =
        [call(CallOutcome::Normal, "备件要常备"), call(CallOutcome::Normal, ""), call(CallOutcome::Unreachable, "")];
    w.done(&job.boss, &calls).await;
    let cancelled = WorkOrderId(w.env.new_id());
    let open = job.opens(cancelled, WorkType::Repair, "保养", None);
    let assign = Command::Assign { id: cancelled, technicians: vec![job.technician.staff], reason: String::new() };
    w.done(&job.boss, &[open, assign]).await;
    w.done(&job.technician, &[Command::OpenVisit { work_order: cancelled }]).await;
    w.done(&job.boss, &[Command::CancelWorkOrder { id: cancelled, reason: "不做了".into() }]).await;
    let gone = w.staff(w.tenant, "孙离", &[Role::Technician]).await;
    w.done(&job.boss, &[Command::StaffLeaves { id: gone, reason: "离职".into() }]).await;
    w.phone(3).await;
    let rows = async |query: &str| {
        let path = format!("/api/export/{query}");
        let file = w.call("GET", &path, &[("cookie", &job.cookie)], "").await.good(200);
        plain(&file.body).lines().count() - 1
    };
    for (query, count) in [
        ("calls", 3),
        ("calls?status=normal", 2),
        ("calls?status=unreachable", 1),
        ("calls?flagged=true", 1),
        ("calls?search=%E5%A4%87%E4%BB%B6", 1),
        ("calls?status=unreachable&flagged=true", 0),
        ("work-orders", 2),
        ("work-orders?unfinished=true", 1),
        ("visits", 2),
        ("visits?unfinished=true", 1),
        ("staff?status=left", 1),
        ("devices?status=use", 1),
        ("devices?status=unsent", 0),
        ("devices?status=revoked", 0),
        ("devices?status=nonsense", 0),
    ] {
        assert_eq!(rows(query).await, count, "{query}");
    }
    let staff = rows("staff").await;
    assert_eq!(rows("staff?status=active").await, staff - 1);
    // As the page divides them, and of one quarter.
    let mut parts = 0;
    for part in ["waiting", "unknown", "not_met", "decided"] {
        parts += rows(&format!("proposals?status={part}")).await;
    }
    let all = w.get("/api/proposals", &job.cookie).await["rows"].as_array().unwrap().len();
    assert_eq!((rows("proposals").await, parts), (all, all));
    let quarter = w.get("/api/proposals?quarter=2025Q3", &job.cookie).await["rows"].as_array().unwrap().len();
    assert_eq!(rows("proposals?quarter=2025Q3").await, quarter);
    assert!(quarter < all);
    let bad = w.call("GET", "/api/export/proposals?quarter=2025", &[("cookie", &job.cookie)], "").await;
    bad.problem(400, "bad_quarter");
}

#[tokio::test]
async fn a_long_list_is_exported_page_by_page() {
    let w = World::new().await;
    w.office("clerk", &[Role::Clerk]).await;
    let cookie = w.cookie("clerk").await;
    let many: String = (0..1203).map(|n| format!("N{n:05},客户{n}\n")).collect();
    let many = format!("客户编码,客户名称\n{many}");
    let author = onsite_core::domain::Author {
        staff: w.office("other", &[Role::Clerk]).await,
        roles: [Role::Clerk].into(),
        device_code: None,
    };
    crate::import::run(&w.app.ledger, w.tenant, &author, many.as_bytes(), "a.csv", false).await.unwrap();
    let file = w.call("GET", "/api/export/customers", &[("cookie", &cookie)], "").await.good(200);
    let text = plain(&file.body);
    assert_eq!(text.lines().count(), 1204);
    let found: std::collections::BTreeSet<&str> = text.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(found.len(), 1203, "each once");
    let file = w.call("GET", "/api/export/customers?form=xlsx", &[("cookie", &cookie)], "").await.good(200);
    let mut book = calamine::Xlsx::new(std::io::Cursor::new(file.body.to_vec())).unwrap();
    let sheet = book.worksheet_range_at(0).unwrap().unwrap();
    assert_eq!(sheet.rows().count(), 1204);
    assert!(matches!(sheet.get_value((1203, 0)), Some(Data::String(_))));
}

#[tokio::test]
async fn a_calendar_is_read_by_who_has_its_address_until_it_ends() {
    let w = World::new().await;
    let job = w.job().await;
    let (cookie, li) = (job.cookie.as_str(), job.technician.staff);
    let issue = async || {
        let made = w.post("/api/calendar-feeds", &[("cookie", cookie)], json!({ "staff": li })).await.good(200).json();
        let url = made["url"].as_str().unwrap().to_owned();
        url.split_once("8080").unwrap().1.to_owned()
    };
    let at = issue().await;
    assert!(at.starts_with("/feeds/") && at.ends_with(".ics") && at.len() > 30, "{at}");
    let answer = w.call("GET", &at, &[("accept-language", "en")], "").await.good(200);
    assert_eq!(answer.header("content-type"), "text/calendar; charset=utf-8");
    let text = String::from_utf8_lossy(&answer.body).replace("\r\n ", "");
    let number = w.get(&format!("/api/documents/{}", job.order), cookie).await["summary"]["number"].clone();
    for part in [
        "BEGIN:VCALENDAR",
        "X-WR-CALNAME:李卫东: on-site service",
        &format!("SUMMARY:{} 宏远纸塑", number.as_str().unwrap()),
        "LOCATION:陕西省三原县工业园",
        &format!("UID:{}-{li}@onsite", job.order),
        "DTSTART:20251124T",
        "DTEND:20251124T",
        "DTSTAMP:20251124T",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 1);
    let etag = answer.header("etag").to_owned();
    w.env.advance(60_000);
    let same = [("if-none-match", etag.as_str()), ("accept-language", "en")];
    w.call("GET", &at, &same, "").await.good(304);
    // Neither the secret nor its like is kept.
    let secret = at.trim_start_matches("/feeds/").trim_end_matches(".ics").to_owned();
    let bytes = std::fs::read(w.app.config.database_path()).unwrap();
    let wal = std::fs::read(format!("{}-wal", w.app.config.database_path().display())).unwrap_or_default();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    assert!(!holds(&bytes) && !holds(&wal));

    let listed = w.get("/api/calendar-feeds", cookie).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["staff"]), (1, &json!(li)));
    let fresh = issue().await;
    w.call("GET", &at, &[], "").await.problem(404, "not_found");
    w.call("GET", &fresh, &[], "").await.good(200);
    w.call("DELETE", &format!("/api/calendar-feeds/{li}"), &[("cookie", cookie)], "").await.good(204);
    w.call("GET", &fresh, &[], "").await.problem(404, "not_found");
    w.call("DELETE", &format!("/api/calendar-feeds/{li}"), &[("cookie", cookie)], "").await.problem(404, "not_found");
    assert_eq!(w.get("/api/calendar-feeds", cookie).await, json!([]));
    // One who leaves takes nothing along.
    let last = issue().await;
    w.done(&job.boss, &[Command::StaffLeaves { id: li, reason: "离职".into() }]).await;
    w.call("GET", &last, &[], "").await.problem(404, "not_found");
    w.post("/api/calendar-feeds", &[("cookie", cookie)], json!({ "staff": li })).await.problem(404, "not_found");
    w.office("clerk", &[Role::Clerk]).await;
    let clerk = w.cookie("clerk").await;
    w.call("GET", "/api/calendar-feeds", &[("cookie", &clerk)], "").await.problem(403, "forbidden");
}
