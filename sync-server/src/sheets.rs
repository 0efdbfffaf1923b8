//! Tables to be opened by a spreadsheet: CSV and XLSX, written row by row, so
//! that a long one takes no more memory than a short one.

use crate::error::{Error, Result};
use onsite_core::domain::{Date, Fen};
use rust_xlsxwriter::{ExcelDateTime, Format as Style, Workbook, XlsxError};
use serde::Deserialize;
use std::io::Write;

/// Rows that fit into a workbook's sheet, its head left out.
pub const MAX_ROWS: u32 = 1_048_575;
/// Characters that fit into a cell.
const MAX_CELL: usize = 32_767;
/// Told to spreadsheets that a CSV is UTF-8.
pub const BOM: &str = "\u{feff}";

/// In which form a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FileForm)]
pub enum Form {
    /// Comma-separated, UTF-8 with its mark.
    #[default]
    Csv,
    /// A workbook.
    Xlsx,
}

impl Form {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }
}

/// What stands in a cell.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
    /// A number with a fraction.
    Real(f64),
    /// Money, shown in yuan.
    Money(Fen),
    /// A day.
    Day(Date),
    /// A moment by the company's clock.
    Time(jiff::civil::DateTime),
    /// Nothing.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text) }
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Fen> for Cell {
    fn from(amount: Fen) -> Self {
        Self::Money(amount)
    }
}

impl From<Date> for Cell {
    fn from(day: Date) -> Self {
        Self::Day(day)
    }
}

impl From<i64> for Cell {
    fn from(n: i64) -> Self {
        Self::Number(n)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let risky = text.trim_start_matches([' ', '\u{3000}']).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    if risky { format!("'{text}") } else { text.to_owned() }
}

impl Cell {
    fn csv(&self) -> String {
        match self {
            Self::Text(text) => harmless(text),
            Self::Number(n) => n.to_string(),
            Self::Real(n) => n.to_string(),
            Self::Money(amount) => amount.to_string(),
            Self::Day(day) => day.to_string(),
            Self::Time(at) => at.strftime("%Y-%m-%d %H:%M").to_string(),
            Self::Empty => String::new(),
        }
    }
}

/// A row as it is in a CSV file.
///
/// # Errors
/// Where it cannot be written.
pub fn csv_row(cells: &[Cell]) -> Result<Vec<u8>> {
    // Spreadsheets want the line end of their old days.
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(Vec::new());
    out.write_record(cells.iter().map(Cell::csv)).map_err(|e| Error::Internal(format!("csv: {e}")))?;
    out.into_inner().map_err(|e| Error::Internal(format!("csv: {e}")))
}

fn book(e: XlsxError) -> Error {
    match e {
        XlsxError::IoError(e) => Error::from(e),
        e => Error::Internal(format!("xlsx: {e}")),
    }
}

/// A workbook of one sheet that is being written; its rows go to a file of their own meanwhile.
pub struct Sheet {
    book: Workbook,
    row: u32,
    head: Style,
    money: Style,
    day: Style,
    time: Style,
}

impl Sheet {
    /// Begins one with its head.
    ///
    /// # Errors
    /// Where there is no room for its rows.
    pub fn new(title: &str, headings: &[String]) -> Result<Self> {
        let mut book_ = Workbook::new();
        let sheet = book_.add_worksheet_with_constant_memory();
        sheet.set_name(sheet_name(title)).map_err(book)?;
        sheet.set_freeze_panes(1, 0).map_err(book)?;
        let mut made = Self {
            book: book_,
            row: 0,
            head: Style::new().set_bold(),
            money: Style::new().set_num_format("#,##0.00"),
            day: Style::new().set_num_format("yyyy-mm-dd"),
            time: Style::new().set_num_format("yyyy-mm-dd hh:mm"),
        };
        let head = made.head.clone();
        let sheet = made.book.worksheet_from_index(0).map_err(book)?;
        for (column, heading) in (0u16..).zip(headings) {
            let wide = heading.chars().map(|c| if c.is_ascii() { 1.0 } else { 2.0 }).sum::<f64>();
            sheet.set_column_width(column, (wide + 3.0).clamp(10.0, 30.0)).map_err(book)?;
        }
        for (column, heading) in (0u16..).zip(headings) {
            sheet.write_string_with_format(0, column, heading, &head).map_err(book)?;
        }
        made.row = 1;
        Ok(made)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// `too_many_rows` where a sheet holds no more.
    pub fn add(&mut self, cells: &[Cell]) -> Result<()> {
        if self.row > MAX_ROWS {
            return Err(Error::Conflict { code: "too_many_rows", detail: format!("a sheet holds {MAX_ROWS} rows") });
        }
        let row = self.row;
        let sheet = self.book.worksheet_from_index(0).map_err(book)?;
        for (column, cell) in (0u16..).zip(cells) {
            let written = match cell {
                // As a string: never a formula, a link or a number.
                Cell::Text(text) => match text.char_indices().nth(MAX_CELL) {
                    Some((end, _)) => sheet.write_string(row, column, &text[..end]),
                    None => sheet.write_string(row, column, text),
                },
                Cell::Number(n) => sheet.write_number(row, column, *n as f64),
                Cell::Real(n) => sheet.write_number(row, column, *n),
                Cell::Money(amount) => {
                    sheet.write_number_with_format(row, column, amount.0 as f64 / 100.0, &self.money)
                }
                Cell::Day(day) => match excel(day.at(0, 0, 0, 0)) {
                    Some(at) => sheet.write_datetime_with_format(row, column, &at, &self.day),
                    None => sheet.write_string(row, column, day.to_string()),
                },
                Cell::Time(time) => match excel(*time) {
                    Some(at) => sheet.write_datetime_with_format(row, column, &at, &self.time),
                    None => sheet.write_string(row, column, cell.csv()),
                },
                Cell::Empty => continue,
            };
            written.map_err(book)?;
        }
        self.row += 1;
        Ok(())
    }

    /// Another sheet behind it, of words.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn explain(&mut self, title: &str, rows: &[[&str; 2]]) -> Result<()> {
        let sheet = self.book.add_worksheet_with_constant_memory();
        sheet.set_name(sheet_name(title)).map_err(book)?;
        sheet.set_column_width(0, 24).map_err(book)?;
        sheet.set_column_width(1, 80).map_err(book)?;
        for (row, cells) in (0u32..).zip(rows) {
            for (column, text) in (0u16..).zip(cells) {
                sheet.write_string(row, column, *text).map_err(book)?;
            }
        }
        Ok(())
    }

