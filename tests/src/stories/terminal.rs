//! The command `onsite` as a person uses it: every line it prints, every way it ends.

use super::*;
use crate::world::{PASSWORD, Server, uuid_in};
use onsite_core::domain::Satisfaction;
use onsite_core::domain::command::DispatchPatch;
use onsite_core::domain::entity::SignoffRole;
use onsite_core::domain::value::Fen;
use onsite_core::env::Env as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

/// How a command ended and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn said(process: &mut Process, input: &str) -> Said {
    use std::io::Write as _;
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    Said {
        code: out.status.code().unwrap_or(-1),
        out: String::from_utf8(out.stdout).unwrap(),
        err: String::from_utf8(out.stderr).unwrap(),
    }
}

/// A terminal client on a folder of its own.
struct Terminal {
    data: PathBuf,
    lang: &'static str,
}

impl Terminal {
    fn command(&self, args: &[&str]) -> Process {
        let mut command = Process::new(crate::world::onsite());
        command.arg("device").args(args);
        command.env("ONSITE_DEVICE", &self.data).env("ONSITE_LANG", self.lang).env("ONSITE_PASSPHRASE", PASSWORD);
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args), "")
    }

    /// Runs what must succeed; no id, path or bare value of a machine may show.
    fn good(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{args:?}: {said:?}");
        assert!(uuid_in(&said.out).is_none(), "{args:?} shows an id:\n{}", said.out);
        for machine in ["{", "mark", "_at", "_given", "events/", "notes/", "null", "true", "false"] {
            assert!(!said.out.contains(machine), "{args:?} shows {machine:?}:\n{}", said.out);
        }
        said.out
    }

    /// Runs what must fail: one line on standard error with the stable code.
    fn bad(&self, args: &[&str], code: &str) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{args:?}: {}", said.err);
        assert!(said.err.trim_end().ends_with(&format!("[{code}]")), "{args:?}: {}", said.err);
        said.err
    }
}

fn all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

/// The code that `device-code` printed.
fn code_in(printed: &str) -> &str {
    printed.lines().find_map(|l| l.strip_prefix("code ")).unwrap().trim()
}

