//! A disk that remembers: what was written to the files of a folder and what
//! was synced, so that they can be rebuilt as a power cut would leave them;
//! and a disk that fails when told to.
//!
//! The model is the worst that a POSIX file system may do. Of what was written
//! since a file's last sync, any part may be there: each sector (or page) of
//! each write by itself, or garbage in its place. A name made or taken away
//! since the folder's last sync may be as before. Whatever order writes reach
//! a real disk in, the state a cut leaves is one of these.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// One thing that happened to a folder's files. Names are relative to the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A name now stands for this file.
    Link {
        /// The name.
        name: PathBuf,
        /// The file's number.
        file: usize,
    },
    /// A name was taken away.
    Unlink {
        /// The name.
        name: PathBuf,
    },
    /// Bytes were written.
    Write {
        /// The file's number.
        file: usize,
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut to a size.
    Truncate {
        /// The file's number.
        file: usize,
        /// Its size.
        size: u64,
    },
    /// A file was synced.
    Sync {
        /// The file's number.
        file: usize,
    },
    /// The folder was synced: its names are durable.
    SyncFolder,
}

/// What of a disk is to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Syncing.
    Sync,
    /// Cutting a file to a size.
    Truncate,
    /// Opening a file.
    Open,
    /// Deleting a file.
    Delete,
    /// Mapping shared memory.
    Map,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 7] =
        [Part::Read, Part::Write, Part::Sync, Part::Truncate, Part::Open, Part::Delete, Part::Map];
}

/// How it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Nothing was done.
    Error,
    /// The disk is full: nothing was written.
    Full,
    /// The disk became full midway: half of it was written.
    Short,
}

/// A fault to come: the `nth` (from 1) operation of a kind fails, and where it `stays` all after it too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Which kind of operation.
    pub part: Part,
    /// Which of them.
    pub nth: u64,
    /// How.
    pub how: How,
    /// Whether later ones of the kind fail as well.
    pub stays: bool,
}

/// A disk's honesty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Honesty {
    /// It does as it is told.
    #[default]
    Honest,
    /// It says it has synced and has not: a control that must lose data.
    SyncsNothing,
    /// It makes `synchronous=NORMAL` of `FULL`: a control that must lose data.
    Normal,
}

#[derive(Default)]
struct State {
    log: Vec<Op>,
    names: HashMap<PathBuf, usize>,
    sizes: Vec<u64>,
    plan: Option<Plan>,
    counts: HashMap<Part, u64>,
    fired: u64,
    space: Option<u64>,
}

/// A folder whose files are watched, as long as this lives.
pub struct Disk {
    root: PathBuf,
    honesty: Honesty,
    recording: bool,
    state: Mutex<State>,
    held: Mutex<bool>,
    released: Condvar,
}

