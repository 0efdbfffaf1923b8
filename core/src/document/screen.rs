//! The gate's first steps: foreign bytes are measured before Automerge sees them.
//!
//! Automerge trusts run lengths: 104 bytes can say "a million operations", a
//! deflated megabyte can hold three gigabytes. Here the bytes are inflated with a
//! cap and their columns are walked run by run, allocating nothing, so that what
//! is passed on costs no more than [`MAX_OPS`] honest operations. The format is
//! Automerge's storage format, <https://automerge.org/automerge-binary-format-spec/>.

use super::{Actor, Header, person};
use crate::domain::{ChangeHash, Millis};
use crate::error::{Error, Result};
use flate2::bufread::DeflateDecoder;
use sha2::{Digest, Sha256};
use std::io::Read;

/// Largest change as sent, in bytes.
pub const MAX_CHANGE_BYTES: usize = 1 << 20;
/// Largest change inflated, in bytes.
pub const MAX_INFLATED: usize = 4 << 20;
/// Most operations of a change.
pub const MAX_OPS: u64 = 20_000;
/// Most parents of a change.
pub const MAX_DEPS: usize = 64;
/// Most other actors a change may refer to.
pub const MAX_ACTORS: u64 = 4_096;
/// Longest message of a change, in bytes.
pub const MAX_MESSAGE: usize = 200;
/// Highest operation counter: half of what Automerge can count, so that nobody drives a document to the end.
pub const MAX_COUNTER: u64 = 1 << 31;
/// Latest time of a change, in milliseconds since the epoch: the year 2248.
pub const MAX_TIME: i64 = 1 << 43;
/// Largest snapshot as sent, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;
/// Largest snapshot inflated, in bytes.
pub const MAX_DOCUMENT_INFLATED: usize = 64 << 20;
/// Most operations of a snapshot.
pub const MAX_DOCUMENT_OPS: u64 = 300_000;
/// Most changes of a snapshot.
pub const MAX_DOCUMENT_CHANGES: u64 = 50_000;
/// Most fields of a document, those of newer versions too: more than its largest content has.
pub const MAX_DOCUMENT_FIELDS: usize = 50_000;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const DOCUMENT: u8 = 0;
const CHANGE: u8 = 1;
const DEFLATED: u8 = 2;

fn bad<T>(code: &'static str, detail: impl Into<String>) -> Result<T> {
    Err(Error::BadChange { code, detail: detail.into() })
}

fn malformed<T>(detail: &str) -> Result<T> {
    bad("malformed", detail)
}

/// Screens a change: its form, its size, its operations; reads its header
/// without Automerge.
///
/// # Errors
/// `BadChange` with code `too_large`, `not_a_change`, `checksum`, `malformed`, `bad_actor`,
/// `no_deps`, `too_many_deps`, `bad_message`, `bad_time`, `bad_start_op`, `bad_seq`, `unknown_columns`,
/// `too_many_ops`, `no_ops` or `trailing_bytes`.
pub fn screen(bytes: &[u8]) -> Result<Header> {
    if bytes.len() > MAX_CHANGE_BYTES {
        return bad("too_large", format!("{} bytes, at most {MAX_CHANGE_BYTES}", bytes.len()));
    }
    let (chunk, rest) = Chunk::read(bytes)?;
    if !rest.is_empty() {
        return bad("trailing_bytes", format!("{} bytes after the change", rest.len()));
    }
    match chunk.kind {
        CHANGE => screen_body(chunk.data, chunk.checksum),
        DEFLATED => {
            let mut body = Vec::new();
            inflate(chunk.data, MAX_INFLATED, &mut body)?;
            screen_body(&body, chunk.checksum)
        }
        other => bad("not_a_change", format!("chunk of type {other}")),
    }
}

