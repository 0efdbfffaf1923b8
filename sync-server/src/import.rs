//! Customers and equipment from CSV and XLSX files. Everything is checked
//! first: either the whole file goes in, as one transaction, or nothing does.
//!
//! [`parse`] turns bytes into rows, [`plan`] turns rows into the office's
//! commands (only what differs from what is there, so importing again does
//! nothing), [`run`] does them.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::storage::{Audit, Query};
use onsite_core::domain::{
    Address, Author, Command, Contact, Customer, CustomerId, Date, Entity, Equipment, ItemId, Kind, TenantId,
};
use onsite_core::messages::{self, Language, tf};
use sha2::Digest as _;
use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use uuid::Uuid;

/// Largest file in bytes.
pub const MAX_FILE: usize = 20 << 20;
/// Most rows in a file.
pub const MAX_ROWS: usize = 50_000;
/// Most columns looked at.
const MAX_COLUMNS: usize = 200;
/// Longest cell in characters.
const MAX_CELL: usize = 500;
/// Most errors reported at once.
const MAX_ERRORS: usize = 200;
/// Most bytes an XLSX may say it inflates to.
const MAX_INFLATED: u64 = 400 << 20;

/// A line of the file: a customer, with one machine or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The line in the file, from 1.
    pub line: usize,
    /// The company's own number for the customer.
    pub customer_code: String,
    /// 客户名称; may be empty for a customer that is there or named on an earlier line.
    pub customer_name: String,
    /// 联系人
    pub contact: String,
    /// 电话
    pub phone: String,
    /// 地址
    pub address: String,
    /// 工程竣工
    pub project_completed: Option<Date>,
    /// 回访间隔, in days.
    pub call_interval_days: Option<i64>,
    /// The machine on this line.
    pub equipment: Option<Machine>,
}

/// A machine of a [`Row`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    /// 产品型号
    pub model: String,
    /// 出厂编号
    pub serial: String,
    /// Name used on site.
    pub name: String,
    /// First day in service.
    pub installed: Option<Date>,
    /// Last day of warranty.
    pub warranty_until: Option<Date>,
}

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct LineError {
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The column, from 1; 0 for the whole line.
    pub column: usize,
    /// The column's heading in the file.
    pub heading: String,
    /// Stable code.
    pub code: &'static str,
    /// Why.
    pub detail: String,
    /// What stood there.
    pub value: String,
}

impl LineError {
    fn file(code: &'static str, detail: impl Into<String>) -> Self {
        Self { line: 0, column: 0, heading: String::new(), code, detail: detail.into(), value: String::new() }
    }

    /// In words for people.
    pub fn told(&self, lang: Language) -> String {
        let key = format!("import.{}", self.code);
        let value: String = self.value.chars().take(60).collect();
        match messages::find(lang, &key) {
            Some(_) => tf(lang, &key, &[("heading", &self.heading), ("value", &value)]),
            None => self.detail.clone(),
        }
    }
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.line, self.column) {
            (0, _) => {}
            (line, 0) => write!(f, "第 {line} 行 line {line}: ")?,
            (line, column) => {
                write!(f, "第 {line} 行第 {column} 列 line {line}, column {column} ({}): ", self.heading)?
            }
        }
        write!(f, "{} [{}]", self.detail, self.code)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Field {
    Code,
    Name,
    Contact,
    Phone,
    Address,
    Completed,
    Interval,
    Model,
    Serial,
    Machine,
    Installed,
    Warranty,
}

const HEADINGS: &[(Field, &[&str])] = &[
    (Field::Code, &["客户编码", "客户编号", "客户代码", "customercode", "customerno", "code"]),
    (Field::Name, &["客户名称", "客户", "customername", "customer", "name"]),
    (Field::Contact, &["联系人", "contact", "contactname"]),
    (Field::Phone, &["电话", "联系电话", "手机", "phone", "telephone", "contactphone"]),
    (Field::Address, &["地址", "客户地址", "address", "serviceaddress"]),
    (Field::Completed, &["竣工日期", "工程竣工", "工程竣工日期", "projectcompleted", "completed"]),
    (Field::Interval, &["回访间隔", "回访间隔天", "回访间隔(天)", "callintervaldays", "callinterval"]),
    (Field::Model, &["产品型号", "型号", "设备型号", "model"]),
    (Field::Serial, &["出厂编号", "序列号", "设备编号", "serial", "serialnumber", "serialno"]),
    (Field::Machine, &["设备名称", "equipment", "equipmentname", "machine"]),
    (Field::Installed, &["安装日期", "投用日期", "installed", "installdate"]),
    (Field::Warranty, &["保修截止", "保修期至", "质保截止", "保修截止日期", "warrantyuntil", "warranty"]),
];