static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Records all that happens to the files of an empty folder, which is made.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn recording(root: &Path, honesty: Honesty) -> std::io::Result<Arc<Self>> {
        Self::watch(root, honesty, true)
    }

    /// Watches a folder (which is made) only to let its files fail.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn failing(root: &Path) -> std::io::Result<Arc<Self>> {
        Self::watch(root, Honesty::Honest, false)
    }

    fn watch(root: &Path, honesty: Honesty, recording: bool) -> std::io::Result<Arc<Self>> {
        crate::vfs::install();
        std::fs::create_dir_all(root)?;
        let disk = Arc::new(Self {
            root: root.canonicalize()?,
            honesty,
            recording,
            state: Mutex::default(),
            held: Mutex::new(false),
            released: Condvar::new(),
        });
        let mut disks = lock(&DISKS);
        disks.retain(|d| d.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        Ok(disk)
    }

    /// The disk that watches a path, and the path's name on it.
    pub(crate) fn of(path: &Path) -> Option<(Arc<Self>, PathBuf)> {
        let found = lock(&DISKS).iter().filter_map(Weak::upgrade).find(|d| path.starts_with(&d.root))?;
        let name = path.strip_prefix(&found.root).ok()?.to_path_buf();
        Some((found, name))
    }

    /// How many operations there were so far.
    pub fn position(&self) -> usize {
        lock(&self.state).log.len()
    }

    /// All that happened so far.
    pub fn log(&self) -> Vec<Op> {
        lock(&self.state).log.clone()
    }

    /// Lets something fail from now on; counts from here.
    pub fn plan(&self, plan: Plan) {
        let mut state = lock(&self.state);
        state.counts.clear();
        state.fired = 0;
        state.plan = Some(plan);
    }

    /// Gives the disk so many bytes more to grow by.
    pub fn space(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.fired = 0;
        state.space = Some(bytes);
    }

    /// Ends all faults; answers how often one struck.
    pub fn mend(&self) -> u64 {
        let mut state = lock(&self.state);
        state.plan = None;
        state.space = None;
        std::mem::take(&mut state.fired)
    }

    /// Lets every read wait, until [`Disk::release`].
    pub fn hold(&self) {
        *lock(&self.held) = true;
    }

    /// Lets reads go on.
    pub fn release(&self) {
        *lock(&self.held) = false;
        self.released.notify_all();
    }

    pub(crate) fn honesty(&self) -> Honesty {
        self.honesty
    }

    /// Waits while reads are held, then says whether this one is to fail.
    pub(crate) fn read_fails(&self) -> bool {
        let mut held = lock(&self.held);
        while *held {
            held = self.released.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        drop(held);
        self.fails(Part::Read).is_some()
    }

    /// Counts an operation and says whether and how it is to fail.
    pub(crate) fn fails(&self, part: Part) -> Option<How> {
        strike(&mut lock(&self.state), part)
    }

    /// A file was opened; answers its number.
    pub(crate) fn opened(&self, name: PathBuf, size: u64) -> usize {
        let mut state = lock(&self.state);
        if let Some(file) = state.names.get(&name) {
            return *file;
        }
        let file = state.sizes.len();
        state.sizes.push(size);
        state.names.insert(name.clone(), file);
        if self.recording {
            state.log.push(Op::Link { name, file });
        }
        file
    }

    /// Writes, through `real`, what is to be written: all, or (with the failure answered) a part.
    pub(crate) fn write(
        &self,
        file: usize,
        at: u64,
        bytes: &[u8],
        real: impl FnOnce(&[u8]) -> bool,
    ) -> Result<(), How> {
        let mut state = lock(&self.state);
        let mut failure = strike(&mut state, Part::Write);
        let mut part = match failure {
            None => bytes,
            Some(How::Short) => &bytes[..bytes.len() / 2],
            Some(How::Error | How::Full) => &[],
        };
        if let Some(space) = state.space {
            let grows = (at + part.len() as u64).saturating_sub(state.sizes[file].max(at));
            if grows > space {
                part = &part[..part.len() - (grows - space) as usize];
                failure = Some(How::Full);
                state.fired += 1;
            }
            state.space = Some(space.saturating_sub(grows));
        }
        if (failure.is_none() || !part.is_empty()) && !real(part) {
            return Err(How::Error);
        }
        state.sizes[file] = state.sizes[file].max(at + part.len() as u64);
        if self.recording && !part.is_empty() {
            state.log.push(Op::Write { file, at, bytes: part.to_vec() });
        }
        failure.map_or(Ok(()), Err)
    }

    /// Does something to a file, and notes it where it went well.
    pub(crate) fn noted(
        &self,
        part: Part,
        ops: impl FnOnce() -> Vec<Op>,
        real: impl FnOnce() -> bool,
    ) -> Result<(), How> {
        let mut state = lock(&self.state);
        if let Some(how) = strike(&mut state, part) {
            return Err(how);
        }
        if !real() {
            return Err(How::Error);
        }
        for op in ops() {
            match &op {
                Op::Truncate { file, size } => state.sizes[*file] = *size,
                Op::Unlink { name } => {
                    state.names.remove(name);
                }
                _ => {}
            }
            if self.recording {
                state.log.push(op);
            }
        }
        Ok(())
    }
}

fn strike(state: &mut State, part: Part) -> Option<How> {
    let plan = state.plan?;
    if plan.part != part {
        return None;
    }
    let count = state.counts.entry(part).or_default();
    *count += 1;
    let struck = *count == plan.nth || (plan.stays && *count > plan.nth);
    state.fired += u64::from(struck);
    struck.then_some(plan.how)
}

/// Repeatable dice.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number (`SplitMix64`).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (0 where `n` is 0).
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.draw() % n as u64) as usize }
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What a cut does to writes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storm {
    /// How many pieces in a hundred reach the disk.
    pub kept: usize,
    /// Bytes that reach it together: a sector, a page, or a whole write (0).
    pub piece: usize,
    /// How many in a hundred of the lost pieces leave garbage.
    pub garbage: usize,
}