fn screen_body(body: &[u8], checksum: [u8; 4]) -> Result<Header> {
    let hash = hash(CHANGE, body);
    if hash[..4] != checksum {
        return bad("checksum", "the checksum does not fit");
    }
    let mut r = Bytes(body);
    let n = r.uleb()?;
    if n == 0 {
        return bad("no_deps", "only the genesis, which is never sent, has no parent");
    }
    if n > MAX_DEPS as u64 {
        return bad("too_many_deps", format!("{n} parents, at most {MAX_DEPS}"));
    }
    let mut deps = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let mut dep = [0; 32];
        dep.copy_from_slice(r.take(32)?);
        deps.push(ChangeHash(dep));
    }
    if !deps.is_sorted_by(|a, b| a < b) {
        return malformed("parents out of order");
    }
    let actor = r.actor()?;
    let seq = r.uleb()?;
    if seq == 0 || seq > MAX_COUNTER {
        return bad("bad_seq", format!("number {seq}"));
    }
    let start_op = r.uleb()?;
    if start_op == 0 || start_op > MAX_COUNTER {
        return bad("bad_start_op", format!("starts at operation {start_op}"));
    }
    let at = r.leb()?;
    if !(0..=MAX_TIME).contains(&at) {
        return bad("bad_time", format!("time {at}"));
    }
    let len = r.uleb()?;
    if len > MAX_MESSAGE as u64 {
        return bad("bad_message", format!("a message of {len} bytes, at most {MAX_MESSAGE}"));
    }
    let Ok(message) = std::str::from_utf8(r.take(len as usize)?) else {
        return bad("bad_message", "the message is not UTF-8");
    };
    let by = person(message);
    let others = r.uleb()?;
    if others > MAX_ACTORS {
        return bad("bad_actor", format!("{others} other actors, at most {MAX_ACTORS}"));
    }
    let mut last: Option<&[u8]> = None;
    for _ in 0..others {
        let other = r.actor()?;
        if last.is_some_and(|l| l >= other) || other == actor {
            return malformed("other actors out of order");
        }
        last = Some(other);
    }
    let columns = Columns::read(&mut r, CHANGE_OPS)?;
    let ops = columns.screen(&mut r, others + 1, MAX_OPS)?;
    if !r.0.is_empty() {
        return bad("trailing_bytes", format!("{} bytes after the columns", r.0.len()));
    }
    if ops == 0 {
        return bad("no_ops", "a change without operations");
    }
    if start_op + ops > MAX_COUNTER {
        return bad("bad_start_op", format!("starts at operation {start_op}"));
    }
    Ok(Header { hash: ChangeHash(hash), actor: actor.to_vec(), seq, deps, start_op, ops, at: Millis(at), by })
}

/// Screens a snapshot that a server sent: size, inflated size, and how many
/// changes and operations its columns say they hold.
///
/// # Errors
/// `BadChange` with code `too_large`, `not_a_document`, `checksum`, `malformed`, `bad_actor`,
/// `unknown_columns`, `too_many_ops` or `trailing_bytes`.
pub fn screen_document(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return bad("too_large", format!("{} bytes, at most {MAX_DOCUMENT_BYTES}", bytes.len()));
    }
    let (chunk, rest) = Chunk::read(bytes)?;
    if chunk.kind != DOCUMENT {
        return bad("not_a_document", format!("chunk of type {}", chunk.kind));
    }
    if !rest.is_empty() {
        return bad("trailing_bytes", format!("{} bytes after the document", rest.len()));
    }
    if hash(DOCUMENT, chunk.data)[..4] != chunk.checksum {
        return bad("checksum", "the checksum does not fit");
    }
    let mut r = Bytes(chunk.data);
    let actors = r.uleb()?;
    for _ in 0..actors {
        r.actor()?;
    }
    let heads = r.uleb()?;
    for _ in 0..heads {
        r.take(32)?;
    }
    let changes = Columns::read(&mut r, DOCUMENT_CHANGES)?;
    let ops = Columns::read(&mut r, DOCUMENT_OPS)?;
    let mut left = MAX_DOCUMENT_INFLATED;
    changes.screen_deflated(&mut r, actors, MAX_DOCUMENT_CHANGES, &mut left)?;
    ops.screen_deflated(&mut r, actors, MAX_DOCUMENT_OPS, &mut left)?;
    for _ in 0..heads {
        if !r.0.is_empty() {
            r.uleb()?;
        }
    }
    if !r.0.is_empty() {
        return bad("trailing_bytes", format!("{} bytes after the columns", r.0.len()));
    }
    Ok(())
}

