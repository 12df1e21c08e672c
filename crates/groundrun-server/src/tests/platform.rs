//! What gcloud asks of other Google APIs.

use super::fixture::Fixture;

#[tokio::test]
async fn the_configured_regions_are_the_locations() {
    let fixture = Fixture::with(|config| {
        config.regions.insert("europe-west1".to_owned());
    });
    let answer =
        fixture.get("/v1/projects/demo/locations?alt=json&pageSize=100&pageToken=&filter=x").await;
    insta::assert_snapshot!(answer, @r#"
    200
    {
      "locations": [
        {
          "displayName": "europe-west1, on this machine",
          "locationId": "europe-west1",
          "name": "projects/demo/locations/europe-west1"
        },
        {
          "displayName": "us-central1, on this machine",
          "locationId": "us-central1",
          "name": "projects/demo/locations/us-central1"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_location_of_secrets_is_any_region() {
    let fixture = Fixture::new();
    let region = fixture.get("/v1/projects/demo/locations/us-east1?alt=json").await.ok();
    assert_eq!(region["name"], "projects/demo/locations/us-east1");
    assert_eq!(region["locationId"], "us-east1");
    let nowhere = fixture.get("/v1/projects/demo/locations/nowhere").await;
    assert!(nowhere.message().contains("locations/nowhere is not found"), "{nowhere}");
}

#[tokio::test]
async fn there_are_no_locations_of_other_types() {
    let fixture = Fixture::new();
    let answer = fixture.get("/v1/projects/demo/locations?extraLocationTypes=edge").await;
    insta::assert_snapshot!(answer, @r#"
    400
    {
      "error": {
        "code": 400,
        "details": [
          {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [
              {
                "description": "The parameter 'extraLocationTypes' is not supported by Cloud Run.",
                "field": "extraLocationTypes"
              }
            ]
          }
        ],
        "message": "The parameter 'extraLocationTypes' is not supported by Cloud Run.",
        "status": "INVALID_ARGUMENT"
      }
    }
    "#);
}

#[tokio::test]
async fn a_project_has_its_number() {
    let fixture = Fixture::new();
    let answer = fixture.get("/v1/projects/demo?alt=json").await;
    insta::assert_snapshot!(answer, @r#"
    200
    {
      "lifecycleState": "ACTIVE",
      "name": "demo",
      "projectId": "demo",
      "projectNumber": "441258804118"
    }
    "#);
    let number = answer.json()["projectNumber"].as_str().expect("a string").to_owned();
    assert_eq!(fixture.get(&format!("/v1/projects/{number}")).await, answer);
}

#[tokio::test]
async fn every_service_is_enabled() {
    let fixture = Fixture::new();
    let answer = fixture.get("/v1/projects/demo/services/run.googleapis.com?alt=json").await;
    insta::assert_snapshot!(answer, @r#"
    200
    {
      "config": {
        "name": "run.googleapis.com"
      },
      "name": "projects/441258804118/services/run.googleapis.com",
      "parent": "projects/441258804118",
      "state": "ENABLED"
    }
    "#);
    let body = r#"{"serviceIds":["run.googleapis.com"]}"#;
    let answer = fixture.post("/v1/projects/demo/services:batchEnable?alt=json", body).await.ok();
    assert_eq!(answer["done"], true);
    assert_eq!(answer["response"]["services"][0]["state"], "ENABLED");
}
