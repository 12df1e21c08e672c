"""Google's discovery client against a local server: every v1 method, and a long query that it sends as a POST."""
import sys, time
from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

base, project = sys.argv[1:]
parent = f"namespaces/{project}"
run = build("run", "v1", static_discovery=True, credentials=AnonymousCredentials(),
            client_options={"api_endpoint": base})
jobs, executions, tasks = run.namespaces().jobs(), run.namespaces().executions(), run.namespaces().tasks()

body = {
    "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": "from-python", "labels": {"team": "x"}},
    "spec": {"template": {"spec": {"taskCount": 3, "template": {"spec": {
        "containers": [{"image": "builtin.groundrun/job", "args": ["args", "a", "b"]}], "timeoutSeconds": "60"}}}}},
}
dry = jobs.create(parent=parent, body=body, dryRun="all").execute()
assert dry["metadata"]["name"] == "from-python"
assert "items" not in jobs.list(parent=parent).execute() or not jobs.list(parent=parent).execute()["items"]
created = jobs.create(parent=parent, body=body).execute()
assert created["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] == 3, created
name = f"{parent}/jobs/from-python"

def until(what, look):
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        seen = look()
        if seen:
            return seen
        time.sleep(0.02)
    raise SystemExit(f"not seen: {what}")

def condition(thing, kind):
    return next((c for c in thing["status"].get("conditions", []) if c["type"] == kind), {})

until("Ready", lambda: condition(jobs.get(name=name).execute(), "Ready").get("status") == "True")
execution = jobs.run(name=name).execute()  # no body at all
path = f"{parent}/executions/{execution['metadata']['name']}"
done = until("Completed", lambda: (lambda e: e if condition(e, "Completed").get("status") == "True" else None)(executions.get(name=path).execute()))
assert done["status"]["succeededCount"] == 3 and "failedCount" not in done["status"], done

selector = "run.googleapis.com/execution=" + execution["metadata"]["name"]
listed = tasks.list(parent=parent, labelSelector=selector, limit=2).execute()
assert len(listed["items"]) == 2 and listed["metadata"]["continue"], listed
rest = tasks.list(parent=parent, labelSelector=selector, limit=2, **{"continue": listed["metadata"]["continue"]}).execute()
assert [t["status"].get("index", 0) for t in listed["items"] + rest["items"]] == [0, 1, 2]
long = "run.googleapis.com/runningState in (" + ",".join(["Succeeded"] + ["x%d" % n for n in range(600)]) + ")," + selector
assert len(tasks.list(parent=parent, labelSelector=long).execute()["items"]) == 3
assert tasks.get(name=f"{parent}/tasks/{execution['metadata']['name']}-task2").execute()["status"]["index"] == 2

for text, expected in [("team=x", 1), ("team!=x", 0), ("team", 1), ("!team", 0), ("team in (x,y)", 1), ("team notin (x)", 0)]:
    items = jobs.list(parent=parent, labelSelector=text).execute().get("items", [])
    assert len(items) == expected, (text, items)

current = jobs.get(name=name).execute()
stale = dict(current, metadata=dict(current["metadata"], resourceVersion="AAAAAAAAAAA"))
try:
    jobs.replaceJob(name=name, body=stale).execute()
    raise SystemExit("a stale resourceVersion was accepted")
except HttpError as error:
    assert error.resp.status == 409, error
current["spec"]["template"]["spec"]["taskCount"] = 1
replaced = jobs.replaceJob(name=name, body=current).execute()
assert replaced["metadata"]["generation"] == 2, replaced
again = jobs.replaceJob(name=name, body=jobs.get(name=name).execute()).execute()
assert again["metadata"]["generation"] == 2, again

over = jobs.run(name=name, body={"overrides": {"taskCount": 2, "timeoutSeconds": 30, "containerOverrides": [
    {"args": ["wait-term", "0"], "env": [{"name": "X", "value": "1"}]}]}}).execute()
path = f"{parent}/executions/{over['metadata']['name']}"
until("running", lambda: executions.get(name=path).execute()["status"].get("runningCount") == 2)
executions.cancel(name=path).execute()
until("cancelled", lambda: condition(executions.get(name=path).execute(), "Completed").get("reason") == "Cancelled")
executions.delete(name=path).execute()
try:
    executions.get(name=path).execute()
    raise SystemExit("a deleted execution is still there")
except HttpError as error:
    assert error.resp.status == 404 and "kind 'EXECUTION'" in str(error), error

try:
    jobs.create(parent=parent, body={"metadata": {"name": "Bad_Name"}, "spec": {"typo": 1, "template": {"spec": {"taskCount": 99999}}}}).execute()
    raise SystemExit("a bad document was accepted")
except HttpError as error:
    fields = [v["field"] for d in error.error_details for v in d["fieldViolations"]]
    assert error.resp.status == 400 and fields, error

policy = run.projects().locations().jobs()
resource = f"projects/{project}/locations/us-central1/jobs/from-python"
policy.setIamPolicy(resource=resource, body={"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["user:a@example.com"]}]}}).execute()
assert policy.getIamPolicy(resource=resource).execute()["bindings"][0]["role"] == "roles/run.invoker"
assert policy.testIamPermissions(resource=resource, body={"permissions": ["run.jobs.run"]}).execute()["permissions"] == ["run.jobs.run"]
assert run.projects().locations().list(name=f"projects/{project}").execute()["locations"]
jobs.delete(name=name).execute()
print("ok")
