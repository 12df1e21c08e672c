"""Google's Secret Manager client (over REST) and its discovery client against a local server: every method, global and regional."""
import sys
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1, secretmanager_v1beta2
from google.iam.v1 import policy_pb2
from googleapiclient.discovery import build
from google.protobuf import field_mask_pb2

base, project = sys.argv[1:]

def client(module):
    return module.SecretManagerServiceClient(
        transport="rest", credentials=AnonymousCredentials(), client_options={"api_endpoint": base})

def refused(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), error
    else:
        raise SystemExit(f"accepted, and {text!r} was expected")

typed = client(secretmanager_v1)
for parent in [f"projects/{project}", f"projects/{project}/locations/us-east1"]:
    regional = "locations" in parent
    secret = {"labels": {"team": "x"}} | ({} if regional else {"replication": {"automatic": {}}})
    created = typed.create_secret(parent=parent, secret_id="typed", secret=secret)
    name = created.name
    assert name.endswith("/secrets/typed") and created.labels["team"] == "x", created
    refused(exceptions.Conflict, "already exists", typed.create_secret, parent=parent, secret_id="typed", secret=secret)
    for value in [b"one", bytes(range(256)), b"three"]:
        added = typed.add_secret_version(parent=name, payload={"data": value})
    assert added.name == f"{name}/versions/3" and added.state.name == "ENABLED", added
    for version, value in [("1", b"one"), ("2", bytes(range(256))), ("latest", b"three")]:
        held = typed.access_secret_version(name=f"{name}/versions/{version}")
        assert held.payload.data == value, held
    versions = typed.list_secret_versions(request={"parent": name, "page_size": 2})
    assert [version.name.rsplit("/", 1)[1] for version in versions] == ["3", "2", "1"]
    assert len(list(typed.list_secret_versions(request={"parent": name, "filter": "state:ENABLED"}))) == 3
    typed.disable_secret_version(name=f"{name}/versions/3")
    refused(exceptions.BadRequest, "DISABLED", typed.access_secret_version, name=f"{name}/versions/latest")
    assert typed.enable_secret_version(name=f"{name}/versions/3").state.name == "ENABLED"
    gone = typed.destroy_secret_version(request={"name": f"{name}/versions/3", "etag": typed.get_secret_version(name=f"{name}/versions/3").etag})
    assert gone.state.name == "DESTROYED" and gone.destroy_time, gone
    update = {"name": name, "labels": {"team": "y"}, "version_aliases": {"first": 1}, "annotations": {"a": "b"}}
    mask = field_mask_pb2.FieldMask(paths=["labels", "version_aliases", "annotations"])
    changed = typed.update_secret(secret=update, update_mask=mask)
    assert changed.version_aliases["first"] == 1 and changed.labels["team"] == "y", changed
    assert typed.access_secret_version(name=f"{name}/versions/first").payload.data == b"one"
    binding = policy_pb2.Binding(role="roles/secretmanager.secretAccessor", members=["serviceAccount:a@demo.iam.gserviceaccount.com"])
    typed.set_iam_policy(request={"resource": name, "policy": policy_pb2.Policy(bindings=[binding])})
    assert typed.get_iam_policy(request={"resource": name}).bindings[0].role == binding.role
    assert typed.test_iam_permissions(request={"resource": name, "permissions": ["secretmanager.versions.access"]}).permissions
    for more in range(4):
        typed.create_secret(parent=parent, secret_id=f"more{more}", secret=secret)
    listed = [one.name for one in typed.list_secrets(request={"parent": parent, "page_size": 2})]
    assert len(listed) == 5 and listed[-1] == name, listed
    assert [one.name for one in typed.list_secrets(request={"parent": parent, "filter": "labels.team=y"})] == [name]
    refused(exceptions.BadRequest, "secret.topics: not honoured", typed.create_secret, parent=parent, secret_id="t",
            secret=secret | {"topics": [{"name": "projects/p/topics/t"}]})
    beta = client(secretmanager_v1beta2)
    assert beta.get_secret(name=name).etag == changed.etag
    for one in listed:
        typed.delete_secret(name=one)
    refused(exceptions.NotFound, "not found", typed.get_secret, name=name)
assert typed.get_location(request={"name": f"projects/{project}/locations/us-east1"}).location_id == "us-east1"

plain = build("secretmanager", "v1", static_discovery=True, credentials=AnonymousCredentials(),
              client_options={"api_endpoint": base}).projects()
assert plain.locations().get(name=f"projects/{project}/locations/us-east1").execute()["locationId"] == "us-east1"
for parent, secrets, secret in [
    (f"projects/{project}", plain.secrets(), {"replication": {"userManaged": {"replicas": [{"location": "us-east1"}]}}}),
    (f"projects/{project}/locations/us-east1", plain.locations().secrets(), {}),
]:
    for count in range(3):
        name = secrets.create(parent=parent, secretId=f"s{count}", body=secret).execute()["name"]
    secrets.addVersion(parent=name, body={"payload": {"data": "b25l"}}).execute()
    for version in [1, "latest"]:
        assert secrets.versions().access(name=f"{name}/versions/{version}").execute()["payload"]["data"] == "b25l"
    assert secrets.versions().disable(name=f"{name}/versions/1").execute()["state"] == "DISABLED"
    assert secrets.versions().destroy(name=f"{name}/versions/1", body={}).execute()["state"] == "DESTROYED"
    seen, request = [], secrets.list(parent=parent, pageSize=2)
    while request is not None:
        page = request.execute()
        seen += page["secrets"]
        request = secrets.list_next(request, page)
    assert len(seen) == page["totalSize"] == 3, seen
    assert secrets.patch(name=name, updateMask="labels", body={"labels": {"a": "b"}}).execute()["labels"] == {"a": "b"}
    for one in seen:
        assert secrets.delete(name=one["name"]).execute() == {}
print("ok")
