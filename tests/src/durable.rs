//! Are photos on the disk when they are said to be? The calls that make files
//! durable are watched: this program's own `fsync`, `fdatasync`, `rename` and
//! `mkdir` stand before the system's, note what was asked, and ask the system.
//!
//! A file is durable where its content was synced, then the folder that holds
//! its name; and so for each folder made above it.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "functions of the system are stood in for")]

use crate::link::Link;
use crate::world::Phone;
use onsite_core::domain::{Author, Command, DocRef, ItemId, Kind, RequestId, Role, StaffId};
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Call {
    Synced(PathBuf),
    Renamed(PathBuf, PathBuf),
    Made(PathBuf),
}

static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn calls() -> MutexGuard<'static, Vec<Call>> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folders of this test only: the others of this program come by here too.
const MARK: &str = "durable-";

fn note(call: Call) {
    let path = match &call {
        Call::Synced(path) => Some(path.as_path()),
        // The test's own folder is given.
        Call::Renamed(_, path) | Call::Made(path) => path.parent(),
    };
    if path.is_some_and(|p| p.to_string_lossy().contains(MARK)) {
        calls().push(call);
    }
}

fn synced(fd: c_int, done: c_int) -> c_int {
    if done == 0
        && let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{fd}"))
    {
        note(Call::Synced(path));
    }
    done
}

/// # Safety
/// `path` is a C string.
unsafe fn path(path: *const c_char) -> PathBuf {
    // SAFETY: by this function's contract.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())).to_path_buf()
}

// SAFETY (of all four): they do what the functions they stand in for do, with the same arguments, by the system
// call of the same meaning, which sets `errno` as well.
#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    // SAFETY: a plain number.
    synced(fd, unsafe { libc::syscall(libc::SYS_fsync, fd) } as c_int)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    // SAFETY: a plain number.
    synced(fd, unsafe { libc::syscall(libc::SYS_fdatasync, fd) } as c_int)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: C strings, as `rename` is given them.
    unsafe {
        let done = libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as c_int;
        if done == 0 {
            note(Call::Renamed(path(from), path(to)));
        }
        done
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(at: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: a C string, as `mkdir` is given it.
    unsafe {
        let done = libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, at, mode) as c_int;
        if done == 0 {
            note(Call::Made(path(at)));
        }
        done
    }
}

