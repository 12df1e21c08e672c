//! What gcloud asks of other Google APIs.

use super::fixture::Fixture;

#[tokio::test]
async fn the_configured_regions_are_the_locations() {
    let fixture = Fixture::with(|config| {
        config.regions.insert("europe-west1".to_owned());
    });
    let answer = fixture.get("/v1/projects/demo/locations?alt=json&pageSize=100").await;
    insta::assert_snapshot!(answer, @r"");
}

#[tokio::test]
async fn a_project_has_its_number() {
    let fixture = Fixture::new();
    let answer = fixture.get("/v1/projects/demo?alt=json").await;
    insta::assert_snapshot!(answer, @r"");
    let number = answer.json()["projectNumber"].as_str().expect("a string").to_owned();
    assert_eq!(fixture.get(&format!("/v1/projects/{number}")).await, answer);
}

#[tokio::test]
async fn every_service_is_enabled() {
    let fixture = Fixture::new();
    let answer = fixture.get("/v1/projects/demo/services/run.googleapis.com?alt=json").await;
    insta::assert_snapshot!(answer, @r"");
    let body = r#"{"serviceIds":["run.googleapis.com"]}"#;
    let answer = fixture.post("/v1/projects/demo/services:batchEnable?alt=json", body).await.ok();
    assert_eq!(answer["done"], true);
    assert_eq!(answer["response"]["services"][0]["state"], "ENABLED");
}
