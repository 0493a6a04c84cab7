"""A consumer of livepair's webhook, small and whole: copy it and build on it.

    pip install flask standardwebhooks
    WEBHOOK_SECRET=whsec_... PORT=8000 python consumer.py    # takes messages at /webhook
    python consumer.py show                                  # what is known of each pair, a JSON line each

Put a proxy with TLS before it; any WSGI server can run `consumer:create_app()`, in several processes too. A
message is acknowledged once it is on disk and never before, so this may be killed at any moment: what was not
acknowledged comes again. No work is done while livepair waits for its answer: let your application act on the
table `pairs`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from typing import Any

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.serving import make_server

STORE = os.environ.get("STORE", "consumer.sqlite")
TYPES = [f"verification.{each}" for each in ("matched", "mismatched", "rejected", "incomplete", "failed")]
TABLES = """
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recordings (md5 TEXT PRIMARY KEY, pair TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pairs (
    pair TEXT PRIMARY KEY, state TEXT NOT NULL, advice TEXT, replay_of TEXT, message TEXT NOT NULL,
    uploaded_at TEXT NOT NULL, run INTEGER NOT NULL, decided_at TEXT NOT NULL);
"""
# Messages overtake each other: the newest uploads count, then the larger run, then what was decided last.
UPSERT = """
INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (pair) DO UPDATE SET state = excluded.state, advice = excluded.advice, message = excluded.message,
    replay_of = excluded.replay_of, uploaded_at = excluded.uploaded_at, run = excluded.run,
    decided_at = excluded.decided_at
WHERE (excluded.uploaded_at, excluded.run, excluded.decided_at)
    > (pairs.uploaded_at, pairs.run, pairs.decided_at)
"""


def connect() -> sqlite3.Connection:
    db = sqlite3.connect(STORE, timeout=5, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
    db.executescript(TABLES)
    return db


def keep(message: dict[str, Any]) -> None:
    """Store a message and what it changes, all or nothing; one that is known changes nothing."""
    with closing(connect()) as db, db:
        db.execute("BEGIN IMMEDIATE")  # one writer at a time, in whichever thread or process
        new = db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (message["id"], json.dumps(message)))
        if new.rowcount == 0 or message["type"] not in TYPES:
            return  # a repeat, a test, or a type of message that came after this was written
        data = message["data"]
        halves = [half for half in (data["live"], data["image"]) if half]
        uploaded_at = max((half["uploaded_at"] for half in halves), default="")
        pair = json.dumps(data["pair"], sort_keys=True, ensure_ascii=False)
        state, owner = data["outcome"], None
        if state == "matched":
            # A recording proves one thing once. Seen before under another pair, it was played again.
            recording = (data["live"]["md5"], pair)
            db.execute("INSERT OR IGNORE INTO recordings VALUES (?, ?)", recording)
            (owner,) = db.execute("SELECT pair FROM recordings WHERE md5 = ?", recording[:1]).fetchone()
            state = "matched" if owner == pair else "replay"
        advice = data["reason"]["advice"] if data["reason"] else None
        row = (pair, state, advice, owner if state == "replay" else None, message["id"])
        db.execute(UPSERT, (*row, uploaded_at, data["run"], message["timestamp"]))


def create_app() -> Flask:
    """A message is genuine if one of the secrets in WEBHOOK_SECRET, separated by spaces, signed it."""
    verifiers = [Webhook(secret) for secret in os.environ.get("WEBHOOK_SECRET", "").split() or [""]]
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    connect().close()  # a store that cannot be opened is known before any message comes

    @app.post("/webhook")
    def webhook() -> tuple[str, int] | tuple[str, int, dict[str, str]]:
        body, headers = request.get_data(), dict(request.headers)
        for verifier in verifiers:
            try:
                message = verifier.verify(body, headers)
                break
            except (WebhookVerificationError, ValueError):  # the second for headers that cannot be read
                continue
        else:
            return "not genuine\n", 401  # livepair tries again: a secret that is being rotated heals
        if message["version"] != 1:
            return "only version 1 is understood here\n", 501  # it comes again, for three days
        try:
            keep(message)
        except sqlite3.Error as error:
            app.logger.error("not stored: %s", error)
            return "not stored\n", 503, {"Retry-After": "60"}
        return "", 204

    return app


if __name__ == "__main__":
    if sys.argv[1:] == ["show"]:
        with closing(connect()) as db:
            for pair, *rest in db.execute("SELECT pair, state, advice, message, replay_of FROM pairs"):
                told = dict(zip(("state", "advice", "message", "replay_of"), rest, strict=True))
                print(json.dumps({"pair": json.loads(pair), **told}))
    else:
        server = make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), create_app(), threaded=True)
        print(f"listening on http://127.0.0.1:{server.port}/webhook", flush=True)
        server.serve_forever()
