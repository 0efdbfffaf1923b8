//! The paper forms, as a browser prints them under the server's own policy.

use super::{arrive, customer, job, write};
use crate::world::{Office, Server};
use onsite_core::domain::{Command, Entity, Kind, Outcome, Satisfaction, Strokes, Visit, forms_content};
use std::path::Path;
use std::process::Command as Program;

/// A page with the policy it was sent with, which the browser then keeps.
async fn page(office: &Office, path: &str) -> String {
    let answer = office.answer(path).await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    // What frames it cannot be said in a page, only in a header.
    let policy = policy.split(';').filter(|p| !p.contains("frame-ancestors")).collect::<Vec<_>>().join(";");
    let text = answer.text().await.unwrap();
    let meta = format!("<head><meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">");
    text.replacen("<head>", &meta, 1)
}

/// Prints a page to PDF; answers the text of each of its pages.
fn print(dir: &Path, html: &str) -> Vec<String> {
    let (page, pdf) = (dir.join("page.html"), dir.join("page.pdf"));
    std::fs::write(&page, html).unwrap();
    let done = Program::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--no-pdf-header-footer", "--virtual-time-budget=10000"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("--print-to-pdf={}", pdf.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap_or_else(|e| panic!("chromium does not start (`cargo xtask test` installs it): {e}"));
    assert!(pdf.is_file(), "nothing was printed: {}", String::from_utf8_lossy(&done.stderr));
    let info = Program::new("pdfinfo").arg(&pdf).output().unwrap_or_else(|e| panic!("no pdfinfo (poppler-utils): {e}"));
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.contains("(A4)"), "not on A4: {info}");
    let text = Program::new("pdftotext").args(["-layout", "-enc", "UTF-8"]).arg(&pdf).arg("-").output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    std::fs::remove_file(&pdf).unwrap();
    text.trim_end_matches('\u{c}').split('\u{c}').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_forms_print_on_the_sheets_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("恒达机械").await.unwrap();
    let technician = company.technician("李卫东", "A7").await.unwrap();
    let phone = company.phone(&dir.path().join("phone"), technician).await.unwrap();
    let (customer, machine) = customer(&company.office, "三原华丰蛋托包装厂").await;
    let order = job(&company.office, customer, machine, &[technician]).await;
    phone.sync().await.unwrap();
    let visit = arrive(&phone, order);
    write(&phone, visit, "resolution", "更换密封圈");
    let done =
        Command::SetOutcome { visit, outcome: Outcome::Completed, incomplete_reason: None, remarks: String::new() };
    phone.execute(&done).unwrap();
    phone.execute(&Command::Accept { visit, accepted: true, remark: String::new() }).unwrap();
    let satisfaction = Satisfaction::VerySatisfied;
    phone.execute(&Command::Rate { visit, satisfaction, reasons: [].into(), comment: String::new() }).unwrap();
    let shown = phone.show(Kind::Visit, visit.0).unwrap();
    let Entity::Visit(content) = shown.entity.clone() else { panic!("no visit") };
    let sign = Command::Sign {
        visit,
        name: "吴厂长".into(),
        strokes: Strokes("100,80 180,60 260,90 200,200".into()),
        heads: shown.heads.clone(),
        content: forms_content::visit_content(&content),
    };
    phone.execute(&sign).unwrap();
    phone.sync().await.unwrap();
    let _: Visit = company.office.entity(Kind::Visit, visit.0).await.unwrap();

    let html = page(&company.office, &format!("/api/work-orders/{order}/dispatch/print")).await;
    let sheets = print(dir.path(), &html);
    assert_eq!(sheets.len(), 2, "a sheet for each copy: {sheets:#?}");
    assert!(sheets[0].contains("第一联") && !sheets[0].contains("第二联"), "{}", sheets[0]);
    assert!(sheets[1].contains("第二联") && sheets[1].contains("三原华丰蛋托包装厂"), "{}", sheets[1]);
    let html = page(&company.office, &format!("/api/work-orders/{order}/dispatch/print?lang=en")).await;
    let sheets = print(dir.path(), &html);
    assert_eq!(sheets.len(), 2, "{sheets:#?}");

    for lang in ["zh-CN", "en"] {
        let html = page(&company.office, &format!("/api/visits/{visit}/print?lang={lang}")).await;
        let sheets = print(dir.path(), &html);
        assert_eq!(sheets.len(), 1, "{lang}: {sheets:#?}");
        assert!(sheets[0].contains("更换密封圈") && sheets[0].contains("吴厂长"), "{}", sheets[0]);
    }
}
