//! The database's key. `cargo xtask cipher` runs it with SQLCipher, the ordinary tests without.
#![expect(clippy::unwrap_used, reason = "a test")]

use onsite_ffi::{Onsite, OnsiteError, OpenOptions};
use std::path::Path;
use std::sync::Arc;

fn options(folder: &Path, key: Option<u8>, next: Option<u8>) -> OpenOptions {
    OpenOptions {
        folder: folder.display().to_string(),
        app: "test 1.0".into(),
        key: key.map(|n| vec![n; 32]),
        new_key: next.map(|n| vec![n; 32]),
    }
}

async fn open(folder: &Path, key: Option<u8>, next: Option<u8>) -> Result<Arc<Onsite>, OnsiteError> {
    Onsite::open(options(folder, key, next)).await
}

#[cfg(not(feature = "cipher"))]
#[tokio::test]
async fn a_build_without_encryption_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for (key, next, named) in [(Some(1), None, "key"), (None, Some(1), "new_key")] {
        match open(dir.path(), key, next).await {
            Err(OnsiteError::Invalid { field, .. }) => assert_eq!(field, named),
            other => panic!("opened, or another error: {:?}", other.err()),
        }
    }
    // Nothing was made in the wrong way meanwhile.
    open(dir.path(), None, None).await.unwrap();
}

#[cfg(feature = "cipher")]
mod encrypted {
    use super::*;
    use onsite_core::domain as core;
    use onsite_core::engine::Engine;
    use onsite_core::env::SystemEnv;
    use onsite_core::store::blobs::FolderBlobs;
    use onsite_core::sync::protocol::EnrolAnswer;
    use onsite_ffi::{Command, Kind, ListOf};

    /// As written on a phone: what a thief looks for.
    const WORDS: &str = "液压站油温偏高";
    const LATIN: &str = "secret-of-the-customer";

    fn file(folder: &Path) -> Vec<u8> {
        let mut all = std::fs::read(folder.join("device.sqlite")).unwrap();
        all.extend(std::fs::read(folder.join("device.sqlite-wal")).unwrap_or_default());
        all
    }

    fn shows(bytes: &[u8], words: &str) -> bool {
        bytes.windows(words.len()).any(|w| w == words.as_bytes())
    }

    /// Makes a phone that enrolled, without a key.
    fn enrolled(folder: &Path) {
        let conn = rusqlite::Connection::open(folder.join("device.sqlite")).unwrap();
        enrol(conn, folder);
    }

    fn enrol(conn: rusqlite::Connection, folder: &Path) {
        let blobs = FolderBlobs::open(folder.join("blobs")).unwrap();
        let mut engine = Engine::open(conn, Box::new(SystemEnv), Box::new(blobs)).unwrap();
        engine.begin_enrolment().unwrap();
        let answer = EnrolAnswer {
            tenant: core::TenantId(uuid::Uuid::from_u128(3)),
            company: "某某机械".into(),
            device: core::DeviceId(uuid::Uuid::from_u128(2)),
            device_code: "A1".into(),
            staff: core::StaffId(uuid::Uuid::from_u128(1)),
            roles: [core::Role::Technician].into_iter().collect(),
        };
        engine.finish_enrolment("http://127.0.0.1", &answer).unwrap();
    }

    async fn write(phone: &Onsite) {
        let report = Command::ReportRepair {
            id: phone.new_id(),
            customer: None,
            customer_name: LATIN.into(),
            contact_name: "张三".into(),
            contact_phone: "029-88886666".into(),
            address: "西安".into(),
            equipment: None,
            problem: WORDS.into(),
            reported: None,
        };
        assert!(!phone.execute(report).await.unwrap().is_empty());
    }

    async fn requests(phone: &Onsite) -> usize {
        phone.list(ListOf { kind: Kind::Request, status: None }, None).await.unwrap().lines.len()
    }

    async fn code(opened: Result<Arc<Onsite>, OnsiteError>) -> OnsiteError {
        opened.err().expect("it was opened")
    }

    #[tokio::test]
    async fn a_file_cannot_be_read_without_its_key() {
        let dir = tempfile::tempdir().unwrap();
        // A phone that had no key gets one: what was written before is encrypted too.
        enrolled(dir.path());
        let phone = open(dir.path(), None, None).await.unwrap();
        write(&phone).await;
        phone.shut_down().await.unwrap();
        assert!(shows(&file(dir.path()), LATIN) && shows(&file(dir.path()), WORDS), "the control");
        let phone = open(dir.path(), None, Some(1)).await.unwrap();
        assert_eq!(requests(&phone).await, 1);
        assert!(phone.identity().await.unwrap().is_some());
        write(&phone).await;
        assert!(!shows(&file(dir.path()), LATIN) && !shows(&file(dir.path()), WORDS), "while it is open too");
        phone.shut_down().await.unwrap();
        let bytes = file(dir.path());
        assert!(!bytes.starts_with(b"SQLite format 3"));
        assert!(!shows(&bytes, LATIN) && !shows(&bytes, WORDS) && !shows(&bytes, "CREATE TABLE"));
        assert!(!dir.path().join("device.encrypting").exists());

        // No key, another, and one of another length.
        assert!(matches!(code(open(dir.path(), None, None).await).await, OnsiteError::WrongKey));
        assert!(matches!(code(open(dir.path(), Some(2), None).await).await, OnsiteError::WrongKey));
        let mut short = options(dir.path(), None, None);
        short.key = Some(vec![1; 16]);
        assert!(matches!(code(Onsite::open(short).await).await, OnsiteError::Invalid { field, .. } if field == "key"));
        assert_eq!(file(dir.path()), bytes, "nothing was touched");
        // Nor by a plain SQLite.
        let plain = rusqlite::Connection::open(dir.path().join("device.sqlite")).unwrap();
        assert!(plain.query_row("SELECT count(*) FROM doc", [], |r| r.get::<_, i64>(0)).is_err());
        drop(plain);

        let phone = open(dir.path(), Some(1), None).await.unwrap();
        assert_eq!(requests(&phone).await, 2);
        phone.shut_down().await.unwrap();
    }

    #[tokio::test]
    async fn a_key_is_changed_and_an_interrupted_change_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        // New from the first byte.
        let phone = open(dir.path(), Some(1), None).await.unwrap();
        phone.shut_down().await.unwrap();
        assert!(matches!(code(open(dir.path(), None, None).await).await, OnsiteError::WrongKey));
        let phone = open(dir.path(), Some(1), Some(2)).await.unwrap();
        phone.shut_down().await.unwrap();
        assert!(matches!(code(open(dir.path(), Some(1), None).await).await, OnsiteError::WrongKey));
        // The app was killed before it noted the new key, and asks the same again.
        let phone = open(dir.path(), Some(1), Some(2)).await.unwrap();
        phone.shut_down().await.unwrap();
        open(dir.path(), Some(2), None).await.unwrap().shut_down().await.unwrap();
        // Neither is right.
        assert!(matches!(code(open(dir.path(), Some(3), Some(4)).await).await, OnsiteError::WrongKey));
    }

    #[tokio::test]
    async fn a_key_for_records_that_are_not_encrypted_is_told() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), None, None).await.unwrap().shut_down().await.unwrap();
        let error = code(open(dir.path(), Some(1), None).await).await;
        assert!(matches!(error, OnsiteError::Invalid { field, .. } if field == "key"));
        open(dir.path(), None, None).await.unwrap().shut_down().await.unwrap();
    }
}
