"""A consumer of livepair's webhook, small and whole: copy it and build on it.

    pip install flask standardwebhooks
    BUCKET=faces-1250000000 WEBHOOK_SECRET=whsec_... PORT=8000 python consumer.py    # messages to /webhook
    python consumer.py show                      # what is known of each pair, a JSON line each
    python consumer.py clear '{"id": "42"}'      # a human looked at what is suspicious about this pair

Put a proxy with TLS before it; any WSGI server can run `consumer:create_app()`, in several processes too. A
message is acknowledged once it is on disk and never before, so this may be killed at any moment: what was not
acknowledged comes again. No work is done while livepair waits for its answer: let your application act on the
view `pairs`. It follows from the messages alone, in whatever order they came, so a later one may change it.
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
JUDGED = ("matched", "mismatched", "rejected")
TYPES = [f"verification.{each}" for each in (*JUDGED, "incomplete", "failed")]

TABLES = """
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    message TEXT PRIMARY KEY, pair TEXT NOT NULL, outcome TEXT NOT NULL, advice TEXT,
    uploaded_at TEXT NOT NULL, run INTEGER NOT NULL, decided_at TEXT NOT NULL,
    judged INTEGER NOT NULL,                -- whether this was a verdict of the API
    suspect TEXT,                           -- 'spoof' or 'review'
    recording TEXT, recorded_at TEXT,       -- of a match: the live package's MD5, and when it was uploaded
    cleared INTEGER NOT NULL DEFAULT 0);    -- a human looked at it
CREATE INDEX IF NOT EXISTS outcomes_of_a_pair ON outcomes (pair);
CREATE INDEX IF NOT EXISTS recordings ON outcomes (recording, recorded_at, pair);

-- A recording proves one thing once. Under whichever pair it was uploaded first, it is genuine.
CREATE VIEW IF NOT EXISTS replays AS SELECT pair, owner FROM (
    SELECT pair, (SELECT first.pair FROM outcomes first WHERE first.recording = each.recording
                  ORDER BY recorded_at, pair LIMIT 1) AS owner
    FROM outcomes each WHERE recording IS NOT NULL AND NOT cleared)
WHERE owner <> pair;

-- What is suspicious stays so, whatever is uploaded next, until a human clears it. Of verdicts about one pair
-- five are enough: each one more is a guess too many. Messages overtake each other: the newest uploads count,
-- then the larger run, then what was decided last.
CREATE VIEW IF NOT EXISTS pairs AS
    SELECT pair, CASE WHEN outcome = 'matched' AND suspicions <> '[]' THEN 'review' ELSE outcome END AS state,
        advice, message, suspicions, replay_of, tries
    FROM (SELECT *,
        (SELECT min(owner) FROM replays WHERE replays.pair = each.pair) AS replay_of,
        (SELECT sum(judged) FROM outcomes WHERE outcomes.pair = each.pair) AS tries,
        (SELECT json_group_array(why) FROM (
            SELECT suspect AS why FROM outcomes o
                WHERE o.pair = each.pair AND NOT cleared AND suspect IS NOT NULL
            UNION SELECT 'replay' FROM replays WHERE replays.pair = each.pair
            UNION SELECT 'tries' FROM outcomes o WHERE o.pair = each.pair AND NOT cleared
                GROUP BY pair HAVING sum(judged) > 5)) AS suspicions
        FROM outcomes each WHERE NOT EXISTS (
            SELECT 1 FROM outcomes newer WHERE newer.pair = each.pair
            AND (newer.uploaded_at, newer.run, newer.decided_at, newer.message)
                > (each.uploaded_at, each.run, each.decided_at, each.message)));
"""


def connect() -> sqlite3.Connection:
    db = sqlite3.connect(STORE, timeout=5, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
    db.executescript(TABLES)
    return db


def named(pair: dict[str, str]) -> str:
    return json.dumps(pair, sort_keys=True, ensure_ascii=False)


def keep(message: dict[str, Any]) -> None:
    """Store a message and what it says, all or nothing; one that is known changes nothing."""
    with closing(connect()) as db, db:
        db.execute("BEGIN IMMEDIATE")  # one writer at a time, in whichever thread or process
        new = db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (message["id"], json.dumps(message)))
        if new.rowcount == 0 or message["type"] not in TYPES:
            return  # a repeat, a test, or a type of message that came after this was written
        data = message["data"]
        outcome, live, reason = data["outcome"], data["live"], data["reason"] or {}
        advice = reason["advice"] if reason else None
        suspect = "spoof" if reason.get("category") == "spoof" else "review" if advice == "review" else None
        judged = outcome in JUDGED and data["api"] is not None
        recording = (live["md5"], live["uploaded_at"]) if outcome == "matched" else (None, None)
        uploaded_at = max((half["uploaded_at"] for half in (live, data["image"]) if half), default="")
        row = (message["id"], named(data["pair"]), outcome, advice)
        rank = (uploaded_at, data["run"], message["timestamp"])
        db.execute(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (*row, *rank, judged, suspect, *recording),
        )


def create_app() -> Flask:
    """A message is genuine if one of the secrets in WEBHOOK_SECRET, separated by spaces, signed it.

    Raises ValueError where a setting is missing or wrong.
    """
    secrets = os.environ.get("WEBHOOK_SECRET", "").split()
    buckets = os.environ.get("BUCKET", "").split()  # what is signed for another one decides nothing here
    if not (buckets and secrets):
        raise ValueError("BUCKET and WEBHOOK_SECRET are needed: messages about any other are refused")
    try:
        if not all(secret.startswith("whsec_") for secret in secrets):
            raise ValueError
        verifiers = [Webhook(secret) for secret in secrets]
    except ValueError:  # what it was is not shown
        raise ValueError("WEBHOOK_SECRET is none: whsec_ and base64 it must be") from None
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
        halves = (message["data"].get("live"), message["data"].get("image"))
        if any(half and half["bucket"] not in buckets for half in halves):
            return "about another bucket\n", 403  # it comes again, and then its operator sees it
        try:
            keep(message)
        except sqlite3.Error as error:
            app.logger.error("not stored: %s", error)
            return "not stored\n", 503, {"Retry-After": "60"}
        return "", 204

    return app


def show() -> None:
    with closing(connect()) as db:
        db.row_factory = sqlite3.Row
        for row in db.execute("SELECT * FROM pairs ORDER BY pair"):
            read = {name: json.loads(row[name] or "null") for name in ("pair", "suspicions", "replay_of")}
            # All that is not printable ASCII is escaped: uploaders chose what stands in a pair.
            print(json.dumps({**dict(row), **read}))


if __name__ == "__main__":
    if sys.argv[1:] == ["show"]:
        show()
    elif sys.argv[1:2] == ["clear"] and len(sys.argv) == 3:
        with closing(connect()) as db:
            pair = named(json.loads(sys.argv[2]))
            found = db.execute("UPDATE outcomes SET cleared = 1 WHERE pair = ?", (pair,))
            print(f"cleared, as far as {found.rowcount} messages go")
    elif sys.argv[1:]:
        sys.exit("""show, clear '{"id": "42"}', or nothing: then it takes messages""")
    else:
        try:
            app = create_app()
        except ValueError as error:
            sys.exit(str(error))
        server = make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app, threaded=True)
        print(f"listening on http://127.0.0.1:{server.port}/webhook", flush=True)
        server.serve_forever()
