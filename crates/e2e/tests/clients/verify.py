"""Google's auth library checks an identity token, with the keys at one address of ours: argv = URL, audience; the token on stdin."""
import json
import sys

from google.auth.transport.requests import Request
from google.oauth2 import id_token

_, certs, audience = sys.argv
token = sys.stdin.read().strip()
request = Request()
claims = id_token.verify_token(token, request, audience=audience, certs_url=certs)
for change in [token[:-6] + "AAAAAA", token.replace(".", ".e30", 1)]:
    try:
        id_token.verify_token(change, request, audience=audience, certs_url=certs)
    except Exception:
        continue
    raise SystemExit("a changed token was taken")
try:
    id_token.verify_token(token, request, audience="https://other.test", certs_url=certs)
except Exception:
    print(json.dumps(claims))
else:
    raise SystemExit("a token for another audience was taken")