impl Field {
    const ALL: [Self; 12] = [
        Self::Code,
        Self::Name,
        Self::Contact,
        Self::Phone,
        Self::Address,
        Self::Completed,
        Self::Interval,
        Self::Model,
        Self::Serial,
        Self::Machine,
        Self::Installed,
        Self::Warranty,
    ];

    fn key(self) -> &'static str {
        match self {
            Self::Code => "customer_code",
            Self::Name => "customer_name",
            Self::Contact => "contact",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::Completed => "project_completed",
            Self::Interval => "call_interval_days",
            Self::Model => "model",
            Self::Serial => "serial",
            Self::Machine => "equipment",
            Self::Installed => "installed",
            Self::Warranty => "warranty_until",
        }
    }

    /// Its heading in a template.
    fn heading(self, lang: Language) -> &'static str {
        messages::find(lang, &format!("import.column.{}", self.key())).unwrap_or(self.key())
    }
}

/// A column of a file to import.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateColumn {
    /// Its heading.
    pub heading: &'static str,
    /// What belongs into it.
    pub about: &'static str,
}

/// The columns of a file to import, as a template has them.
pub fn template(lang: Language) -> Vec<TemplateColumn> {
    let about = |f: Field| messages::find(lang, &format!("import.about.{}", f.key())).unwrap_or_default();
    Field::ALL.iter().map(|f| TemplateColumn { heading: f.heading(lang), about: about(*f) }).collect()
}

fn heading(text: &str) -> Option<Field> {
    let plain: String = text
        .trim()
        .trim_start_matches('\u{feff}')
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '*'))
        .map(|c| match c {
            '(' => '(',
            ')' => ')',
            c => c,
        })
        .collect::<String>()
        .to_lowercase();
    HEADINGS.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(f, _)| *f)
}

/// Cells by line number.
type Grid = Vec<(usize, Vec<String>)>;

/// Reads a file into rows; `filename` tells CSV from XLSX where the bytes do not.
///
/// # Errors
/// Every bad line, with column and reason; nothing is taken then.
pub fn parse(bytes: &[u8], filename: &str) -> std::result::Result<Vec<Row>, Vec<LineError>> {
    if bytes.len() > MAX_FILE {
        return Err(vec![LineError::file("too_large", format!("the file has more than {MAX_FILE} bytes"))]);
    }
    let grid = if bytes.starts_with(b"PK\x03\x04") {
        sheet(bytes)
    } else if filename.to_ascii_lowercase().ends_with(".xlsx") {
        Err(LineError::file("bad_xlsx", "is named .xlsx but is no XLSX workbook"))
    } else if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        Err(LineError::file("old_xls", "is an old .xls workbook: save it as .xlsx"))
    } else {
        records(bytes)
    };
    rows(&grid.map_err(|e| vec![e])?)
}

/// Text in whatever encoding: a byte order mark, UTF-8, or guessed (GBK, GB18030, Big5 …).
fn decode(bytes: &[u8]) -> std::result::Result<String, LineError> {
    if let Some((encoding, skip)) = encoding_rs::Encoding::for_bom(bytes) {
        let (text, bad) = encoding.decode_without_bom_handling(&bytes[skip..]);
        return if bad {
            Err(LineError::file("bad_encoding", format!("is not {}, as its byte order mark says", encoding.name())))
        } else {
            Ok(text.into_owned())
        };
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return if text.contains('\0') {
            Err(LineError::file("not_text", "is not a text file"))
        } else {
            Ok(text.into())
        };
    }
    let mut guess = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    guess.feed(bytes, true);
    let guessed = guess.guess(Some(b"cn"), chardetng::Utf8Detection::Deny);
    // Short Chinese files are often guessed Western: GB18030 is what the office's spreadsheets write.
    for encoding in [encoding_rs::GB18030, guessed] {
        if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes)
            && !text.contains('\0')
        {
            return Ok(text.into_owned());
        }
    }
    Err(LineError::file("bad_encoding", "is neither UTF-8, UTF-16 nor GBK/GB18030"))
}

fn records(bytes: &[u8]) -> std::result::Result<Grid, LineError> {
    let text = decode(bytes)?;
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|d| (first.matches(char::from(*d)).count(), *d == b','));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter.unwrap_or(b','))
        .from_reader(text.as_bytes());
    let mut grid = Grid::new();
    let (mut at, mut line) = (0, 1);
    for record in reader.records() {
        let record = record.map_err(|e| LineError::file("bad_csv", e.to_string()))?;
        // Counted here: behind a line end of two characters the reader itself is one short.
        let start = record.position().map_or(at, |p| usize::try_from(p.byte()).unwrap_or(at));
        let before = text.as_bytes().get(at..start).unwrap_or_default();
        let ends = text.as_bytes().get(start..).unwrap_or_default();
        let ends = &ends[..ends.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()];
        line += before.iter().chain(ends).filter(|b| **b == b'\n').count();
        at = start.max(at) + ends.len();
        grid.push((line, record.iter().take(MAX_COLUMNS).map(str::to_owned).collect()));
        if grid.len() > MAX_ROWS + 1 {
            return Err(LineError::file("too_many_rows", format!("has more than {MAX_ROWS} lines")));
        }
    }
    Ok(grid)
}