/// The chunks that stand one after another in `bytes`.
pub fn chunks(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8]>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut rest);
        Some(Chunk::read(whole).map(|(_, after)| {
            rest = after;
            &whole[..whole.len() - after.len()]
        }))
    })
}

struct Chunk<'a> {
    kind: u8,
    checksum: [u8; 4],
    data: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut r = Bytes(bytes);
        if r.take(4)? != MAGIC {
            return malformed("no Automerge chunk");
        }
        let mut checksum = [0; 4];
        checksum.copy_from_slice(r.take(4)?);
        let kind = r.take(1)?[0];
        let len = r.uleb()?;
        let data = r.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok((Self { kind, checksum, data }, r.0))
    }
}

fn hash(kind: u8, data: &[u8]) -> [u8; 32] {
    let mut head = [0_u8; 11];
    head[0] = kind;
    let (mut n, mut len) = (1, data.len() as u64);
    loop {
        head[n] = (len & 0x7f) as u8 | if len > 0x7f { 0x80 } else { 0 };
        n += 1;
        len >>= 7;
        if len == 0 {
            break;
        }
    }
    Sha256::new().chain_update(&head[..n]).chain_update(data).finalize().into()
}

/// Inflates at most `cap` bytes, all of `data`.
fn inflate(data: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut decoder = DeflateDecoder::new(data);
    let before = out.len();
    match decoder.by_ref().take(cap as u64 + 1).read_to_end(out) {
        Err(_) => return malformed("cannot be inflated"),
        Ok(n) if n > cap => return bad("too_large", format!("more than {cap} bytes inflated")),
        Ok(_) => {}
    }
    if decoder.total_in() != data.len() as u64 || out.len() == before {
        return malformed("bytes after the deflated data");
    }
    Ok(())
}

/// Reads from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(n) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => malformed("ends too early"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned LEB128 in its shortest form.
    fn uleb(&mut self) -> Result<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return malformed("number too large");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if shift > 0 && byte == 0 { malformed("number too long") } else { Ok(value) };
            }
            shift += 7;
        }
    }

    /// A signed LEB128 in its shortest form.
    fn leb(&mut self) -> Result<i64> {
        let (mut value, mut shift, mut last) = (0_i64, 0, 0_u8);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return malformed("number too large");
            }
            value |= i64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                if shift > 7 && ((byte == 0 && last & 0x40 == 0) || (byte == 0x7f && last & 0x40 != 0)) {
                    return malformed("number too long");
                }
                if shift < 64 && byte & 0x40 != 0 {
                    value |= -1 << shift;
                }
                return Ok(value);
            }
            last = byte;
        }
    }

    fn actor(&mut self) -> Result<&'a [u8]> {
        match self.uleb()? {
            n if n == Actor::LEN as u64 => self.take(Actor::LEN),
            n => bad("bad_actor", format!("an actor of {n} bytes, not {}", Actor::LEN)),
        }
    }
}

/// What a column holds, and so how it is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Indices of actors.
    Actor,
    /// Counters.
    Integer,
    /// Actions of operations: one for each row, never null.
    Action,
    /// Counters as differences.
    Delta,
    /// Times as differences: any value.
    Time,
    /// Strings.
    Text,
    /// Runs of false and true.
    Boolean,
    /// Types and lengths of the raw values that follow.
    Meta,
    /// Raw values.
    Raw,
    /// How many entries of the following columns belong to each row.
    Group,
}

/// A column known here: its specification, its form, whether its rows are
/// entries of the group before it.
type Known = (u64, Form, bool);

/// Operations of a change. Marks (148, 165) are written by no version of ours and are refused.
const CHANGE_OPS: &[Known] = &[
    (1, Form::Actor, false),
    (2, Form::Integer, false),
    (17, Form::Actor, false),
    (19, Form::Delta, false),
    (21, Form::Text, false),
    (52, Form::Boolean, false),
    (66, Form::Action, false),
    (86, Form::Meta, false),
    (87, Form::Raw, false),
    (112, Form::Group, false),
    (113, Form::Actor, true),
    (115, Form::Delta, true),
];

