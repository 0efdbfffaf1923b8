//! Two companies on one server that never see each other.

use super::*;
use crate::world::Server;

#[tokio::test(flavor = "multi_thread")]
async fn two_companies() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path().join("server")).await.unwrap();
    let one = server.company("甲公司").await.unwrap();
    let two = server.company("乙公司").await.unwrap();
    let tech_one = one.technician("李工", "T1").await.unwrap();
    let tech_two = two.technician("王工", "T1").await.unwrap();
    let (customer_one, machine) = customer(&one.office, "甲的客户").await;
    let order = job(&one.office, customer_one, machine, &[tech_one]).await;
    let a = one.phone(&dir.path().join("a"), tech_one).await.unwrap();
    let b = two.phone(&dir.path().join("b"), tech_two).await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    let visit = arrive(&a, order);
    let photo = a.engine().add_blob(b"jpeg of company one", "image/jpeg").unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    assert!(b.show(Kind::Visit, visit.0).is_err() && b.show(Kind::WorkOrder, order.0).is_err());
    assert!(b.engine().search("甲的客户", None).unwrap().lines.is_empty());
    for id in [order.0, customer_one.0, visit.0] {
        let (status, _) = two.office.request("GET", &format!("/api/documents/{id}"), None).await.unwrap();
        assert_eq!(status, 404);
    }
    assert!(b.client.fetch_blob(photo.blob).await.is_err());
    let (status, body) = two
        .office
        .request("POST", "/api/commands", Some(serde_json::to_value(Command::CloseWorkOrder { id: order }).unwrap()))
        .await
        .unwrap();
    assert_eq!(status, 422, "{body}");
}