fn sheet(bytes: &[u8]) -> std::result::Result<Grid, LineError> {
    if declared(bytes) > MAX_INFLATED {
        return Err(LineError::file("too_large", "inflates to more than is taken"));
    }
    // The reader is not ours: a hostile workbook that makes it panic is a bad file, nothing more.
    std::panic::catch_unwind(|| cells(bytes))
        .unwrap_or_else(|_| Err(LineError::file("bad_xlsx", "the workbook is damaged")))
}

/// The sizes that the archive's directory gives.
fn declared(bytes: &[u8]) -> u64 {
    bytes
        .windows(28)
        .filter(|w| w.starts_with(b"PK\x01\x02"))
        .map(|w| u64::from(u32::from_le_bytes([w[24], w[25], w[26], w[27]])))
        .sum()
}

fn cells(bytes: &[u8]) -> std::result::Result<Grid, LineError> {
    use calamine::{DataRef, Reader as _};
    let bad = |e: calamine::XlsxError| LineError::file("bad_xlsx", format!("the workbook cannot be read: {e}"));
    let mut book = calamine::Xlsx::new(Cursor::new(bytes)).map_err(bad)?;
    let name = book.sheet_names().first().cloned();
    let name = name.ok_or_else(|| LineError::file("bad_xlsx", "the workbook has no sheet"))?;
    // Cell by cell: one cell in the last corner would make a dense range of 17 milliard.
    let mut reader = book.worksheet_cells_reader(&name).map_err(bad)?;
    let mut lines: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    while let Some(cell) = reader.next_cell().map_err(bad)? {
        let (row, column) = cell.get_position();
        let text = match cell.get_value() {
            DataRef::Empty => continue,
            DataRef::String(s) | DataRef::DateTimeIso(s) | DataRef::DurationIso(s) => s.clone(),
            DataRef::SharedString(s) => (*s).to_owned(),
            DataRef::Int(n) => n.to_string(),
            DataRef::Float(n) => n.to_string(),
            DataRef::Bool(b) => b.to_string(),
            DataRef::DateTime(d) => {
                let (y, m, d, ..) = d.to_ymd_hms_milli();
                format!("{y:04}-{m:02}-{d:02}")
            }
            DataRef::Error(e) => format!("{e}"),
        };
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        if column >= MAX_COLUMNS || text.trim().is_empty() {
            continue;
        }
        let line = lines.entry(row).or_default();
        if line.len() <= column {
            line.resize(column + 1, String::new());
        }
        line[column] = text;
        if lines.len() > MAX_ROWS + 1 {
            return Err(LineError::file("too_many_rows", format!("has more than {MAX_ROWS} lines")));
        }
    }
    Ok(lines
        .into_iter()
        .map(|(row, cells)| (usize::try_from(row).unwrap_or(usize::MAX).saturating_add(1), cells))
        .collect())
}

/// A day in any of the usual spellings.
fn day(text: &str) -> Option<Date> {
    let parts: Vec<&str> =
        text.split(['-', '/', '.', '年', '月', '日', 'T', ' ']).map(str::trim).filter(|p| !p.is_empty()).collect();
    let (y, m, d) = match parts.as_slice() {
        [y, m, d, ..] => (*y, *m, *d),
        [plain] if plain.len() == 8 && plain.is_ascii() => (&plain[..4], &plain[4..6], &plain[6..]),
        _ => return None,
    };
    let year: i16 = y.parse().ok().filter(|y| (1950..=2200).contains(y))?;
    Date::new(year, m.parse().ok()?, d.parse().ok()?).ok()
}

/// One line's cells by field, gathering what is wrong.
struct Cells<'a> {
    line: usize,
    cells: &'a [String],
    columns: &'a BTreeMap<Field, (usize, String)>,
    errors: &'a mut Vec<LineError>,
}