    /// Writes the workbook.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(mut self, to: &mut (impl Write + std::io::Seek + Send)) -> Result<()> {
        self.book.save_to_writer(to).map_err(book)
    }
}

/// A moment as spreadsheets count; they know no year before 1900.
fn excel(at: jiff::civil::DateTime) -> Option<ExcelDateTime> {
    let (year, month) = (u16::try_from(at.year()).ok()?, u8::try_from(at.month()).ok()?);
    let day = ExcelDateTime::from_ymd(year, month, u8::try_from(at.day()).ok()?).ok()?;
    day.and_hms(u16::try_from(at.hour()).ok()?, u8::try_from(at.minute()).ok()?, f64::from(at.second())).ok()
}

/// A sheet's name: at most 31 characters, some of which it may not have.
fn sheet_name(title: &str) -> String {
    let plain: String = title.chars().map(|c| if "[]:*?/\\'".contains(c) { ' ' } else { c }).take(31).collect();
    if plain.trim().is_empty() { "Onsite".into() } else { plain }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn no_cell_becomes_a_formula() {
        let cells = ["=1+1", "+86 29", "-2", "@a", "\t=1", " =HYPERLINK(\"x\")", "＝1", "plain", "a\"b,c\nd"];
        let row = csv_row(&cells.map(Cell::from)).unwrap();
        let text = String::from_utf8(row).unwrap();
        assert_eq!(text, "'=1+1,'+86 29,'-2,'@a,'\t=1,\"' =HYPERLINK(\"\"x\"\")\",'＝1,plain,\"a\"\"b,c\nd\"\r\n");
        assert_eq!(csv_row(&[Cell::Number(-2), Cell::Money(Fen(-150)), Cell::Empty]).unwrap(), b"-2,-1.50,\r\n");
    }

    #[test]
    fn a_workbook_holds_what_was_written() {
        use calamine::{Data, Reader as _};
        let headings = ["名称".to_owned(), "金额".to_owned(), "日期".to_owned()];
        let mut sheet = Sheet::new("客户/设备", &headings).unwrap();
        let day = Date::constant(2026, 3, 1);
        sheet.add(&[Cell::from("=1+1"), Fen(12_345).into(), day.into()]).unwrap();
        sheet.add(&[Cell::Text("长".repeat(40_000)), Cell::Empty, Cell::Time(day.at(8, 30, 0, 0))]).unwrap();
        sheet.explain("说明", &[["名称", "必填"]]).unwrap();
        let mut out = std::io::Cursor::new(Vec::new());
        sheet.finish(&mut out).unwrap();
        let mut book = calamine::Xlsx::new(std::io::Cursor::new(out.into_inner())).unwrap();
        assert_eq!(book.sheet_names(), ["客户 设备", "说明"]);
        let cells = book.worksheet_range("客户 设备").unwrap();
        assert_eq!(cells.get_value((0, 1)), Some(&Data::String("金额".into())));
        assert_eq!(cells.get_value((1, 0)), Some(&Data::String("=1+1".into())));
        assert_eq!(cells.get_value((1, 1)), Some(&Data::Float(123.45)));
        assert!(book.worksheet_formula("客户 设备").unwrap().is_empty());
        let Some(Data::DateTime(at)) = cells.get_value((2, 2)) else { panic!("{:?}", cells.get_value((2, 2))) };
        assert_eq!(at.to_ymd_hms_milli(), (2026, 3, 1, 8, 30, 0, 0));
    }
}
