use super::*;
use crate::domain::*;
use crate::messages::Language;
use std::str::FromStr;
use uuid::Uuid;

fn item(n: u128) -> ItemId {
    ItemId(Uuid::from_u128(n))
}
fn person(n: u128) -> StaffId {
    StaffId(Uuid::from_u128(n))
}
fn names(id: StaffId) -> String {
    ["", "李卫东", "赵敏", "王建国", "周会计", "孙主任", "陈仓管"]
        .get(id.0.as_u128() as usize)
        .map_or(String::new(), |s| (*s).into())
}
fn at(minute: i64) -> Stamp {
    Stamp::exact(Millis(1_795_485_600_000 + minute * Millis::MINUTE))
}
fn mark(minute: i64, by: u128) -> Mark {
    Mark { at: at(minute), by: person(by) }
}
fn settings() -> Settings {
    Settings { company: "渭北纸模机械有限公司".into(), ..Settings::default() }
}

fn order() -> WorkOrder {
    let mut o = WorkOrder {
        number: Some("PG-2026-0147".into()),
        work_type: Some(WorkType::Repair),
        reported: Some(at(-2000)),
        ..WorkOrder::default()
    };
    o.dispatch = Dispatch {
        issued: Some(Atomic(mark(0, 3))),
        order_date: Date::from_str("2026-11-24").ok(),
        customer_name: "三原华丰蛋托包装厂".into(),
        contact_name: "吴厂长".into(),
        contact_phone: "029-5550 1842".into(),
        service_address: "陕西省咸阳市三原县清河工业园北三路 8 号 一车间".into(),
        expected_stay_minutes: Some(2 * 1440),
        service_description: Text("3 号成型机转移辊真空不足,湿坯脱落;检查真空泵与分配阀,更换密封件。".into()),
        cash_advance: Fen(150_000),
        balance_to_collect: Fen(1_280_000),
        remarks: Text("进厂须戴安全帽,联系吴厂长开门。".into()),
        ..Dispatch::default()
    };
    for (n, name, unit, required, issued) in [
        (1, "真空泵机械密封 2BV5-131", "套", 1, 1),
        (2, "分配阀石墨环 Ø220", "片", 4, 4),
        (3, "内六角扳手", "套", 1, 1),
        (4, "万用表", "台", 1, 1),
        (5, "耐热硅胶管 Ø32", "米", 6, 6),
    ] {
        o.dispatch.items.insert(
            item(n),
            RequiredItem {
                part_no: format!("P-{n:03}"),
                name: name.into(),
                unit: unit.into(),
                required,
                issued: Count(issued),
                ..Default::default()
            },
        );
    }
    o.assignments.insert(item(1), Assignment { technician: Some(person(2)), ..Default::default() });
    o.assignments.insert(item(2), Assignment { technician: Some(person(1)), lead: true, ..Default::default() });
    let content = forms_content::dispatch_content(&o);
    for (role, by, minute) in
        [(SignoffRole::Warehouse, 6, 10), (SignoffRole::ServiceManager, 3, 12), (SignoffRole::OfficeDirector, 5, 40)]
    {
        o.signoffs.insert(role, Atomic(Signoff { mark: mark(minute, by), content }));
    }
    o.signoffs.insert(SignoffRole::Finance, Atomic(Signoff { mark: mark(5, 4), content: Sha256([7; 32]) }));
    o
}

fn visit() -> Visit {
    let mut v = Visit {
        provisional_numbers: [(person(1), "A7-0012".to_owned())].into(),
        service_description: Text("3 号成型机转移辊真空不足,湿坯脱落。".into()),
        diagnosis: Text("真空泵机械密封磨损,分配阀石墨环间隙 0.6 mm。".into()),
        resolution: Text(
            "更换机械密封与石墨环 4 片,调整分配阀间隙至 0.15 mm;\n空载 1 小时、负载 2 小时试机正常。".into(),
        ),
        outcome: Some(Outcome::Completed),
        satisfaction: Some(Satisfaction::Dissatisfied),
        dissatisfaction_reasons: [Dissatisfaction::Speed].into_iter().collect(),
        customer_comment: Text("修得好,就是来得慢了半天。<script>alert(1)</script>".into()),
        acceptance: Some(Atomic(Acceptance { mark: mark(300, 1), accepted: true, remark: String::new() })),
        ..Visit::default()
    };
    for (n, kind, minute) in [
        (1, EventKind::TravelStarted, 60),
        (2, EventKind::Arrived, 180),
        (3, EventKind::WorkStarted, 185),
        (4, EventKind::WorkEnded, 290),
    ] {
        v.events.insert(item(n), Atomic(VisitEvent { kind, mark: mark(minute, 1), position: None, corrects: None }));
    }
    let doubtful = Stamp { device: at(310).device, offset: Some(500), doubt: Some(110_000) };
    v.events.insert(
        item(5),
        Atomic(VisitEvent {
            kind: EventKind::Departed,
            mark: Mark { at: doubtful, by: person(1) },
            position: None,
            corrects: None,
        }),
    );
    v.items.insert(
        item(2),
        UsedItem {
            name: "分配阀石墨环 Ø220".into(),
            part_no: "P-002".into(),
            unit: "片".into(),
            used: Count(3),
            taken_back: Count(1),
        },
    );
    v.checks.insert("model".into(), Check { result: Some(CheckResult::Passed), ..Check::default() });
    v.checks.insert(
        "packaging".into(),
        Check { result: Some(CheckResult::Failed), note: "外箱一角受潮".into(), ..Check::default() },
    );
    v.receipts.insert(
        item(9),
        Atomic(Receipt {
            mark: mark(305, 1),
            amount: Fen(1_000_000),
            method: PayMethod::Transfer,
            reference: "SJ-0093".into(),
        }),
    );
    v.photos.insert(item(7), Photo { caption: "旧密封".into(), ..Photo::default() });
    let content = forms_content::visit_content(&v);
    v.signature = Some(Atomic(Signature {
        mark: mark(302, 1),
        name: "吴厂长".into(),
        strokes: Strokes("100,80 180,60 260,90 200,200 120,300;340,100 360,320;420,90 640,80 620,300 430,310;700,200;x,y \"><script>".into()),
        heads: vec![],
        content,
    }));
    v
}