/// Operations of a document.
const DOCUMENT_OPS: &[Known] = &[
    (1, Form::Actor, false),
    (2, Form::Integer, false),
    (17, Form::Actor, false),
    (19, Form::Delta, false),
    (21, Form::Text, false),
    (33, Form::Actor, false),
    (35, Form::Delta, false),
    (52, Form::Boolean, false),
    (66, Form::Action, false),
    (86, Form::Meta, false),
    (87, Form::Raw, false),
    (128, Form::Group, false),
    (129, Form::Actor, true),
    (131, Form::Delta, true),
];

/// Changes of a document.
const DOCUMENT_CHANGES: &[Known] = &[
    (1, Form::Actor, false),
    (3, Form::Delta, false),
    (19, Form::Delta, false),
    (35, Form::Time, false),
    (53, Form::Text, false),
    (64, Form::Group, false),
    (67, Form::Delta, true),
    (86, Form::Meta, false),
    (87, Form::Raw, false),
];

const DEFLATE_BIT: u64 = 8;
/// Highest action: 0 map, 1 put, 2 list, 3 delete, 4 text, 5 increment.
const MAX_ACTION: u64 = 5;
/// Entries of a group (values overwritten, parents) for each row, on average.
const MAX_GROUPED: u64 = 4;

/// The columns present, in order: known column, length, deflated.
struct Columns {
    present: [(Known, usize, bool); 16],
    len: usize,
}

impl Columns {
    fn read(r: &mut Bytes<'_>, known: &'static [Known]) -> Result<Self> {
        let n = r.uleb()?;
        if n > known.len() as u64 {
            return bad("unknown_columns", format!("{n} columns, at most {}", known.len()));
        }
        let mut out = Self { present: [((0, Form::Raw, false), 0, false); 16], len: n as usize };
        let mut next = 0;
        for slot in &mut out.present[..n as usize] {
            let spec = r.uleb()?;
            let len = usize::try_from(r.uleb()?).unwrap_or(usize::MAX);
            // In order and each once, so looking on from the last is enough.
            let Some(i) = known[next..].iter().position(|(s, ..)| *s == spec & !DEFLATE_BIT) else {
                return bad("unknown_columns", format!("column {spec}"));
            };
            next += i + 1;
            *slot = (known[next - 1], len, spec & DEFLATE_BIT != 0);
        }
        Ok(out)
    }

    /// Walks the columns of a change, none of which may be deflated; its rows.
    fn screen(&self, r: &mut Bytes<'_>, actors: u64, max: u64) -> Result<u64> {
        let mut count = Count::new(actors, max);
        for (column, len, deflated) in &self.present[..self.len] {
            if *deflated {
                return malformed("a deflated column in a change");
            }
            count.column(*column, r.take(*len)?)?;
        }
        count.rows()
    }

    /// Walks the columns of a document, inflating at most `left` bytes.
    fn screen_deflated(&self, r: &mut Bytes<'_>, actors: u64, max: u64, left: &mut usize) -> Result<u64> {
        let mut count = Count::new(actors, max);
        let mut buffer = Vec::new();
        for (column, len, deflated) in &self.present[..self.len] {
            let mut data = r.take(*len)?;
            if *deflated {
                buffer.clear();
                inflate(data, *left, &mut buffer)?;
                data = &buffer;
            }
            *left = match left.checked_sub(data.len()) {
                Some(left) => left,
                None => return bad("too_large", "more bytes inflated than a document may have"),
            };
            count.column(*column, data)?;
        }
        count.rows()
    }
}

/// Counts rows column by column; a column is empty or has all rows.
struct Count {
    actors: u64,
    max: u64,
    rows: Option<u64>,
    grouped: Option<u64>,
    raw: u64,
}

impl Count {
    fn new(actors: u64, max: u64) -> Self {
        Self { actors, max, rows: None, grouped: None, raw: 0 }
    }

    fn rows(self) -> Result<u64> {
        if self.raw != 0 {
            return malformed("values are missing");
        }
        if self.grouped.is_some_and(|n| n > 0) {
            return malformed("entries of a group are missing");
        }
        Ok(self.rows.unwrap_or_default())
    }