/// Why a file may be gone after a power cut now; nothing where it may not.
fn lacks(file: &Path) -> Option<String> {
    let calls = calls();
    let after = |from: usize, wanted: &Call| calls[from..].contains(wanted);
    let folder = file.parent().unwrap().to_path_buf();
    let renamed = calls.iter().rposition(|c| matches!(c, Call::Renamed(_, to) if to == file));
    match renamed {
        Some(at) => {
            let Call::Renamed(from, _) = &calls[at] else { unreachable!() };
            if !calls[..at].contains(&Call::Synced(from.clone())) {
                return Some(format!("{} was never synced before it got its name", from.display()));
            }
            if !after(at, &Call::Synced(folder)) {
                return Some(format!("the name {} was never synced", file.display()));
            }
        }
        None => {
            if !after(0, &Call::Synced(file.to_path_buf())) || !after(0, &Call::Synced(folder)) {
                return Some(format!("{} or its name was never synced", file.display()));
            }
        }
    }
    for above in file.ancestors().skip(1) {
        if let Some(made) = calls.iter().position(|c| *c == Call::Made(above.to_path_buf()))
            && !after(made, &Call::Synced(above.parent().unwrap().to_path_buf()))
        {
            return Some(format!("the name of the folder {} was never synced", above.display()));
        }
    }
    None
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn the_watch_sees_what_is_not_durable() {
    let dir = tempfile::Builder::new().prefix(MARK).tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (folder, file) = (root.join("a"), root.join("a").join("b"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(root.join("new"), b"x").unwrap();
    std::fs::rename(root.join("new"), &file).unwrap();
    assert!(lacks(&file).unwrap().contains("before it got its name"));
    let new = std::fs::File::create(root.join("new")).unwrap();
    new.sync_all().unwrap();
    std::fs::rename(root.join("new"), &file).unwrap();
    assert!(lacks(&file).unwrap().contains("the name"));
    std::fs::File::open(&folder).unwrap().sync_all().unwrap();
    assert!(lacks(&file).unwrap().contains("the folder"));
    std::fs::File::open(&root).unwrap().sync_all().unwrap();
    assert_eq!(lacks(&file), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_is_on_the_disk_before_anybody_says_so() {
    let dir = tempfile::Builder::new().prefix(MARK).tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let config = onsite_server::Config {
        data: root.join("server").join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        ..onsite_server::Config::default()
    };
    let running = onsite_server::serve(config.clone()).await.unwrap();
    let ledger = &running.app.ledger;
    let tenant = ledger.create_tenant("浆模设备公司").await.unwrap().id;
    let li = StaffId(Uuid::now_v7());
    let boss = Author { staff: StaffId(Uuid::now_v7()), roles: [Role::Admin].into(), device_code: None };
    let roles = [Role::Technician].into();
    let hire = Command::PutStaff { id: li, name: "李工".into(), code: "T1".into(), phone: String::new(), roles };
    ledger.execute(tenant, &boss, &hire, None).await.unwrap();
    // The folder an app is given is there for good.
    std::fs::create_dir(root.join("phone")).unwrap();
    std::fs::File::open(&root).unwrap().sync_all().unwrap();
    let phone = Phone::open(&root.join("phone"), Link::to(running.addr).unwrap()).unwrap();
    let code = onsite_server::auth::device_code(ledger, tenant, li, li, "http://x", 600).await.unwrap();
    phone.client.enrol(&phone.link.url(), &code.code, "测试手机").await.unwrap();
    let request = RequestId(Uuid::now_v7());
    let report = Command::ReportRepair {
        id: request,
        customer: None,
        customer_name: "西安纸托厂".into(),
        contact_name: "张三".into(),
        contact_phone: "029-88886666".into(),
        address: "西安".into(),
        equipment: None,
        problem: "液压站压力不足".into(),
        reported: None,
    };
    phone.execute(&report).unwrap();
    for n in 0..3u8 {
        let photo = phone.engine().add_blob(&[n; 3_000], "image/jpeg").unwrap();
        let mut kept = Vec::new();
        files(&root.join("phone").join("blobs"), &mut kept);
        assert_eq!(kept.len(), usize::from(n) + 1, "{kept:?}");
        for file in kept {
            assert_eq!(lacks(&file), None, "on the phone");
        }
        phone
            .execute(&Command::AddPhoto {
                doc: DocRef::new(Kind::Request, request),
                id: ItemId(Uuid::now_v7()),
                blob: photo.blob,
                size: photo.size,
                media_type: "image/jpeg".into(),
                caption: String::new(),
                check: None,
            })
            .unwrap();
    }
    phone.sync().await.unwrap();
    assert!(phone.engine().status().unwrap().safe_to_hand_in, "the server has the photos");
    let (mut stored, mut lines) = (Vec::new(), Vec::new());
    files(Path::new(&config.blob_store()), &mut stored);
    assert_eq!(stored.len(), 3, "{stored:?}");
    files(&config.uploads_path(), &mut lines);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for file in stored.into_iter().chain(lines) {
        assert_eq!(lacks(&file), None, "at the server");
    }
    // A backup has its name for good.
    let to = root.join("backup");
    onsite_server::keep::backup(&config, ledger, &to).await.unwrap();
    let named = calls().iter().rposition(|c| matches!(c, Call::Renamed(_, at) if *at == to)).unwrap();
    assert!(calls()[named..].contains(&Call::Synced(root.clone())), "the backup's name");
    running.shutdown().await.unwrap();
}
