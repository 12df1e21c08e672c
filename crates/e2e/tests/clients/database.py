"""A task that talks to a PostgreSQL of the user's machine, and says who it is. argv = port, audience."""
import json
import sys

import google.auth
import psycopg2
from google.auth.transport.requests import Request
from google.oauth2 import id_token

_, port, audience = sys.argv
connection = psycopg2.connect(host="host.docker.internal", port=port, user="postgres", dbname="postgres", connect_timeout=20)
cursor = connection.cursor()
cursor.execute("create table visit (who text, project text)")
identity = id_token.fetch_id_token(Request(), audience)
claims = id_token.jwt.decode(identity, verify=False)
cursor.execute("insert into visit values (%s, %s)", (claims["email"], google.auth.default()[1]))
connection.commit()
cursor.execute("select who, project from visit")
who, project = cursor.fetchone()
print(json.dumps({"who": who, "project": project, "identity": identity}))