impl Cells<'_> {
    fn wrong(&mut self, field: Field, code: &'static str, detail: impl Into<String>) {
        let (column, heading) =
            self.columns.get(&field).map_or((0, field.heading(Language::ZhCn).into()), |(i, h)| (i + 1, h.clone()));
        let value = self.columns.get(&field).and_then(|(i, _)| self.cells.get(*i)).map_or("", |s| s.trim());
        let value = value.chars().take(MAX_CELL).collect();
        self.errors.push(LineError { line: self.line, column, heading, code, detail: detail.into(), value });
    }

    fn text(&mut self, field: Field) -> String {
        let cell = self.columns.get(&field).and_then(|(i, _)| self.cells.get(*i)).map_or("", |s| s.trim()).to_owned();
        if cell.chars().count() > MAX_CELL {
            self.wrong(field, "too_long", format!("has more than {MAX_CELL} characters"));
        } else if cell.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
            self.wrong(field, "bad_characters", "holds control characters");
        }
        cell
    }

    fn day(&mut self, field: Field) -> Option<Date> {
        let text = self.text(field);
        if text.is_empty() {
            return None;
        }
        let found = day(&text);
        if found.is_none() {
            self.wrong(field, "bad_date", format!("{text:?} is not a day such as 2026-03-01 or 2026年3月1日"));
        }
        found
    }
}

