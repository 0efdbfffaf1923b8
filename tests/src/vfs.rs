//! A layer over SQLite's own file system that lets a [`Disk`] see and spoil
//! what is done to its files. It becomes the process's default, so that the
//! product opens its files as always; files outside a [`Disk`] never meet it.
#![expect(unsafe_code, reason = "SQLite's file system is a table of C functions")]

use crate::disk::{Disk, Honesty, How, Op, Part};
use rusqlite::ffi;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A file of ours; the real one lies behind it in the same piece of memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// From `Arc::into_raw`.
    disk: *const Disk,
    number: usize,
    /// The first sync makes the folder's names durable too, as SQLite does for journals.
    syncs_folder: bool,
}

/// The file system beneath, as an address: it lives as long as the process.
static REAL: OnceLock<usize> = OnceLock::new();

/// Makes the layer the default, once.
pub(crate) fn install() {
    REAL.get_or_init(|| {
        // SAFETY: `sqlite3_vfs_find` and `sqlite3_vfs_register` may be called at any time; the table we
        // register is never freed, and `real` is SQLite's own static.
        unsafe {
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null(), "SQLite has no file system here");
            let ours = Box::leak(Box::new(*real));
            ours.iVersion = ours.iVersion.min(2);
            ours.szOsFile += size_of::<File>() as c_int;
            ours.zName = c"watched".as_ptr();
            ours.pNext = std::ptr::null_mut();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            ours.xAccess = Some(access);
            ours.xFullPathname = Some(full_pathname);
            ours.xRandomness = Some(randomness);
            ours.xSleep = Some(sleep);
            ours.xCurrentTime = Some(current_time);
            ours.xCurrentTimeInt64 = Some(current_time_64);
            ours.xGetLastError = Some(last_error);
            let done = ffi::sqlite3_vfs_register(ours, 1);
            assert_eq!(done, ffi::SQLITE_OK, "registering the file system");
            real as usize
        }
    });
}

fn real() -> *mut ffi::sqlite3_vfs {
    REAL.get().map_or(std::ptr::null_mut(), |at| *at as *mut ffi::sqlite3_vfs)
}

/// # Safety
/// `name` is null or a C string.
unsafe fn path(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: by this function's contract.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    Some(Path::new(OsStr::from_bytes(bytes)).to_path_buf())
}

// ---- the file system ----

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in a C string or null, and `szOsFile` bytes for the file. Those hold our part and,
    // behind it, the real file; or the real file alone where nobody watches it.
    unsafe {
        let real = real();
        let Some(open) = (*real).xOpen else { return ffi::SQLITE_CANTOPEN };
        let Some((disk, name_on_disk)) = path(name).and_then(|p| Disk::of(&p)) else {
            return open(real, name, file, flags, out);
        };
        (*file).pMethods = std::ptr::null();
        if disk.fails(Part::Open).is_some() {
            return ffi::SQLITE_CANTOPEN;
        }
        let inner = inner(file);
        let done = open(real, name, inner, flags, out);
        if done != ffi::SQLITE_OK {
            if let Some(close) = (*inner).pMethods.as_ref().and_then(|m| m.xClose) {
                close(inner);
            }
            return done;
        }
        let mut size = 0;
        if let Some(ask) = (*inner).pMethods.as_ref().and_then(|m| m.xFileSize) {
            ask(inner, &raw mut size);
        }
        let journal = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
        let ours = file.cast::<File>();
        (*ours).number = disk.opened(name_on_disk, size.unsigned_abs());
        (*ours).syncs_folder = flags & journal != 0 && flags & ffi::SQLITE_OPEN_CREATE != 0;
        (*ours).disk = Arc::into_raw(disk);
        (*ours).base.pMethods = &METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite hands in a C string; the call goes to the real file system as it came.
    unsafe {
        let real = real();
        let Some(delete) = (*real).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let Some((disk, on_disk)) = path(name).and_then(|p| Disk::of(&p)) else {
            return delete(real, name, sync);
        };
        let mut done = ffi::SQLITE_OK;
        let ops = || {
            let mut ops = vec![Op::Unlink { name: on_disk }];
            ops.extend((sync != 0).then_some(Op::SyncFolder));
            ops
        };
        let noted = disk.noted(Part::Delete, ops, || {
            done = delete(real, name, sync);
            done == ffi::SQLITE_OK
        });
        match noted {
            Err(_) if done == ffi::SQLITE_OK => ffi::SQLITE_IOERR_DELETE,
            _ => done,
        }
    }
}

/// Functions of the file system that go on to the real one.
macro_rules! onward {
    ($($name:ident = $method:ident($($arg:ident: $type:ty),*) -> $out:ty, $none:expr;)*) => { $(
        unsafe extern "C" fn $name(_vfs: *mut ffi::sqlite3_vfs $(, $arg: $type)*) -> $out {
            let real = real();
            // SAFETY: the arguments go on as SQLite gave them, with the table they belong to.
            unsafe { (*real).$method.map_or($none, |f| f(real $(, $arg)*)) }
        }
    )* };
}

