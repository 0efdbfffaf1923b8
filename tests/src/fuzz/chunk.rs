//! Changes taken apart, bent, and put together again with a right checksum.

use rand::{Rng, RngExt, seq::IndexedRandom};
use sha2::{Digest, Sha256};
use std::io::Read as _;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// A chunk of this kind, checksum and length right.
pub(super) fn seal(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut tail = vec![kind];
    uleb(&mut tail, body.len() as u64);
    tail.extend(body);
    // A deflated change has the checksum of what it inflates to.
    let checksum = match kind {
        2 => {
            let mut plain = Vec::new();
            let _ = flate2::read::DeflateDecoder::new(body).take(8 << 20).read_to_end(&mut plain);
            let mut whole = vec![1];
            uleb(&mut whole, plain.len() as u64);
            whole.extend(plain);
            Sha256::digest(&whole)
        }
        _ => Sha256::digest(&tail),
    };
    [&MAGIC, &checksum[..4], &tail].concat()
}

/// Kind and body of a chunk, whatever its checksum says.
pub(super) fn open(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(&MAGIC)?.get(4..)?;
    let (kind, mut rest) = rest.split_first()?;
    take_uleb(&mut rest)?;
    Some((*kind, rest))
}

/// The hash that a plain change's bytes give it.
pub(super) fn name(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes.get(8..).unwrap_or_default()).into()
}