fn shown() -> VisitFormData {
    let customer = Customer { name: "三原华丰蛋托包装厂".into(), ..Customer::default() };
    visit_data(VisitId(Uuid::from_u128(50)), &visit(), Some(&order()), None, Some(&customer), &names, &settings())
}

#[test]
fn form_1_as_printed() {
    let visits = [(VisitId(Uuid::from_u128(50)), std::borrow::Cow::Owned(visit()))];
    let data = dispatch_data(&order(), &visits, &names, &settings());
    assert_eq!(data.technicians, ["李卫东", "赵敏"], "who leads comes first");
    assert_eq!(data.items[1].used, 3, "what was used on site stands on form 1");
    assert_eq!(data.collected, Fen(1_000_000));
    let html = render_dispatch(&data, Language::ZhCn);
    for copy in ["第一联:售后人员", "第二联:销售部"] {
        assert_eq!(html.matches(copy).count(), 1, "{copy}");
    }
    assert!(html.contains("已失效"), "finance signed something else");
    assert!(!html.contains("附页"));
    insta::assert_snapshot!("dispatch_zh", html);
    insta::assert_snapshot!("dispatch_en", render_dispatch(&data, Language::En));
}

#[test]
fn form_1_continues_on_an_annex() {
    let mut o = order();
    o.dispatch.service_description = Text("检查".repeat(400));
    for n in 10..40 {
        o.dispatch.items.insert(
            item(n),
            RequiredItem { name: format!("零件{n}"), unit: "个".into(), required: 1, ..Default::default() },
        );
    }
    let html = render_dispatch(&dispatch_data(&o, &[], &names, &settings()), Language::ZhCn);
    assert!(html.contains("附页") && html.contains("续见附页"));
    assert_eq!(html.matches("零件39").count(), 1, "only the annex has room for it");
}

#[test]
fn an_empty_form_1_is_the_blank_paper() {
    let html = render_dispatch(&DispatchFormData::default(), Language::ZhCn);
    assert!(html.contains("年 月 日") && html.contains("未签发") && !html.contains("<svg"));
}

#[test]
fn form_2_as_printed() {
    let html = render_visit(&shown(), Language::ZhCn);
    for words in [
        "☑ 不满意",
        "☑ 速度",
        "□ 服务态度",
        "☑ 已完成服务",
        "□ 未完成服务",
        "确认正常此次服务即作完成处理",
        "A7-0012",
        "± 2 分",
        "2026-11-24",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("<script"), "what people type is escaped");
    insta::assert_snapshot!("visit_zh", html);
    insta::assert_snapshot!("visit_en", render_visit(&shown(), Language::En));
}

#[test]
fn a_changed_form_2_voids_the_signature() {
    let mut v = visit();
    if let Some(s) = &mut v.signature {
        s.0.content = Sha256([9; 32]);
    }
    let data = visit_data(VisitId(Uuid::from_u128(50)), &v, None, None, None, &names, &settings());
    assert!(render_visit(&data, Language::ZhCn).contains("已失效"));
}

#[test]
fn strokes_only_let_numbers_through() {
    let svg = strokes_svg("1,2 3,4;<b>,5;9,9");
    assert!(svg.contains("1,2 3,4") && svg.contains("9,9 9,9") && !svg.contains("<b>"));
}

#[test]
fn print_for_looking_at() {
    // With ONSITE_FORMS_DIR set, writes the forms there for a browser.
    if let Ok(dir) = std::env::var("ONSITE_FORMS_DIR") {
        let dir = std::path::Path::new(&dir);
        let visits = [(VisitId(Uuid::from_u128(50)), std::borrow::Cow::Owned(visit()))];
        for lang in Language::ALL {
            let d = dispatch_data(&order(), &visits, &names, &settings());
            std::fs::write(dir.join(format!("dispatch.{lang}.html")), render_dispatch(&d, lang)).expect("writable");
            std::fs::write(dir.join(format!("visit.{lang}.html")), render_visit(&shown(), lang)).expect("writable");
        }
        std::fs::write(dir.join("blank.html"), render_dispatch(&DispatchFormData::default(), Language::ZhCn))
            .expect("writable");
        std::fs::write(dir.join("blank2.html"), render_visit(&VisitFormData::default(), Language::ZhCn))
            .expect("writable");
    }
}