/// A fully signed job with a part, an advance and a balance.
async fn signed_job(office: &Office, technicians: &[StaffId], name: &str) -> WorkOrderId {
    let (customer, machine) = customer(office, name).await;
    let order = job(office, customer, machine, technicians).await;
    let patch = DispatchPatch {
        cash_advance: Some(Fen(50_000)),
        balance_to_collect: Some(Fen(300_050)),
        planned_start: Some(onsite_core::env::SystemEnv.now()),
        ..DispatchPatch::default()
    };
    office.execute(&Command::PlanDispatch { id: order, patch }).await.unwrap();
    let require = Command::RequireItem {
        id: order,
        item: item(),
        part_no: "MF-032".into(),
        name: "密封圈".into(),
        unit: "个".into(),
        required: 4,
        removed: false,
    };
    office.execute(&require).await.unwrap();
    for role in SignoffRole::ALL {
        let content = onsite_core::domain::forms_content::dispatch_content(&office.work_order(order).await.unwrap());
        office.execute(&Command::SignOff { id: order, role: *role, content }).await.unwrap();
    }
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_in_the_readme_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, walk) = readme.split_once("## A technician's offline day").unwrap();
    let walk = walk.split("\n## ").next().unwrap();
    let shell: String = walk.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let lines = shell.replace("\\\n", " ");
    let bin = crate::world::onsite();
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let (mut code, mut done, mut printed) = (String::new(), 0, String::new());
    for line in lines.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        // The program is built and the server runs already, on an address of its own.
        if line.starts_with("cargo build") || line.starts_with("onsite serve") {
            continue;
        }
        let line = line.replace("http://127.0.0.1:8080", &server.url("")).replace(" CODE", &format!(" {code}"));
        let mut shell = Process::new("sh");
        let set = server.command();
        shell.args(["-c", &line]).env("PATH", &path).current_dir(dir.path());
        shell.envs(set.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let said = said(&mut shell, "");
        assert_eq!(said.code, 0, "{line}\n{said:?}");
        assert_eq!(said.err, "", "{line}");
        if line.contains("device-code") {
            code = code_in(&said.out).to_owned();
        }
        printed.push_str(&said.out);
        done += 1;
    }
    assert!(done >= 12, "only {done} lines were run");
    all(&printed, &["已绑定", "已保存在本机", "不可交回本机", "已同步", "可以交回本机"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_day_in_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("某某机械").await.unwrap();
    let (li, wang) = (company.technician("李工", "T1").await.unwrap(), company.technician("王工", "T2").await.unwrap());
    let office = company.office;
    let order = signed_job(&office, &[li, wang], "三原蛋托厂").await;
    let number = office.work_order(order).await.unwrap().number.unwrap();
    let url = server.url("");
    let phone = |name: &str, lang| Terminal { data: dir.path().join(name), lang };
    let (one, two) = (phone("one", "zh-CN"), phone("two", "en"));

    one.bad(&["today"], "not_enrolled");
    one.bad(&["enrol", &url, "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"], "wrong_code");
    let printed = server.run(&["device-code", "--company", "某某机械", "--staff", "李工"], "").unwrap();
    all(&one.good(&["enrol", &url, code_in(&printed)]), &["已绑定:某某机械,李工"]);
    let again = phone("three", "en").bad(&["enrol", &url, code_in(&printed)], "wrong_code");
    assert!(again.contains("was used"), "{again}");
    let printed = server.run(&["device-code", "--company", "某某机械", "--staff", "T2"], "").unwrap();
    all(&two.good(&["enrol", &url, code_in(&printed)]), &["enrolled at 某某机械 for 王工"]);
    all(&one.good(&["ready"]), &["可以出发"]);

    // From here on there is no server: everything works.
    server.stop().unwrap();
    one.bad(&["sync"], "offline");
    all(&one.good(&["today"]), &[&number, "三原蛋托厂", "已派工"]);
    let shown = one.good(&["show", "1"]);
    all(
        &shown,
        &[
            "派工单",
            &number,
            "李工 (负责)、王工",
            "¥ 500.00",
            "¥ 3000.50",
            "4 小时",
            "财务签字  赵主任 20",
            "密封圈  MF-032  需 4",
        ],
    );
    for step in ["acknowledge", "travel", "arrive", "start"] {
        all(&one.good(&[step, "1"]), &["已保存在本机"]);
    }
    for check in ["model", "quantity", "label"] {
        one.good(&["inspect", "1", check, "passed"]);
    }
    one.good(&["inspect", "1", "packaging", "failed", "外箱破损"]);
    all(&one.bad(&["inspect", "1", "colour", "passed"], "unknown_check"), &["检查表中没有这一项"]);
    one.good(&["note", "1", "油温偏高"]);
    one.good(&["contact", "1", "phone", "吴厂长", "约定下午试机"]);
    one.good(&["part", "1", "MF-032", "3"]);
    one.good(&["part", "1", "密封圈", "-1"]);
    let photo = dir.path().join("photo.png");
    std::fs::write(&photo, b"\x89PNG\r\n\x1a\n and pixels").unwrap();
    one.good(&["photo", "1", &photo.to_string_lossy(), "旧密封圈", "--check", "model"]);
    std::fs::write(&photo, b"<svg>").unwrap();
    one.bad(&["photo", "1", &photo.to_string_lossy()], "invalid");
    all(&one.bad(&["photo", "1", "nowhere.png"], "file"), &["nowhere.png"]);
    one.good(&["text", "1", "diagnosis", "密封圈老化"]);
    assert_eq!(said(&mut one.command(&["text", "1", "resolution", "-"]), "更换密封圈\n试机两小时\n").code, 0);
    all(&one.bad(&["sign", "1", "吴厂长"], "no_outcome"), &["尚未填写处理结果"]);
    one.good(&["end", "1"]);
    one.good(&["result", "1", "completed"]);
    one.good(&["accept", "1"]);
    all(&one.bad(&["rate", "1", "dissatisfied"], "empty"), &["不满意的原因"]);
    one.good(&["rate", "1", "dissatisfied", "--reason", "speed", "来得太慢"]);
    all(&one.good(&["sign", "1", "吴厂长"]), &["请在签名验收时"]);
    one.good(&["receipt", "1", "3000.50", "--method", "qr", "SJ-001"]);
    all(&one.bad(&["receipt", "1", "3000元"], "invalid"), &["3000元"]);
    all(&one.bad(&["receipt", "1", "-9000"], "negative_total"), &["冲减"]);
    one.good(&["expense", "1", "35.5", "travel", "车费"]);
    one.good(&["depart", "1"]);
    assert_eq!(one.run(&["result", "1", "perhaps"]).code, 2);

    // The second phone, in English, does not agree.
    two.good(&["today"]);
    two.good(&["arrive", "1"]);
    two.good(&["accept", "1", "--no", "要求再试机"]);
    all(&two.good(&["status"]), &["not safe to hand in", "unsent edits"]);
    all(&two.bad(&["sign-out"], "unsent_work"), &["only on this phone"]);

    let rescue = dir.path().join("one.rescue");
    all(&one.good(&["rescue", "export", &rescue.to_string_lossy()]), &["救援文件已写入"]);
    let mut wrong = one.command(&["rescue", "import", &rescue.to_string_lossy()]);
    let wrong = said(wrong.env("ONSITE_PASSPHRASE", "another"), "");
    assert!(wrong.code == 1 && wrong.err.trim_end().ends_with("[rescue_unreadable]"), "{wrong:?}");

    server.up().await.unwrap();
    all(&one.good(&["sync"]), &["照片 1"]);
    two.good(&["sync"]);
    one.good(&["sync"]);
    all(&one.good(&["status"]), &["可以交回本机", "有冲突的单据             1"]);
    let clashes = one.good(&["clashes"]);
    all(&clashes, &["验收", "已确认正常", "未予验收 要求再试机", "李工", "王工"]);
    let shown = one.good(&["show", "1"]);
    all(
        &shown,
        &["⚠ 验收", "两者都保留", "收款", "¥ 3000.50  扫码  SJ-001", "¥ 35.50  交通", "密封圈  MF-032  用 2 个"],
    );
    all(&shown, &["更换密封圈", "试机两小时", "外箱破损", "不满意  速度"]);
    assert!(shown.contains("王工在 20") && shown.contains("李工在 20"), "who and when:\n{shown}");
    all(&two.good(&["show", &number]), &["Work order", "¥ 3000.50"]);
    one.good(&["choose", "1", "1", "1"]);
    one.good(&["sync"]);
    all(&one.good(&["clashes"]), &["没有"]);
    all(&one.good(&["history", &number]), &["派遣单签字 · 财务签字"]);
    all(&one.good(&["list", "visit"]), &["三原蛋托厂", "服务器已接受"]);
    all(&one.good(&["search", "托"]), &[&number]);
    all(&one.bad(&["show", "7"], "not_found"), &["没有第 7 行"]);

    let forms = dir.path().join("forms");
    let written = one.good(&["print", &number, "--to", &forms.to_string_lossy()]);
    assert_eq!(written.lines().count(), 2, "{written}");
    for file in written.lines() {
        let html = std::fs::read_to_string(file).unwrap();
        all(&html, &["三原蛋托厂", "<svg"]);
        if file.contains("dispatch") {
            all(&html, &["第一联", "第二联", "售后人员派遣单", &number, "3000.50"]);
        } else {
            all(&html, &["售后服务现场安装(维修)记录", "☑ 已完成服务", "☑ 速度"]);
        }
    }
    let visit: onsite_core::domain::Visit = office.entity(Kind::Visit, VisitId::of_dispatch(order, 1).0).await.unwrap();
    assert_eq!((visit.satisfaction, visit.photos.len()), (Some(Satisfaction::Dissatisfied), 1));

    all(&two.good(&["sync"]), &["synced"]);
    all(&two.good(&["sign-out"]), &["signed out"]);
    two.bad(&["today"], "not_enrolled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_watches_says_what_changes() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("某某机械").await.unwrap();
    let li = company.technician("李工", "T1").await.unwrap();
    let phone = Terminal { data: dir.path().join("phone"), lang: "zh-CN" };
    phone.good(&["enrol", &server.url(""), &company.device_code(li).await.unwrap()]);
    let mut watching = phone.command(&["watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let (line, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let out = std::io::BufReader::new(watching.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for text in out.lines() {
            if line.send(text.unwrap()).is_err() {
                break;
            }
        }
    });
    let until = async |lines: &mut tokio::sync::mpsc::UnboundedReceiver<String>, word: &str| {
        let found = async { while !lines.recv().await.unwrap().contains(word) {} };
        tokio::time::timeout(std::time::Duration::from_secs(60), found).await.unwrap();
    };
    until(&mut lines, "保持同步").await;
    let order = signed_job(&company.office, &[li], "三原蛋托厂").await;
    let number = company.office.work_order(order).await.unwrap().number.unwrap();
    until(&mut lines, &format!("派工单 {number} 三原蛋托厂")).await;
    watching.kill().unwrap();
    watching.wait().unwrap();
    reader.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    server.company("某某机械").await.unwrap();
    let phone = Terminal { data: dir.path().join("phone"), lang: "en" };
    let mut commands = vec![phone.command(&["status"]), phone.command(&["list", "--json"]), phone.command(&["--help"])];
    for args in [["company", "list"].as_slice(), &["audit", "list", "--company", "某某机械"], &["check-config"]] {
        let mut command = server.command();
        command.args(args);
        commands.push(command);
    }
    for mut command in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(out.status.success(), "{command:?}: {}", out.status);
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{command:?}");
    }
}