fn rows(grid: &Grid) -> std::result::Result<Vec<Row>, Vec<LineError>> {
    let mut lines = grid.iter().filter(|(_, cells)| cells.iter().any(|c| !c.trim().is_empty()));
    let Some((head, headings)) = lines.next() else {
        return Err(vec![LineError::file("empty", "the file is empty")]);
    };
    let mut errors = Vec::new();
    let mut columns: BTreeMap<Field, (usize, String)> = BTreeMap::new();
    for (i, text) in headings.iter().enumerate() {
        let wrong = |code, detail: &str| LineError {
            line: *head,
            column: i + 1,
            heading: text.trim().into(),
            code,
            detail: detail.into(),
            value: String::new(),
        };
        match heading(text) {
            Some(field) if columns.contains_key(&field) => errors.push(wrong("twice", "this column is there twice")),
            Some(field) => {
                columns.insert(field, (i, text.trim().into()));
            }
            None if text.trim().is_empty() => {}
            None => errors.push(wrong("unknown_column", "no column of this name is known")),
        }
    }
    if !columns.contains_key(&Field::Code) {
        errors.push(LineError::file("missing_column", "there is no column 客户编码 (customer code)"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut out = Vec::new();
    for (line, cells) in lines {
        let mut c = Cells { line: *line, cells, columns: &columns, errors: &mut errors };
        let mut row = Row {
            line: *line,
            customer_code: c.text(Field::Code),
            customer_name: c.text(Field::Name),
            contact: c.text(Field::Contact),
            phone: c.text(Field::Phone),
            address: c.text(Field::Address),
            project_completed: c.day(Field::Completed),
            ..Row::default()
        };
        if row.customer_code.is_empty() {
            c.wrong(Field::Code, "empty", "must not be empty");
        }
        if !row.phone.chars().all(|ch| ch.is_ascii_digit() || " +-()()/,、转#".contains(ch)) || row.phone.len() > 60 {
            c.wrong(Field::Phone, "bad_phone", format!("{:?} is not a phone number", row.phone));
        }
        let interval = c.text(Field::Interval);
        if !interval.is_empty() {
            row.call_interval_days =
                interval.trim_end_matches('天').trim().parse().ok().filter(|n| (1..=3650).contains(n));
            if row.call_interval_days.is_none() {
                c.wrong(
                    Field::Interval,
                    "out_of_range",
                    format!("{interval:?} is not a number of days from 1 to 3650"),
                );
            }
        }
        let machine = Machine {
            model: c.text(Field::Model),
            serial: c.text(Field::Serial),
            name: c.text(Field::Machine),
            installed: c.day(Field::Installed),
            warranty_until: c.day(Field::Warranty),
        };
        if machine != Machine::default() {
            if machine.serial.is_empty() {
                c.wrong(Field::Serial, "empty", "a machine needs its serial number");
            }
            if machine.model.is_empty() {
                c.wrong(Field::Model, "empty", "a machine needs its model");
            }
            if let (Some(from), Some(to)) = (machine.installed, machine.warranty_until)
                && to < from
            {
                c.wrong(Field::Warranty, "bad_date", "the warranty ends before the installation");
            }
            row.equipment = Some(machine);
        }
        out.push(row);
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// What an import does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The commands, in order.
    pub commands: Vec<Command>,
    /// Customers opened.
    pub customers_new: usize,
    /// Customers changed.
    pub customers_changed: usize,
    /// Machines added.
    pub equipment_new: usize,
    /// Machines changed.
    pub equipment_changed: usize,
    /// What each line of the file comes to, in order.
    pub lines: Vec<PlannedLine>,
}

/// What an import does with something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportEffect)]
pub enum Effect {
    /// It stays as it is.
    Unchanged,
    /// It is there, and gets other contents.
    Changed,
    /// It is opened.
    New,
}

/// What a line comes to.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PlannedLine {
    /// The line in the file, from 1.
    pub line: usize,
    /// The customer's number.
    pub customer_code: String,
    /// The customer's name.
    pub customer_name: String,
    /// What happens to the customer, contacts and addresses included.
    pub customer: Effect,
    /// The machine's serial number, if the line has one.
    pub serial: Option<String>,
    /// What happens to the machine.
    pub equipment: Option<Effect>,
}

impl PlannedLine {
    /// Whether everything stays as it is.
    pub fn idle(&self) -> bool {
        self.customer == Effect::Unchanged && self.equipment.is_none_or(|e| e == Effect::Unchanged)
    }
}

/// Plans what makes the customer files say what the rows say. An empty cell
/// never wipes what is there.
///
/// # Errors
/// Lines that contradict each other or the files.
pub fn plan(
    rows: &[Row],
    there: &[(CustomerId, Customer)],
    new_id: &mut dyn FnMut() -> Uuid,
) -> std::result::Result<Plan, Vec<LineError>> {
    let mut plan = Plan::default();
    let mut errors = Vec::new();
    let mut files: HashMap<String, (CustomerId, Customer)> =
        there.iter().filter(|(_, c)| !c.code.is_empty()).map(|(id, c)| (c.code.clone(), (*id, c.clone()))).collect();
    let mut serials: HashMap<String, String> = HashMap::new();
    for (_, c) in there {
        for e in c.equipment.values().filter(|e| !e.removed && !e.serial.is_empty()) {
            serials.insert(e.serial.clone(), c.code.clone());
        }
    }
    let mut touched: HashMap<CustomerId, bool> = HashMap::new();
    for row in rows {
        let wrong = |field: Field, value: &str, code, detail: String| LineError {
            line: row.line,
            column: 0,
            heading: field.heading(Language::ZhCn).into(),
            code,
            detail,
            value: value.into(),
        };
        let known = files.contains_key(&row.customer_code);
        if !known && row.customer_name.is_empty() {
            let detail = format!("the new customer {:?} needs a name", row.customer_code);
            errors.push(wrong(Field::Name, "", "empty", detail));
            continue;
        }
        let (customer, file) = files.entry(row.customer_code.clone()).or_insert_with(|| {
            (CustomerId(new_id()), Customer { code: row.customer_code.clone(), ..Customer::default() })
        });
        let customer = *customer;
        let mut head = file.clone();
        if !row.customer_name.is_empty() {
            head.name.clone_from(&row.customer_name);
        }
        head.project_completed = row.project_completed.or(head.project_completed);
        head.call_interval_days = row.call_interval_days.or(head.call_interval_days);
        let before = plan.commands.len();
        if head != *file {
            plan.commands.push(Command::PutCustomer {
                id: customer,
                name: head.name.clone(),
                code: head.code.clone(),
                project_completed: head.project_completed,
                call_interval_days: head.call_interval_days,
            });
            *file = head;
        }
        if !row.contact.is_empty() || !row.phone.is_empty() {
            let held = file.contacts.iter().find(|(_, c)| {
                !c.removed && if row.contact.is_empty() { c.phone == row.phone } else { c.name == row.contact }
            });
            let (id, mut contact) = held.map_or_else(
                || (ItemId(new_id()), Contact { name: row.contact.clone(), ..Contact::default() }),
                |(id, c)| (*id, c.clone()),
            );
            if !row.phone.is_empty() {
                contact.phone.clone_from(&row.phone);
            }
            if file.contacts.get(&id) != Some(&contact) {
                file.contacts.insert(id, contact.clone());
                plan.commands.push(Command::PutContact { customer, id, contact });
            }
        }
        if !row.address.is_empty() && !file.addresses.values().any(|a| !a.removed && a.text == row.address) {
            let (id, address) = (ItemId(new_id()), Address { text: row.address.clone(), ..Address::default() });
            file.addresses.insert(id, address.clone());
            plan.commands.push(Command::PutAddress { customer, id, address });
        }
        let opened = !known;
        let mut line = PlannedLine {
            line: row.line,
            customer_code: row.customer_code.clone(),
            customer_name: file.name.clone(),
            customer: match plan.commands.len() > before {
                _ if opened => Effect::New,
                true => Effect::Changed,
                false => Effect::Unchanged,
            },
            serial: row.equipment.as_ref().map(|m| m.serial.clone()),
            equipment: row.equipment.as_ref().map(|_| Effect::Unchanged),
        };
        if let Some(m) = &row.equipment {
            if let Some(owner) = serials.get(&m.serial).filter(|code| **code != row.customer_code) {
                let detail = format!("serial number {:?} is a machine of customer {owner:?}", m.serial);
                errors.push(wrong(Field::Serial, &m.serial, "other_customer", detail));
                continue;
            }
            serials.insert(m.serial.clone(), row.customer_code.clone());
            let held = file.equipment.iter().find(|(_, e)| !e.removed && e.serial == m.serial);
            let new = held.is_none();
            let (id, mut equipment) = held.map_or_else(
                || (ItemId(new_id()), Equipment { serial: m.serial.clone(), ..Equipment::default() }),
                |(id, e)| (*id, e.clone()),
            );
            if !m.model.is_empty() {
                equipment.model.clone_from(&m.model);
            }
            if !m.name.is_empty() {
                equipment.name.clone_from(&m.name);
            }
            equipment.installed = m.installed.or(equipment.installed);
            equipment.warranty_until = m.warranty_until.or(equipment.warranty_until);
            if file.equipment.get(&id) != Some(&equipment) {
                file.equipment.insert(id, equipment.clone());
                plan.commands.push(Command::PutEquipment { customer, id, equipment });
                *(if new { &mut plan.equipment_new } else { &mut plan.equipment_changed }) += 1;
                line.equipment = Some(if new { Effect::New } else { Effect::Changed });
            }
        }
        plan.lines.push(line);
        if plan.commands.len() > before || !known {
            touched.entry(customer).or_insert(known);
        }
    }
    plan.customers_changed = touched.values().filter(|known| **known).count();
    plan.customers_new = touched.len() - plan.customers_changed;
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

/// Why an import did not go in.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Bad lines: nothing was taken.
    #[error("{} bad lines", .0.len())]
    Lines(Vec<LineError>),
    /// Anything else: nothing was taken.
    #[error(transparent)]
    Server(#[from] Error),
}

/// Imports a file: all of it in one transaction, or nothing. With `dry_run`, only checks.
///
/// # Errors
/// [`Failed`].
pub async fn run(
    ledger: &Ledger,
    tenant: TenantId,
    author: &Author,
    bytes: &[u8],
    filename: &str,
    dry_run: bool,
) -> std::result::Result<Plan, Failed> {
    let (file, name) = (bytes.to_vec(), filename.to_owned());
    let parsed = tokio::task::spawn_blocking(move || parse(&file, &name)).await;
    let rows = parsed.map_err(|e| Error::Internal(format!("import: {e}")))?.map_err(Failed::Lines)?;
    let there = customers(ledger, tenant).await?;
    let plan = plan(&rows, &there, &mut || ledger.env().new_id()).map_err(Failed::Lines)?;
    if !dry_run && !plan.commands.is_empty() {
        let entry = Audit {
            at: ledger.env().now(),
            by: author.staff,
            action: "import".into(),
            subject: filename.chars().take(200).collect(),
            detail: serde_json::json!({
                "sha256": crate::auth::hex(&sha2::Sha256::digest(bytes)),
                "customers": [plan.customers_new, plan.customers_changed],
                "equipment": [plan.equipment_new, plan.equipment_changed],
            }),
        };
        ledger.execute_audited(tenant, author, &plan.commands, entry).await?;
    }
    Ok(plan)
}

async fn customers(ledger: &Ledger, tenant: TenantId) -> Result<Vec<(CustomerId, Customer)>> {
    let mut all = Vec::new();
    let mut query = Query { kind: Some(Kind::Customer), limit: 1000, ..Query::default() };
    loop {
        let page = ledger.storage().list(tenant, &query).await?;
        for view in &page {
            if let Entity::Customer(c) = view.entity()? {
                all.push((view.summary.doc.id.into(), c));
            }
        }
        match page.last() {
            Some(last) if page.len() == query.limit => query.after = Some(last.key()),
            _ => return Ok(all),
        }
    }
}

#[cfg(test)]
mod xlsx;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: &str = "客户编码,客户名称,联系人,电话,地址,产品型号,出厂编号,安装日期,保修截止\n\
        C001,三原华丰蛋托厂,吴厂长,029-55501842,三原县清河路8号,ZM-4000,SN-001,2025-03-01,2026年2月28日\n\
        C001,,,,,ZM-6000,SN-002,2025/6/1,\n\
        C002,礼泉果托公司,郑工,13900000000,礼泉县,,,,\n";

    fn ids() -> impl FnMut() -> Uuid {
        let mut n = 0;
        move || {
            n += 1;
            Uuid::from_u128(n)
        }
    }

    fn apply(plan: &Plan) -> Vec<(CustomerId, Customer)> {
        let mut all: BTreeMap<CustomerId, Customer> = BTreeMap::new();
        for command in plan.commands.clone() {
            match command {
                Command::PutCustomer { id, name, code, project_completed, call_interval_days } => {
                    let c = all.entry(id).or_default();
                    (c.name, c.code, c.project_completed, c.call_interval_days) =
                        (name, code, project_completed, call_interval_days);
                }
                Command::PutContact { customer, id, contact } => {
                    all.entry(customer).or_default().contacts.insert(id, contact);
                }
                Command::PutAddress { customer, id, address } => {
                    all.entry(customer).or_default().addresses.insert(id, address);
                }
                Command::PutEquipment { customer, id, equipment } => {
                    all.entry(customer).or_default().equipment.insert(id, equipment);
                }
                other => unreachable!("{other:?}"),
            }
        }
        all.into_iter().collect()
    }

    #[test]
    fn any_usual_encoding_reads_the_same() {
        let rows = parse(CSV.as_bytes(), "a.csv").unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].equipment.as_ref().unwrap().warranty_until, Some(Date::constant(2026, 2, 28)));
        let (gbk, _, bad) = encoding_rs::GBK.encode(CSV);
        assert!(!bad);
        assert_eq!(parse(&gbk, "a.csv").unwrap(), rows, "GBK");
        let bom: Vec<u8> = [0xef, 0xbb, 0xbf].into_iter().chain(CSV.bytes()).collect();
        assert_eq!(parse(&bom, "a.csv").unwrap(), rows, "UTF-8 with a mark");
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(CSV.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(parse(&wide, "a.csv").unwrap(), rows, "UTF-16");
        assert_eq!(parse(CSV.replace(',', ";").as_bytes(), "a.csv").unwrap(), rows, "semicolons");
    }

    #[test]
    fn importing_again_does_nothing() {
        let rows = parse(CSV.as_bytes(), "a.csv").unwrap();
        let first = plan(&rows, &[], &mut ids()).unwrap();
        assert_eq!((first.customers_new, first.equipment_new), (2, 2));
        let again = plan(&rows, &apply(&first), &mut ids()).unwrap();
        assert!(again.commands.is_empty() && again.lines.iter().all(PlannedLine::idle), "{again:?}");
        let effects: Vec<_> = first.lines.iter().map(|l| (l.line, l.customer, l.equipment)).collect();
        let new = Some(Effect::New);
        assert_eq!(effects, [(2, Effect::New, new), (3, Effect::Unchanged, new), (4, Effect::New, None)]);
        let moved = parse(CSV.replace("13900000000", "13900000001").as_bytes(), "a.csv").unwrap();
        let changed = plan(&moved, &apply(&first), &mut ids()).unwrap();
        assert_eq!((changed.customers_new, changed.customers_changed, changed.commands.len()), (0, 1, 1));
        assert_eq!(changed.lines[2].customer, Effect::Changed);
    }

    #[test]
    fn every_bad_line_is_named() {
        let text = "code,name,phone,model,serial,installed\nC1,甲,abc,ZM,S1,2025-02-30\n,乙,1,,,\nC3,丙,1,ZM,,\n";
        let errors = parse(text.as_bytes(), "a.csv").unwrap_err();
        let at: Vec<_> = errors.iter().map(|e| (e.line, e.column, e.code)).collect();
        assert_eq!(at, [(2, 3, "bad_phone"), (2, 6, "bad_date"), (3, 1, "empty"), (4, 5, "empty")]);
        assert!(errors[1].to_string().contains("第 2 行第 6 列"));
        // Line ends of two characters, blank lines and cells of several lines count as an editor counts them.
        let windows = parse(text.replace('\n', "\r\n").as_bytes(), "a.csv").unwrap_err();
        assert_eq!(windows, errors);
        let spread = "code,name,phone\r\n\r\nC1,\"甲\r\n乙\",1234567\r\nC2,丙,abc\r\n";
        let errors = parse(spread.as_bytes(), "a.csv").unwrap_err();
        assert_eq!(errors.iter().map(|e| (e.line, e.code)).collect::<Vec<_>>(), [(5, "bad_phone")]);
    }

    /// Bends bytes: a bit, a byte more or less, a part twice.
    fn bend(bytes: &mut Vec<u8>, hits: &[(usize, u8, u8)]) {
        for (at, byte, how) in hits {
            let at = at % bytes.len().max(1);
            match how % 5 {
                _ if bytes.is_empty() => bytes.push(*byte),
                0 => bytes[at] ^= 1 << (byte & 7),
                1 => bytes.insert(at, *byte),
                2 => {
                    bytes.remove(at);
                }
                3 => bytes[at] = *b"\",\n\r;<>/\0\xff\xe5".get(usize::from(*byte) % 11).unwrap_or(byte),
                _ => {
                    let part = bytes[at..bytes.len().min(at + 1 + usize::from(*byte))].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bent_files_do_no_harm(hits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..12), form in 0..3_u8) {
            let mut book = rust_xlsxwriter::Workbook::new();
            let mut file = match form {
                0 => CSV.as_bytes().to_vec(),
                1 => encoding_rs::GBK.encode(CSV).0.into_owned(),
                _ => {
                    let sheet = book.add_worksheet();
                    for (row, line) in (0..).zip(CSV.lines()) {
                        for (column, cell) in (0..).zip(line.split(',')) {
                            sheet.write(row, column, cell).unwrap();
                        }
                    }
                    book.save_to_buffer().unwrap()
                }
            };
            if form == 2 {
                // Its parts, not its packing, whose checksums would stop it at the door.
                let mut parts = xlsx::unzip(&file);
                let at = hits[0].0 % parts.len();
                bend(&mut parts[at].1, &hits);
                file = xlsx::zip(&parts);
            } else {
                bend(&mut file, &hits);
            }
            if let Ok(rows) = parse(&file, if form == 2 { "a.xlsx" } else { "a.csv" }) {
                let _ = plan(&rows, &[], &mut ids());
            }
        }
    }

    #[test]
    fn errors_are_told_in_both_languages_and_templates_are_taken_again() {
        let text = "客户编码,客户名称,电话,竣工日期\nC1,甲,abc,2025-02-30\n";
        let errors = parse(text.as_bytes(), "a.csv").unwrap_err();
        let told = |code: &str, lang| errors.iter().find(|e| e.code == code).unwrap().told(lang);
        assert_eq!(told("bad_phone", Language::ZhCn), "“abc”不是电话号码");
        assert!(told("bad_date", Language::En).contains("2025-02-30"), "{errors:?}");
        for lang in Language::ALL {
            let head = template(lang).iter().map(|c| c.heading).collect::<Vec<_>>().join(",");
            assert_eq!(parse(head.as_bytes(), "a.csv"), Ok(Vec::new()), "{head}");
        }
    }

    #[test]
    fn headings_must_be_known() {
        let codes =
            |text: &str| parse(text.as_bytes(), "a.csv").unwrap_err().iter().map(|e| e.code).collect::<Vec<_>>();
        assert_eq!(codes("名字,电话\n甲,1\n"), ["unknown_column", "missing_column"]);
        assert_eq!(codes("code,code\n"), ["twice"]);
        assert_eq!(codes(""), ["empty"]);
        assert_eq!(codes("\0\0"), ["not_text"]);
    }

    #[test]
    fn a_machine_of_another_customer_is_refused() {
        let text = "code,name,model,serial\nC1,甲,ZM,S1\nC2,乙,ZM,S1\nC3,,,\n";
        let errors = plan(&parse(text.as_bytes(), "a.csv").unwrap(), &[], &mut ids()).unwrap_err();
        assert_eq!(errors.iter().map(|e| (e.line, e.code)).collect::<Vec<_>>(), [(3, "other_customer"), (4, "empty")]);
    }

    fn workbook() -> Vec<u8> {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        for (i, text) in ["客户编码", "客户名称", "产品型号", "出厂编号", "安装日期"].iter().enumerate()
        {
            sheet.write(0, i as u16, *text).unwrap();
        }
        for (i, text) in ["C001", "三原华丰蛋托厂", "ZM-4000"].iter().enumerate() {
            sheet.write(2, i as u16, *text).unwrap();
        }
        sheet.write(2, 3, 20250001).unwrap();
        let format = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
        let date = rust_xlsxwriter::ExcelDateTime::from_ymd(2025, 3, 1).unwrap();
        sheet.write_datetime_with_format(2, 4, &date, &format).unwrap();
        // A stray cell in the last corner.
        sheet.write(1_048_575, 16_383, " ").unwrap();
        book.save_to_buffer().unwrap()
    }

    #[test]
    fn a_workbook_reads_like_a_text_file() {
        let rows = parse(&workbook(), "a.xlsx").unwrap();
        assert_eq!(rows.len(), 1);
        let machine = rows[0].equipment.clone().unwrap();
        assert_eq!(
            (rows[0].line, machine.serial.as_str(), machine.installed),
            (3, "20250001", Some(Date::constant(2025, 3, 1)))
        );
        assert_eq!(parse(b"not a workbook", "a.xlsx").unwrap_err()[0].code, "bad_xlsx");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn hostile_workbooks_do_no_harm(at in 0usize..4000, bytes in proptest::collection::vec(any::<u8>(), 1..24)) {
            let mut book = workbook();
            for (i, b) in bytes.iter().enumerate() {
                let n = book.len();
                book[(at + i) % n] = *b;
            }
            let _ = parse(&book, "a.xlsx");
            let _ = parse(&bytes, "a.csv");
        }
    }
}