onward! {
    access = xAccess(name: *const c_char, flags: c_int, out: *mut c_int) -> c_int, ffi::SQLITE_IOERR_ACCESS;
    full_pathname = xFullPathname(name: *const c_char, len: c_int, out: *mut c_char) -> c_int, ffi::SQLITE_CANTOPEN;
    randomness = xRandomness(len: c_int, out: *mut c_char) -> c_int, 0;
    sleep = xSleep(us: c_int) -> c_int, 0;
    current_time = xCurrentTime(out: *mut f64) -> c_int, ffi::SQLITE_ERROR;
    current_time_64 = xCurrentTimeInt64(out: *mut i64) -> c_int, ffi::SQLITE_ERROR;
    last_error = xGetLastError(len: c_int, out: *mut c_char) -> c_int, 0;
}

// ---- a file ----

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// The real file behind ours.
///
/// # Safety
/// `file` points to `szOsFile` bytes.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite aligns its files to eight bytes, and our part is a multiple of those long.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// # Safety
/// `file` was opened by [`open`] with a disk.
unsafe fn disk<'a>(file: *mut ffi::sqlite3_file) -> (&'a Disk, usize) {
    // SAFETY: `disk` came from `Arc::into_raw` and is given back in `close` only.
    unsafe {
        let ours = file.cast::<File>();
        (&*(*ours).disk, (*ours).number)
    }
}