const CSV: &str = "客户编码,客户名称,联系人,电话,地址,产品型号,出厂编号,安装日期\n\
    C001,三原华丰蛋托厂,吴厂长,029-55501842,三原县清河路8号,ZM-4000,SN-001,2025-03-01\n\
    C001,,,,,ZM-6000,SN-002,2025/6/1\n\
    C002,礼泉果托公司,郑工,13900000000,礼泉县,,,\n";

fn workbook() -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (row, line) in (0u32..).zip(CSV.lines()) {
        for (column, cell) in (0u16..).zip(line.split(',')) {
            sheet.write(row, column, cell).unwrap();
        }
    }
    book.save_to_buffer().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn import_takes_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let (gbk, _, bad) = encoding_rs::GBK.encode(CSV);
    assert!(!bad);
    // The same content in each form, each for a company of its own.
    for (company, file, bytes) in [
        ("甲", "customers.csv", CSV.as_bytes().to_vec()),
        ("乙", "gbk.csv", gbk.into_owned()),
        ("丙", "customers.xlsx", workbook()),
    ] {
        let company = server.company(company).await.unwrap();
        let file = dir.path().join(file);
        std::fs::write(&file, bytes).unwrap();
        let import = |extra: &[&str]| {
            let mut command = server.command();
            command.args(["import", "--company", &company.name]).arg(&file).args(extra);
            said(&mut command, "")
        };
        let found = async |word: &str| {
            let found = company.office.get(&format!("/api/documents?search={word}")).await.unwrap();
            !found["rows"].as_array().unwrap().is_empty()
        };
        let checked = import(&["--dry-run"]);
        assert_eq!(checked.code, 0, "{checked:?}");
        all(&checked.out, &["customers: 2 new, 0 changed; equipment: 2 new, 0 changed (only checked)"]);
        assert!(!found("SN-002").await, "nothing was written");
        let first = import(&[]);
        assert_eq!((first.code, first.err.as_str()), (0, ""), "{first:?}");
        all(&first.out, &["customers: 2 new, 0 changed; equipment: 2 new, 0 changed\n"]);
        assert!(found("SN-002").await);
        let again = import(&[]);
        all(&again.out, &["customers: 0 new, 0 changed; equipment: 0 new, 0 changed\n"]);
    }

    let company = server.company("丁").await.unwrap();
    let file = dir.path().join("bad.csv");
    let text = CSV.replace("2025/6/1", "2025-02-30").replace("13900000000", "没有电话") + "C003,武功纸塑厂,,,,ZM-1,,\n";
    std::fs::write(&file, text).unwrap();
    let mut command = server.command();
    let bad = said(command.args(["import", "--company", "丁"]).arg(&file), "");
    assert_eq!((bad.code, bad.out.as_str()), (1, ""));
    let lines: Vec<&str> = bad.err.lines().collect();
    assert_eq!(lines.len(), 4, "{}", bad.err);
    all(lines[0], &["bad.csv", "第 3 行第 8 列", "line 3, column 8", "安装日期", "2025-02-30", "[bad_date]"]);
    all(lines[1], &["line 4, column 4", "[bad_phone]"]);
    all(lines[2], &["line 5, column 7", "[empty]"]);
    all(lines[3], &["nothing was imported", "[bad_lines]"]);
    let found = company.office.get("/api/documents?kind=customer").await.unwrap();
    assert_eq!(found["rows"].as_array().unwrap().len(), 0, "the good lines stayed out too: {found}");

    let mut command = server.command();
    let missing = said(command.args(["import", "--company", "丁", "nowhere.csv"]), "");
    assert_eq!(missing.code, 1);
    all(&missing.err, &["nowhere.csv", "[file]"]);
    let mut command = server.command();
    let unknown = said(command.args(["import", "--company", "戊"]).arg(&file), "");
    assert_eq!(unknown.code, 1);
    all(&unknown.err, &["戊", "[not_found]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_codes_and_what_is_wrong_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("某某机械").await.unwrap();
    let run = |args: &[&str], input: &str| said(server.command().args(args), input);
    let add =
        ["user", "add", "--company", "某某机械", "--name", "钱会计", "--login", "qian", "--password-stdin", "--role"];
    let added = run(&[&add[..], &["finance"]].concat(), PASSWORD);
    assert_eq!(added.code, 0, "{added:?}");
    crate::world::Office::login(&server, "qian", PASSWORD).await.unwrap();
    let twice = run(&[&add[..], &["finance"]].concat(), PASSWORD);
    assert_eq!(twice.code, 1);
    all(&twice.err, &["qian", "[login_taken]"]);
    let role = run(&[&add[..], &["king"]].concat(), PASSWORD);
    assert_eq!(role.code, 2);
    all(&role.err, &["king", "service_manager"]);
    let short = run(
        &[
            "user",
            "add",
            "--company",
            "某某机械",
            "--name",
            "孙",
            "--login",
            "sun",
            "--password-stdin",
            "--role",
            "admin",
        ],
        "short",
    );
    assert_eq!(short.code, 1);
    all(&short.err, &["[bad_password]"]);
    let nobody = run(&["device-code", "--company", "某某机械", "--staff", "没有此人"], "");
    assert_eq!(nobody.code, 1);
    all(&nobody.err, &["没有此人", "[not_found]"]);
    company.technician("李工", "T1").await.unwrap();
    company.technician("李工", "T2").await.unwrap();
    let two = run(&["device-code", "--company", "某某机械", "--staff", "李工"], "");
    all(&two.err, &["[ambiguous]"]);
    let code = run(&["device-code", "--company", "某某机械", "--staff", "T1"], "");
    assert_eq!(code.code, 0);
    all(&code.out, &["code ", "short ", &server.url("/enrol"), "█"]);
    // The short code, as it is read from a screen.
    let short = code.out.lines().find_map(|l| l.strip_prefix("short ")).unwrap();
    let short = short.split('(').next().unwrap().trim();
    let phone = Terminal { data: dir.path().join("phone"), lang: "en" };
    all(&phone.good(&["enrol", &server.url(""), short]), &["enrolled"]);
    // What the phone forgets, a revoked one forgets too.
    let devices = company.office.get("/api/devices").await.unwrap().to_string();
    let device = uuid_in(devices.split("\"id\"").nth(1).unwrap()).unwrap();
    let revoked = run(&["revoke-device", "--company", "某某机械", &device.to_string()], "");
    assert_eq!(revoked.code, 0, "{revoked:?}");
    let after = phone.run(&["sync"]);
    assert!(after.out.contains("revoked") || after.err.contains("device_revoked"), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_and_address_that_do_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let file = dir.path().join("broken.toml");
    for (toml, named) in [
        ("listen = \n", "broken.toml"),
        ("[limits]\nfoto_bytes = 5\n", "limits.foto_bytes"),
        ("[limits]\nphoto_bytes = \"big\"\n", "photo_bytes"),
        ("[tls]\nkey = \"k.pem\"\n", "tls.certificate"),
    ] {
        std::fs::write(&file, toml).unwrap();
        let mut command = Process::new(crate::world::onsite());
        let wrong = said(command.arg("--config").arg(&file).arg("check-config").current_dir(dir.path()), "");
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{toml}");
        assert_eq!(wrong.err.lines().count(), 1, "{}", wrong.err);
        all(&wrong.err, &[named, "[bad_config]"]);
    }
    std::fs::write(&file, "listen = \"127.0.0.1:9\"\n").unwrap();
    let mut command = Process::new(crate::world::onsite());
    // A phone's own variables are none of the server's.
    command.env("ONSITE_LANG", "en").env("ONSITE_PASSPHRASE", "x").env("ONSITE_DEVICE", "y");
    let good = said(command.arg("check-config").arg("--config").arg(&file).current_dir(dir.path()), "");
    assert_eq!((good.code, good.err.as_str()), (0, ""), "{good:?}");
    all(&good.out, &["127.0.0.1:9"]);

    let mut second = server.command();
    second.env("ONSITE_DATA", dir.path().join("other"));
    let taken = said(second.arg("serve"), "");
    assert_eq!(taken.code, 1, "{taken:?}");
    let last = taken.err.lines().last().unwrap();
    all(last, &[&server.addr.to_string(), "[address_in_use]"]);
    let mut demo = Process::new(crate::world::onsite());
    let port = server.addr.port().to_string();
    let taken = said(demo.args(["demo", "--once", "--port", &port]).current_dir(dir.path()), "");
    assert_eq!((taken.code, taken.out.as_str()), (1, ""), "{taken:?}");
    all(&taken.err, &["[address_in_use]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_and_restore_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("某某机械").await.unwrap();
    customer(&company.office, "三原蛋托厂").await;
    let to = dir.path().join("backup");
    let run = |server: &Server, args: &[&str]| said(server.command().args(args), "");
    let to_text = to.to_string_lossy().into_owned();
    let kept = run(&server, &["backup", &to_text]);
    assert_eq!(kept.code, 0, "{kept:?}");
    all(&kept.out, &["1 companies"]);
    let twice = run(&server, &["backup", &to_text]);
    assert_eq!(twice.code, 1);
    all(&twice.err, &["[exists]"]);
    customer(&company.office, "后来的客户").await;
    server.stop().unwrap();

    let refused = run(&server, &["restore", &to_text]);
    assert_eq!(refused.code, 1);
    all(&refused.err, &["--force", "[exists]"]);
    let restored = run(&server, &["restore", &to_text, "--force"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    all(&restored.out, &["new epoch"]);
    server.up().await.unwrap();
    let login = server.run(
        &[
            "user",
            "add",
            "--company",
            "某某机械",
            "--name",
            "新",
            "--login",
            "new",
            "--role",
            "admin",
            "--password-stdin",
        ],
        PASSWORD,
    );
    login.unwrap();
    let office = crate::world::Office::login(&server, "new", PASSWORD).await.unwrap();
    let found = async |word: &str| {
        let found = office.get(&format!("/api/documents?kind=customer&search={word}")).await.unwrap();
        !found["rows"].as_array().unwrap().is_empty()
    };
    assert!(found("三原蛋托厂").await && !found("后来的客户").await);

    // A backup that was damaged puts nothing in place.
    server.stop().unwrap();
    let database = to.join("onsite.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&database, bytes).unwrap();
    let damaged = run(&server, &["restore", &to_text, "--force"]);
    assert_eq!(damaged.code, 1);
    all(&damaged.err, &["[database_damaged]"]);
    server.up().await.unwrap();
    assert!(found("三原蛋托厂").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_chain_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path().join("server")).await.unwrap();
    let company = server.company("某某机械").await.unwrap();
    for _ in 0..3 {
        company.user("某人", &format!("u{}", Uuid::now_v7().simple()), "clerk").unwrap();
    }
    let run = |server: &Server, args: &[&str]| said(server.command().args(args), "");
    let listed = run(&server, &["audit", "list", "--company", "某某机械"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    all(&listed.out, &["赵主任  user.sign_in", "user.password"]);
    let paged = run(&server, &["audit", "list", "--company", "某某机械", "--after", "1", "--limit", "2"]);
    assert_eq!(paged.out.lines().count(), 3, "{}", paged.out);
    all(&paged.out, &["more: --after 3"]);

    let verify = ["audit", "verify", "--company", "某某机械"];
    let whole = run(&server, &verify);
    assert_eq!(whole.code, 0, "{whole:?}");
    let end = whole.out.trim().rsplit(' ').next().unwrap().to_owned();
    let n: u64 = end.split(':').next().unwrap().parse().unwrap();
    assert!(n >= 5, "{end}");
    all(&whole.out, &[&format!("{n} entries hold")]);
    let with = |server: &Server, expect: &str| run(server, &[&verify[..], &["--expect", expect]].concat());
    company.user("又一人", "another", "clerk").unwrap();
    assert_eq!(with(&server, &end).code, 0, "it has only grown");
    all(&run(&server, &["audit", "verify"]).out, &["某某机械"]);
    assert_eq!(with(&server, "nonsense").code, 2);

    // Each damage on a copy of the file.
    server.stop().unwrap();
    let file = server.dir.join("onsite.sqlite");
    let clean = dir.path().join("clean.sqlite");
    rusqlite::Connection::open(&file).unwrap().execute("VACUUM INTO ?1", [clean.to_string_lossy()]).unwrap();
    let damage = |sql: &str| {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
        }
        std::fs::copy(&clean, &file).unwrap();
        let db = rusqlite::Connection::open(&file).unwrap();
        assert!(db.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
    };
    damage("UPDATE audit SET entry = replace(entry, 'user.', 'other.') WHERE n = 3");
    let changed = run(&server, &verify);
    assert_eq!(changed.code, 1, "{changed:?}");
    all(&changed.err, &["entry 3 was changed", "[audit_broken]"]);
    all(&run(&server, &["audit", "verify"]).out, &["某某机械", "entry 3 was changed"]);
    damage("DELETE FROM audit WHERE n = 2");
    all(&run(&server, &verify).err, &["entry 2 is missing", "[audit_broken]"]);
    damage(&format!("DELETE FROM audit WHERE n >= {n}"));
    let cut = run(&server, &verify);
    assert_eq!(cut.code, 0, "the chain alone cannot show it: {cut:?}");
    let cut = with(&server, &end);
    assert_eq!(cut.code, 1);
    all(&cut.err, &[&format!("entry {n} is missing: the chain ends at {}", n - 1), "[audit_broken]"]);
}
