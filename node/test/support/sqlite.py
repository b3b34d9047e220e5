"""The application beside the tool: runs SQL on SQLite files, one request in a line, one reply in a line."""

import base64
import json
import sqlite3
import sys

files = {}


def load(value):
    if isinstance(value, dict):
        return base64.b64decode(value["$blob"])
    return value


def dump(value):
    if isinstance(value, bytes):
        return {"$blob": base64.b64encode(value).decode()}
    return value


for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["file"] not in files:
            # Every statement is a transaction of its own.
            files[request["file"]] = sqlite3.connect(request["file"], timeout=20, isolation_level=None)
        database = files[request["file"]]
        if request.get("close"):
            database.close()
            del files[request["file"]]
            reply = {"rows": []}
        else:
            cursor = database.execute(request["sql"], [load(value) for value in request["params"]])
            names = [column[0] for column in cursor.description or []]
            reply = {"rows": [dict(zip(names, map(dump, row))) for row in cursor.fetchall()]}
    except sqlite3.Error as error:
        reply = {"error": str(error)}
    print(json.dumps(reply), flush=True)
