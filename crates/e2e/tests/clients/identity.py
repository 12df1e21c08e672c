"""Google's auth library inside a task, as it finds its surroundings. Prints what it got, as JSON on one line."""
import json
import sys

import google.auth
import google.auth.compute_engine
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import Request
from google.oauth2 import id_token

audience = sys.argv[1]
request = Request()
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
assert isinstance(credentials, google.auth.compute_engine.Credentials), credentials
credentials.refresh(request)
assert credentials.valid and credentials.expiry is not None
print(json.dumps({
    "project": project,
    "region": _metadata.get(request, "instance/region"),
    "email": credentials.service_account_email,
    "token": credentials.token,
    "identity": id_token.fetch_id_token(request, audience),
}))