impl Storm {
    /// Draws one.
    pub fn draw(dice: &mut Dice) -> Self {
        Self {
            kept: *dice.one(&[0, 0, 10, 50, 50, 90, 98, 100]),
            piece: *dice.one(&[512, 512, 4096, 0]),
            garbage: *dice.one(&[0, 0, 0, 20]),
        }
    }
}

/// The files of a folder by name.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The files after all of this, as if the disk had been unplugged gently.
pub fn whole(log: &[Op]) -> Files {
    rebuild(log, &mut Dice::new(0), Storm { kept: 100, piece: 0, garbage: 0 })
}

/// The files as a cut after all of this may leave them.
pub fn rebuild(log: &[Op], dice: &mut Dice, storm: Storm) -> Files {
    let (mut synced, mut folder) = (HashMap::new(), 0);
    for (i, op) in log.iter().enumerate() {
        match op {
            Op::Sync { file } => {
                synced.insert(*file, i);
            }
            Op::SyncFolder => folder = i,
            _ => {}
        }
    }
    let durable = |i: usize, file: &usize| synced.get(file).is_some_and(|s| i < *s);
    let mut files: HashMap<usize, Vec<u8>> = HashMap::new();
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (i, op) in log.iter().enumerate() {
        match op {
            Op::Link { name, file } => {
                if i < folder || dice.percent(storm.kept) {
                    names.insert(name.clone(), *file);
                }
            }
            Op::Unlink { name } => {
                if i < folder || dice.percent(storm.kept) {
                    names.remove(name);
                }
            }
            Op::Truncate { file, size } => {
                if durable(i, file) || dice.percent(storm.kept) {
                    files.entry(*file).or_default().resize(*size as usize, 0);
                }
            }
            Op::Write { file, at, bytes } => {
                let (content, at) = (files.entry(*file).or_default(), *at as usize);
                if durable(i, file) {
                    put(content, at, bytes);
                    continue;
                }
                // Pieces lie where the disk's sectors lie, not where the write begins.
                let mut from = 0;
                while from < bytes.len() {
                    let to = match storm.piece {
                        0 => bytes.len(),
                        piece => (from + piece - (at + from) % piece).min(bytes.len()),
                    };
                    if dice.percent(storm.kept) {
                        put(content, at + from, &bytes[from..to]);
                    } else if dice.percent(storm.garbage) {
                        let noise: Vec<u8> = (from..to).map(|_| dice.draw() as u8).collect();
                        put(content, at + from, &noise);
                    }
                    from = to;
                }
            }
            Op::Sync { .. } | Op::SyncFolder => {}
        }
    }
    names.into_iter().map(|(name, file)| (name, files.get(&file).cloned().unwrap_or_default())).collect()
}

/// Puts files into a folder, which is emptied first.
///
/// # Errors
/// The file system's.
pub fn lay_out(files: &Files, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for (name, bytes) in files {
        std::fs::write(to.join(name), bytes)?;
    }
    Ok(())
}

/// A folder for files that need not outlive the test: in memory, where the machine has such a place.
///
/// # Errors
/// The file system's.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return Ok(dir);
    }
    tempfile::tempdir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<Op> {
        let name = PathBuf::from("f");
        vec![
            Op::Link { name: name.clone(), file: 0 },
            Op::Write { file: 0, at: 0, bytes: vec![1; 1024] },
            Op::Sync { file: 0 },
            Op::SyncFolder,
            Op::Write { file: 0, at: 256, bytes: vec![2; 1024] },
            Op::Unlink { name },
        ]
    }

    #[test]
    fn what_was_synced_is_there_and_the_rest_may_be() {
        let log = log();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let storm = Storm { kept: 50, piece: 512, garbage: 0 };
            let files = rebuild(&log[..5], &mut Dice::new(seed), storm);
            let file = &files[Path::new("f")];
            assert!(file[..256].iter().all(|b| *b == 1), "what was synced and not written over");
            // Sectors: 256..512, 512..1024, 1024..1280.
            let sector = |from: usize, to: usize| file.get(from..to).is_some_and(|s| s.iter().all(|b| *b == 2));
            seen.insert((sector(256, 512), sector(512, 1024), sector(1024, 1280)));
        }
        assert_eq!(seen.len(), 8, "every subset of three sectors");
        let none = Storm { kept: 0, piece: 512, garbage: 0 };
        assert_eq!(rebuild(&log, &mut Dice::new(1), none)[Path::new("f")], vec![1; 1024], "the name is back");
        assert!(rebuild(&log[..3], &mut Dice::new(1), none).is_empty(), "a name never synced may vanish");
        assert!(whole(&log).is_empty());
    }
}