pub(super) fn uleb(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn leb(out: &mut Vec<u8>, mut n: i64) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if (n == 0 && byte & 0x40 == 0) || (n == -1 && byte & 0x40 != 0) {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

pub(super) fn take_uleb(rest: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if shift < 64 {
            value |= u64::from(byte & 0x7f) << shift;
        }
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

fn take_leb(rest: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0_i64, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if shift < 64 {
            value |= i64::from(byte & 0x7f) << shift;
        }
        shift += 7;
        if byte & 0x80 == 0 {
            if shift < 64 && byte & 0x40 != 0 {
                value |= -1 << shift;
            }
            return Some(value);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(n).ok()?)?;
    *rest = after;
    Some(taken)
}

/// A change's body in its parts.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) deps: Vec<[u8; 32]>,
    pub(super) actor: Vec<u8>,
    pub(super) seq: u64,
    pub(super) start: u64,
    pub(super) time: i64,
    pub(super) message: Vec<u8>,
    pub(super) others: Vec<Vec<u8>>,
    pub(super) columns: Vec<(u64, Vec<u8>)>,
    pub(super) rest: Vec<u8>,
}

impl Parts {
    pub(super) fn of(mut b: &[u8]) -> Option<Self> {
        let r = &mut b;
        let n = take_uleb(r)?;
        let deps = (0..n).map(|_| take(r, 32)?.try_into().ok()).collect::<Option<_>>()?;
        let n = take_uleb(r)?;
        let actor = take(r, n)?.to_vec();
        let (seq, start, time) = (take_uleb(r)?, take_uleb(r)?, take_leb(r)?);
        let n = take_uleb(r)?;
        let message = take(r, n)?.to_vec();
        let n = take_uleb(r)?;
        let mut others = Vec::new();
        for _ in 0..n {
            let len = take_uleb(r)?;
            others.push(take(r, len)?.to_vec());
        }
        let n = take_uleb(r)?;
        let mut heads = Vec::new();
        for _ in 0..n {
            heads.push((take_uleb(r)?, take_uleb(r)?));
        }
        let mut columns = Vec::new();
        for (spec, len) in heads {
            columns.push((spec, take(r, len)?.to_vec()));
        }
        Some(Self { deps, actor, seq, start, time, message, others, columns, rest: r.to_vec() })
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        uleb(&mut out, self.deps.len() as u64);
        out.extend(self.deps.iter().flatten());
        uleb(&mut out, self.actor.len() as u64);
        out.extend(&self.actor);
        uleb(&mut out, self.seq);
        uleb(&mut out, self.start);
        leb(&mut out, self.time);
        uleb(&mut out, self.message.len() as u64);
        out.extend(&self.message);
        uleb(&mut out, self.others.len() as u64);
        for other in &self.others {
            uleb(&mut out, other.len() as u64);
            out.extend(other);
        }
        uleb(&mut out, self.columns.len() as u64);
        for (spec, data) in &self.columns {
            uleb(&mut out, *spec);
            uleb(&mut out, data.len() as u64);
        }
        out.extend(self.columns.iter().flat_map(|(_, data)| data));
        out.extend(&self.rest);
        out
    }

    /// Bends one part. `donor`: another change, to take parts from.
    pub(super) fn bend(&mut self, rng: &mut impl Rng, donor: &Parts) {
        match rng.random_range(0..40_u32) {
            0 => self.seq = near(rng, self.seq),
            1 => self.start = near(rng, self.start),
            2 => self.time = rng.random(),
            3 => bytes(rng, &mut self.message),
            4 => self.deps = donor.deps.clone(),
            5 => (self.actor, self.seq) = (donor.actor.clone(), donor.seq),
            6 => self.others = donor.others.clone(),
            7 => {
                self.others.push((0..24).map(|_| rng.random()).collect());
                self.others.sort();
            }
            8 => bytes(rng, &mut self.rest),
            9 => {
                if let Some(at) = pick(rng, self.columns.len()) {
                    self.columns.remove(at);
                }
            }
            10 => {
                if let Some(theirs) = donor.columns.choose(rng) {
                    self.columns.retain(|(spec, _)| *spec != theirs.0);
                    self.columns.push(theirs.clone());
                    self.columns.sort_by_key(|(spec, _)| *spec);
                }
            }
            11 => {
                if let Some(at) = pick(rng, self.columns.len()) {
                    self.columns[at].0 = near(rng, self.columns[at].0);
                }
            }
            12 => {
                let (a, b) = (pick(rng, self.columns.len()), pick(rng, self.columns.len()));
                if let (Some(a), Some(b)) = (a, b) {
                    let data = self.columns[b].1.clone();
                    self.columns[a].1 = data;
                }
            }
            13..20 => {
                if let Some(at) = pick(rng, self.columns.len()) {
                    bytes(rng, &mut self.columns[at].1);
                }
            }
            // A number of a column, which keeps its runs whole.
            _ => {
                if let Some(at) = pick(rng, self.columns.len()) {
                    numbers(rng, &mut self.columns[at].1);
                }
            }
        }
    }
}

fn pick(rng: &mut impl Rng, len: usize) -> Option<usize> {
    (len > 0).then(|| rng.random_range(0..len))
}

const NUMBERS: [i64; 20] =
    [0, 1, 2, 3, 5, 6, 7, 15, 63, 64, 127, 128, 255, 4096, 20_000, 20_001, 1 << 31, (1 << 32) - 2, i64::MAX, -1];

fn near(rng: &mut impl Rng, n: u64) -> u64 {
    match rng.random_range(0..4_u32) {
        0 => n.wrapping_add(1),
        1 => n.wrapping_sub(1),
        2 => n.wrapping_add(rng.random_range(0..16)),
        _ => *NUMBERS.choose(rng).unwrap_or(&0) as u64,
    }
}

/// Bends bytes.
pub(super) fn bytes(rng: &mut impl Rng, data: &mut Vec<u8>) {
    let Some(at) = pick(rng, data.len()) else {
        data.push(rng.random());
        return;
    };
    match rng.random_range(0..6_u32) {
        0 => data[at] ^= 1 << rng.random_range(0..8_u32),
        1 => data[at] = rng.random(),
        2 => data.insert(at, rng.random()),
        3 => {
            data.remove(at);
        }
        4 => data.truncate(at),
        _ => {
            let to = rng.random_range(at..data.len()) + 1;
            let part = data[at..to].to_vec();
            data.splice(at..at, part);
        }
    }
}

/// Reads as many numbers as there are, changes one, writes them again.
fn numbers(rng: &mut impl Rng, data: &mut Vec<u8>) {
    let (mut rest, mut all) = (data.as_slice(), Vec::new());
    while let Some(n) = take_leb(&mut rest) {
        all.push(n);
    }
    let Some(at) = pick(rng, all.len()) else { return };
    match rng.random_range(0..5_u32) {
        0 => all[at] = all[at].wrapping_add(1),
        1 => all[at] = all[at].wrapping_sub(1),
        2 => all[at] = all[at].wrapping_neg(),
        3 => {
            let n = all[at];
            all.insert(at, n);
        }
        _ => all[at] = *NUMBERS.choose(rng).unwrap_or(&0),
    }
    data.clear();
    for n in all {
        leb(data, n);
    }
}

// ---- operations written freely ----

/// One operation; actors by their index in the change.
#[derive(Clone, Debug)]
pub(super) struct Op {
    /// `None`: the root.
    pub(super) obj: Option<(u64, u64)>,
    pub(super) key: Key,
    pub(super) insert: bool,
    pub(super) action: u64,
    pub(super) meta: u64,
    pub(super) raw: Vec<u8>,
    pub(super) pred: Vec<(u64, u64)>,
}

impl Op {
    /// Makes it one of a flat map of values and texts; what it refers to stays as odd as it is.
    pub(super) fn straighten(&mut self, rng: &mut impl Rng) {
        match (&self.obj, &mut self.key) {
            (None, Key::Map(_)) => {
                self.insert = false;
                if matches!(self.action, 0 | 2) {
                    self.action = 4;
                }
            }
            (None, key) => {
                *key = Key::Map("remarks".into());
                (self.insert, self.action) = (false, 1);
            }
            (Some(_), key) => {
                if matches!(key, Key::Map(_)) {
                    *key = Key::Head;
                }
                self.insert = rng.random_range(0..3_u32) > 0 || matches!(self.key, Key::Head);
                self.action = if self.insert { 1 } else { 3 };
                if self.insert {
                    (self.meta, self.raw, self.pred) = (16 | 6, vec![b'z'], Vec::new());
                }
            }
        }
        match self.action {
            3 | 4 => (self.meta, self.raw) = (0, Vec::new()),
            5 => (self.meta, self.raw) = (16 | 4, vec![1]),
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Key {
    Map(String),
    Head,
    Elem(u64, u64),
}

/// The columns of these operations, as Automerge itself would write them.
pub(super) fn columns(ops: &[Op]) -> Vec<(u64, Vec<u8>)> {
    let each = |f: &dyn Fn(&Op) -> Option<i64>| ops.iter().map(f).collect::<Vec<_>>();
    let unsigned = |out: &mut Vec<u8>, n: &i64| uleb(out, *n as u64);
    let signed = |out: &mut Vec<u8>, n: &i64| leb(out, *n);
    let text = |out: &mut Vec<u8>, s: &String| {
        uleb(out, s.len() as u64);
        out.extend(s.as_bytes());
    };
    let delta = |values: Vec<Option<i64>>| {
        let mut last = 0;
        let step = |v: Option<i64>| {
            v.map(|v| {
                let d = v.wrapping_sub(last);
                last = v;
                d
            })
        };
        values.into_iter().map(step).collect::<Vec<_>>()
    };
    let keys: Vec<_> = ops
        .iter()
        .map(|o| match &o.key {
            Key::Map(s) => Some(s.clone()),
            _ => None,
        })
        .collect();
    let preds: Vec<_> = ops.iter().flat_map(|o| &o.pred).collect();
    let mut insert = Vec::new();
    let (mut now, mut run) = (false, 0);
    for op in ops {
        if op.insert != now {
            uleb(&mut insert, run);
            (now, run) = (op.insert, 0);
        }
        run += 1;
    }
    uleb(&mut insert, run);
    let all = vec![
        (1, rle(&each(&|o| o.obj.map(|x| x.1 as i64)), unsigned)),
        (2, rle(&each(&|o| o.obj.map(|x| x.0 as i64)), unsigned)),
        (17, rle(&each(&|o| if let Key::Elem(_, a) = o.key { Some(a as i64) } else { None }), unsigned)),
        (
            19,
            rle(
                &delta(each(&|o| match o.key {
                    Key::Elem(c, _) => Some(c as i64),
                    Key::Head => Some(0),
                    Key::Map(_) => None,
                })),
                signed,
            ),
        ),
        (21, rle(&keys, text)),
        (52, insert),
        (66, rle(&each(&|o| Some(o.action as i64)), unsigned)),
        (86, rle(&each(&|o| Some(o.meta as i64)), unsigned)),
        (87, ops.iter().flat_map(|o| o.raw.clone()).collect()),
        (112, rle(&each(&|o| Some(o.pred.len() as i64)), unsigned)),
        (113, rle(&preds.iter().map(|p| Some(p.1 as i64)).collect::<Vec<_>>(), unsigned)),
        (115, rle(&delta(preds.iter().map(|p| Some(p.0 as i64)).collect()), signed)),
    ];
    all.into_iter().filter(|(_, data)| !data.is_empty()).collect()
}

/// Runs in their one right form; nothing where all are null.
fn rle<T: PartialEq>(values: &[Option<T>], write: impl Fn(&mut Vec<u8>, &T)) -> Vec<u8> {
    let mut out = Vec::new();
    if values.iter().all(Option::is_none) {
        return out;
    }
    let mut runs: Vec<(usize, &Option<T>)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((n, last)) if *last == value => *n += 1,
            _ => runs.push((1, value)),
        }
    }
    let mut at = 0;
    while let Some((n, value)) = runs.get(at) {
        match value {
            None => {
                out.push(0);
                uleb(&mut out, *n as u64);
                at += 1;
            }
            Some(v) if *n > 1 => {
                leb(&mut out, *n as i64);
                write(&mut out, v);
                at += 1;
            }
            Some(_) => {
                let literal: Vec<_> =
                    runs[at..].iter().map_while(|(n, v)| if *n == 1 { v.as_ref() } else { None }).collect();
                leb(&mut out, -(literal.len() as i64));
                for v in &literal {
                    write(&mut out, v);
                }
                at += literal.len();
            }
        }
    }
    out
}