/// Calls the real file's method.
macro_rules! beneath {
    ($file:expr, $method:ident, $none:expr $(, $arg:expr)*) => {{
        let inner = inner($file);
        (*inner).pMethods.as_ref().and_then(|m| m.$method).map_or($none, |f| f(inner $(, $arg)*))
    }};
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and only one that was opened.
    unsafe {
        let done = beneath!(file, xClose, ffi::SQLITE_OK);
        drop(Arc::from_raw((*file.cast::<File>()).disk));
        (*file).pMethods = std::ptr::null();
        done
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, len: c_int, at: i64) -> c_int {
    // SAFETY: as SQLite gave it.
    unsafe {
        if disk(file).0.read_fails() {
            return ffi::SQLITE_IOERR_READ;
        }
        beneath!(file, xRead, ffi::SQLITE_IOERR_READ, to, len, at)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, len: c_int, at: i64) -> c_int {
    // SAFETY: `from` holds `len` bytes; the real file is given these or a beginning of them.
    unsafe {
        let (disk, number) = disk(file);
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), len.unsigned_abs() as usize);
        let mut done = ffi::SQLITE_OK;
        let written = disk.write(number, at.unsigned_abs(), bytes, |part| {
            done = beneath!(file, xWrite, ffi::SQLITE_IOERR_WRITE, part.as_ptr().cast(), part.len() as c_int, at);
            done == ffi::SQLITE_OK
        });
        match written {
            Err(How::Full | How::Short) if done == ffi::SQLITE_OK => ffi::SQLITE_FULL,
            Err(How::Error) if done == ffi::SQLITE_OK => ffi::SQLITE_IOERR_WRITE,
            _ => done,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: as SQLite gave it.
    unsafe {
        let (disk, number) = disk(file);
        let mut done = ffi::SQLITE_OK;
        let ops = || vec![Op::Truncate { file: number, size: size.unsigned_abs() }];
        let noted = disk.noted(Part::Truncate, ops, || {
            done = beneath!(file, xTruncate, ffi::SQLITE_IOERR_TRUNCATE, size);
            done == ffi::SQLITE_OK
        });
        match noted {
            Err(_) if done == ffi::SQLITE_OK => ffi::SQLITE_IOERR_TRUNCATE,
            _ => done,
        }
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as SQLite gave it.
    unsafe {
        let (disk, number) = disk(file);
        if disk.honesty() == Honesty::SyncsNothing {
            return ffi::SQLITE_OK;
        }
        let ours = file.cast::<File>();
        let folder = (*ours).syncs_folder;
        let mut done = ffi::SQLITE_OK;
        let ops = || {
            let mut ops = vec![Op::Sync { file: number }];
            ops.extend(folder.then_some(Op::SyncFolder));
            ops
        };
        let noted = disk.noted(Part::Sync, ops, || {
            done = beneath!(file, xSync, ffi::SQLITE_IOERR_FSYNC, flags);
            done == ffi::SQLITE_OK
        });
        match noted {
            Ok(()) => {
                (*ours).syncs_folder = false;
                ffi::SQLITE_OK
            }
            Err(_) if done == ffi::SQLITE_OK => ffi::SQLITE_IOERR_FSYNC,
            Err(_) => done,
        }
    }
}

unsafe extern "C" fn control(file: *mut ffi::sqlite3_file, op: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: for a pragma, SQLite hands in four pointers, of which the second is its name and the third its
    // value (or null): a string it has just made for itself and reads again after this.
    unsafe {
        if op == ffi::SQLITE_FCNTL_PRAGMA && disk(file).0.honesty() == Honesty::Normal {
            let words = arg.cast::<*mut c_char>();
            let (name, value) = (*words.add(1), *words.add(2));
            if !name.is_null() && !value.is_null() && CStr::from_ptr(name) == c"synchronous" {
                *value = b'1'.cast_signed();
                *value.add(1) = 0;
            }
        }
        beneath!(file, xFileControl, ffi::SQLITE_NOTFOUND, op, arg)
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: as SQLite gave it.
    unsafe {
        if let Some(how) = disk(file).0.fails(Part::Map) {
            return match how {
                How::Error => ffi::SQLITE_IOERR_SHMMAP,
                How::Full | How::Short => ffi::SQLITE_IOERR_SHMSIZE,
            };
        }
        beneath!(file, xShmMap, ffi::SQLITE_IOERR_SHMMAP, page, size, extend, out)
    }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: as SQLite gave it.
    unsafe { beneath!(file, xShmBarrier, ()) }
}

/// Methods of a file that go on to the real one.
macro_rules! passed {
    ($($name:ident = $method:ident($($arg:ident: $type:ty),*), $none:expr;)*) => { $(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> c_int {
            // SAFETY: as SQLite gave it.
            unsafe { beneath!(file, $method, $none $(, $arg)*) }
        }
    )* };
}

passed! {
    file_size = xFileSize(out: *mut i64), ffi::SQLITE_IOERR_FSTAT;
    lock = xLock(level: c_int), ffi::SQLITE_IOERR_LOCK;
    unlock = xUnlock(level: c_int), ffi::SQLITE_IOERR_UNLOCK;
    check_reserved = xCheckReservedLock(out: *mut c_int), ffi::SQLITE_IOERR_CHECKRESERVEDLOCK;
    sector_size = xSectorSize(), 0;
    characteristics = xDeviceCharacteristics(), 0;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int), ffi::SQLITE_IOERR_SHMLOCK;
    shm_unmap = xShmUnmap(delete: c_int), ffi::SQLITE_OK;
    fetch = xFetch(at: i64, len: c_int, out: *mut *mut c_void), ffi::SQLITE_OK;
    unfetch = xUnfetch(at: i64, page: *mut c_void), ffi::SQLITE_OK;
}

// ---- memory ----

#[cfg(test)]
pub(crate) use memory::{fail_allocation, mend_allocations, take_memory_over};

/// SQLite's memory, failing when told to: for a process of its own, since it must be set before SQLite begins.
#[cfg(test)]
mod memory {
    use super::{c_int, c_void, ffi};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    type Malloc = unsafe extern "C" fn(c_int) -> *mut c_void;
    type Realloc = unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void;

    static REAL: OnceLock<(Malloc, Realloc)> = OnceLock::new();
    /// Allocations until one fails; 0: none will.
    static LEFT: AtomicU64 = AtomicU64::new(0);
    static STRUCK: AtomicBool = AtomicBool::new(false);
    /// Whether all after it fail too.
    static STAYS: AtomicBool = AtomicBool::new(false);

    /// Puts our allocator over SQLite's.
    pub(crate) fn take_memory_over() {
        // SAFETY: nothing of this process has used SQLite yet, so its configuration may still be changed; the
        // tables are read and copied by it.
        unsafe {
            let mut methods = std::mem::zeroed::<ffi::sqlite3_mem_methods>();
            assert_eq!(ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut methods), ffi::SQLITE_OK);
            if let (Some(malloc), Some(realloc)) = (methods.xMalloc, methods.xRealloc) {
                REAL.get_or_init(|| (malloc, realloc));
            }
            methods.xMalloc = Some(allocate);
            methods.xRealloc = Some(reallocate);
            assert_eq!(ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods), ffi::SQLITE_OK);
            // Small pieces come from a store of their own, which would hide failures.
            assert_eq!(ffi::sqlite3_config(ffi::SQLITE_CONFIG_LOOKASIDE, 0 as c_int, 0 as c_int), ffi::SQLITE_OK);
        }
    }

    /// Lets the nth allocation from now fail, and where it `stays` all after it.
    pub(crate) fn fail_allocation(n: u64, stays: bool) {
        STAYS.store(stays, Ordering::SeqCst);
        STRUCK.store(false, Ordering::SeqCst);
        LEFT.store(n, Ordering::SeqCst);
    }

    /// Ends that; whether one failed.
    pub(crate) fn mend_allocations() -> bool {
        LEFT.store(0, Ordering::SeqCst);
        STRUCK.swap(false, Ordering::SeqCst)
    }

    fn fails() -> bool {
        let stays = STAYS.load(Ordering::SeqCst);
        let before = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            1 if stays => Some(1),
            _ => left.checked_sub(1),
        });
        let struck = before == Ok(1);
        if struck {
            STRUCK.store(true, Ordering::SeqCst);
        }
        struck
    }

    unsafe extern "C" fn allocate(size: c_int) -> *mut c_void {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: as SQLite asked, of its own allocator.
        unsafe { REAL.get().map_or(std::ptr::null_mut(), |(malloc, _)| malloc(size)) }
    }

    unsafe extern "C" fn reallocate(at: *mut c_void, size: c_int) -> *mut c_void {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: as SQLite asked, of its own allocator.
        unsafe { REAL.get().map_or(std::ptr::null_mut(), |(_, realloc)| realloc(at, size)) }
    }
}