    fn column(&mut self, (_, form, in_group): Known, data: &[u8]) -> Result<()> {
        if form == Form::Raw {
            return match std::mem::take(&mut self.raw) {
                n if n == data.len() as u64 => Ok(()),
                _ => malformed("values of another length"),
            };
        }
        if data.is_empty() {
            return Ok(());
        }
        let max = if in_group { MAX_GROUPED * self.max } else { self.max };
        let rows = if form == Form::Boolean { booleans(data, max)? } else { self.runs(form, data, max)? };
        if in_group {
            // Several columns may share the group: actor and counter.
            return match self.grouped {
                Some(n) if n == rows => {
                    if form == Form::Delta {
                        self.grouped = None;
                    }
                    Ok(())
                }
                _ => malformed("entries of a group do not fit"),
            };
        }
        match self.rows {
            None => self.rows = Some(rows),
            Some(n) if n == rows => {}
            Some(_) => return malformed("columns of different lengths"),
        }
        Ok(())
    }

    /// Walks runs: `n value` (n times), `-n value…` (n values), `0 n` (n nulls).
    fn runs(&mut self, form: Form, data: &[u8], max: u64) -> Result<u64> {
        let mut r = Bytes(data);
        let (mut rows, mut sum, mut grouped, mut raw) = (0_u64, 0_i64, 0_u64, 0_u64);
        let add = |rows: &mut u64, n: u64| -> Result<()> {
            *rows = rows.saturating_add(n);
            if *rows > max { bad("too_many_ops", format!("more than {max} entries")) } else { Ok(()) }
        };
        while !r.0.is_empty() {
            let n = r.leb()?;
            if n == 0 {
                let nulls = r.uleb()?;
                if nulls == 0 {
                    return malformed("an empty run");
                }
                if matches!(form, Form::Action | Form::Meta | Form::Group) {
                    return malformed("a null where none may be");
                }
                add(&mut rows, nulls)?;
                continue;
            }
            let (values, times) = if n > 0 { (1, n as u64) } else { (n.unsigned_abs(), 1) };
            add(&mut rows, values.saturating_mul(times))?;
            for _ in 0..values {
                match form {
                    Form::Text => {
                        let len = usize::try_from(r.uleb()?).unwrap_or(usize::MAX);
                        if std::str::from_utf8(r.take(len)?).is_err() {
                            return malformed("a key that is not UTF-8");
                        }
                    }
                    Form::Actor if r.uleb()? >= self.actors => return malformed("an actor that is not listed"),
                    Form::Integer if r.uleb()? > MAX_COUNTER => return bad("bad_start_op", "a counter too large"),
                    Form::Action if r.uleb()? > MAX_ACTION => return malformed("an unknown action"),
                    Form::Actor | Form::Integer | Form::Action => {}
                    Form::Delta | Form::Time => {
                        let end = r.leb()?.checked_mul(times as i64).and_then(|d| sum.checked_add(d));
                        let Some(end) = end else { return malformed("a difference too large") };
                        sum = end;
                        // Within a run the sum moves one way, so its ends bound it.
                        if form == Form::Delta && !(0..=MAX_COUNTER as i64).contains(&sum) {
                            return bad("bad_start_op", "a counter too large");
                        }
                    }
                    Form::Meta => raw = raw.saturating_add((r.uleb()? >> 4).saturating_mul(times)),
                    Form::Group => {
                        grouped = grouped.saturating_add(r.uleb()?.saturating_mul(times));
                        if grouped > MAX_GROUPED * max {
                            return bad("too_many_ops", format!("more than {} entries", MAX_GROUPED * max));
                        }
                    }
                    Form::Boolean | Form::Raw => return malformed("no such runs"),
                }
            }
        }
        match form {
            Form::Meta => self.raw = raw,
            Form::Group => self.grouped = Some(grouped),
            _ => {}
        }
        Ok(rows)
    }
}

/// Walks alternating run lengths.
fn booleans(data: &[u8], max: u64) -> Result<u64> {
    let mut r = Bytes(data);
    let mut rows = 0_u64;
    while !r.0.is_empty() {
        rows = rows.saturating_add(r.uleb()?);
        if rows > max {
            return bad("too_many_ops", format!("more than {max} entries"));
        }
    }
    Ok(rows)
}
