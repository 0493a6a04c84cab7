"""The backend of an app that has livepair judge recordings, small and whole: copy it and build on it.

    pip install cos-python-sdk-v5 flask requests standardwebhooks tencentcloud-sdk-python-common
    BUCKET=faces-1250000000 REGION=ap-singapore SECRET_ID=... SECRET_KEY=... WEBHOOK_SECRET=whsec_... \\
        PORT=8000 python backend.py

POST /verifications begins one, GET /verifications/<id>?wait=20 answers when there is something to say, and
POST /webhook takes livepair's messages. Copy consumers/ and texts/ with it, beside its folder: it adds to the
consumer, whose `show` and `clear` work on the same STORE. The keys are those of handler/policy.backend.json.

Two things are yours to replace: `person`, and where `reference_image` finds the photo.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import sys
import time
import uuid
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

import requests
from flask import Flask, Response, abort, jsonify, request
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_exception import CosException
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from werkzeug.serving import make_server

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / name) for name in ("consumers", "texts")]

import consumer  # noqa: E402 # found beside this folder
from words import key_of  # noqa: E402

LIMITS = ((15 * 60, 3), (24 * 3600, 10))  # in so many seconds a person may begin so many verifications
LINK_SECONDS = 600
LONGEST_WAIT = 25.0  # seconds; keep it under what your proxy allows
FAILED = (TencentCloudSDKException, CosException, requests.RequestException, LookupError, ValueError)
LARGEST = 15_000_000  # bytes of a request: an image of 10 MB in base64, and DeviceData
ONE_PUT = {"x-cos-forbid-overwrite": "true"}  # signed into the link: it is good for one recording
TEXTS = [json.loads(path.read_text(encoding="utf-8")) for path in (HERE.parent / "texts").glob("*.json")]
WORDS = {tag.lower(): (each["tags"][0], each["texts"]) for each in TEXTS for tag in each["tags"]}

TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, pair TEXT NOT NULL, person TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_of_a_person ON attempts (person, at);
"""

BUCKET, REGION = os.environ.get("BUCKET", ""), os.environ.get("REGION", "")
KEYS = (os.environ.get("SECRET_ID", ""), os.environ.get("SECRET_KEY", ""))
ENDPOINT = os.environ.get(
    "FACEID_ENDPOINT", "faceid.tencentcloudapi.com"
)  # or faceid.intl…: `doctor` says which
LOCAL_CLOUD = os.environ.get("LOCAL_CLOUD", "")  # an http proxy that plays Tencent Cloud, for tests
SCHEME, PROXIES = ("http", {"http": LOCAL_CLOUD}) if LOCAL_CLOUD else ("https", None)


def refuse(status: int, why: str, headers: dict[str, str] | None = None) -> NoReturn:
    abort(Response(f"{why}\n", status, headers, content_type="text/plain"))


def person() -> str:
    """Who asks: an opaque id. Replace this by your login: here everybody is who they say."""
    return request.headers.get("X-Person") or refuse(401, "who are you?")


def reference_image(asked: dict[str, Any]) -> bytes:
    """The photo to compare with: who chooses it decides who the person has to be.

    Best your own, by its id. Take one from the app only if something else says whose face it shows.
    """
    if "image_id" in asked:
        path = Path(os.environ.get("IMAGES", "images")) / Path(str(asked["image_id"])).name
        return path.read_bytes() if path.is_file() else refuse(404, "no such image")
    try:
        return base64.b64decode(asked["image"], validate=True)  # the bytes themselves go to COS
    except (KeyError, TypeError, ValueError):
        refuse(400, "no image")


def begin(db: sqlite3.Connection, who: str) -> str:
    """Count an attempt and return its id, or answer 429: before anything is uploaded, asked or billed."""
    now, attempt = time.time(), uuid.uuid4().hex
    with db:
        db.execute("BEGIN IMMEDIATE")  # two requests at once count each other
        for seconds, most in LIMITS:
            (count, first) = db.execute(
                "SELECT count(*), min(at) FROM attempts WHERE person = ? AND at > ?", (who, now - seconds)
            ).fetchone()
            if count >= most:
                retry = {"Retry-After": str(int(first + seconds - now) + 1)}
                refuse(429, "too many attempts", retry)
        pair = consumer.named({"id": attempt})
        db.execute("INSERT INTO attempts VALUES (?, ?, ?, ?)", (attempt, pair, who, now))
    return attempt


def colour_sequence(cos: Any, attempt: str, device_data: str) -> str:
    """What startAuthByLightData takes, for what startGetAuthConfigData gave. Raises what the SDKs raise."""
    body = base64.b64encode(device_data.encode())
    key = f"device-data/{attempt}"  # outside of the trigger's prefix: no event
    cos.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=dict(ONE_PUT))
    http = HttpProfile(protocol=SCHEME, endpoint=ENDPOINT, proxy=LOCAL_CLOUD or None, reqTimeout=10)
    profile = ClientProfile(httpProfile=http, language="en-US")
    api = CommonClient("faceid", "2018-03-01", Credential(*KEYS), REGION, profile)
    asked = {
        "DeviceDataUrl": cos.get_presigned_url(BUCKET, key, "GET", Expired=600),
        "DeviceDataMd5": hashlib.md5(body).hexdigest(),
        "SecurityLevel": "4",  # blinking and light
    }
    said = api.call_json("GenerateReflectSequence", asked)["Response"]
    link = said["ReflectSequenceUrl"].replace("https://", f"{SCHEME}://", 1)
    answer = requests.get(link, proxies=PROXIES, timeout=10)
    answer.raise_for_status()
    if hashlib.md5(answer.content).hexdigest() != said["ReflectSequenceMd5"].lower():
        raise ValueError("the colour sequence came damaged")
    return answer.text


def standing(db: sqlite3.Connection, who: str, attempt: str) -> str | None:
    """The key of the words for an attempt of this person, None while there is nothing to say."""
    known = db.execute("SELECT pair FROM attempts WHERE id = ? AND person = ?", (attempt, who)).fetchone()
    if known is None:
        refuse(404, "no such verification")
    told = db.execute("SELECT body FROM pairs JOIN messages ON id = message WHERE pair = ?", known).fetchone()
    key = key_of(json.loads(told[0])) if told else None
    suspect = "SELECT 1 FROM attempts JOIN pairs USING (pair) WHERE person = ? AND suspicions <> '[]'"
    if key == "done" and db.execute(suspect, (who,)).fetchone():
        return "not_confirmed"  # in whichever attempt: it stays so until a human clears it
    return key


def words(key: str) -> tuple[str, str]:
    """What to say, in the first language of Accept-Language that there is, and which that is."""
    for asked in request.accept_languages.values():  # the best first: zh-Hant-TW, else zh-Hant, else zh
        parts = asked.lower().split("-")
        for tag in ("-".join(parts[:length]) for length in range(len(parts), 0, -1)):
            if tag in WORDS:
                return WORDS[tag][1][key], WORDS[tag][0]
    return WORDS["en"][1][key], "en"


def create_app() -> Flask:
    needed = ("BUCKET", "REGION", "SECRET_ID", "SECRET_KEY", "WEBHOOK_SECRET")
    if missing := [name for name in needed if not os.environ.get(name)]:
        raise ValueError(f"not set: {', '.join(missing)}")
    app: Flask = consumer.create_app()  # it has POST /webhook
    settings = {"Region": REGION, "SecretId": KEYS[0], "SecretKey": KEYS[1]}
    cos = CosS3Client(CosConfig(**settings, Scheme=SCHEME, Proxies=PROXIES))
    with closing(consumer.connect()) as db:
        db.executescript(TABLES)

    @app.post("/verifications")
    def start() -> tuple[Response, int]:
        request.max_content_length = LARGEST
        who, asked = person(), request.get_json(silent=True)
        if not isinstance(asked, dict) or not isinstance(asked.get("device_data"), str):
            refuse(400, "no device_data")
        image = reference_image(asked)
        with closing(consumer.connect()) as db:
            attempt = begin(db, who)
            try:
                sequence = colour_sequence(cos, attempt, asked["device_data"])
                image_key, live_key = f"uploads/{attempt}/image.jpg", f"uploads/{attempt}/live.gz"
                cos.put_object(Bucket=BUCKET, Key=image_key, Body=image, Metadata=dict(ONE_PUT))
            except FAILED as error:
                code = getattr(error, "code", None) or type(error).__name__
                app.logger.error("no sequence for %s: %s", attempt, code)
                if str(code).startswith("InvalidParameter"):  # of these, the app made DeviceData alone
                    refuse(400, "device_data is not right")
                db.execute("DELETE FROM attempts WHERE id = ?", (attempt,))  # not the person's fault
                refuse(503, "try again later", {"Retry-After": "2"})
        ends = datetime.now(timezone.utc) + timedelta(seconds=LINK_SECONDS)
        link = cos.get_presigned_url(BUCKET, live_key, "PUT", Expired=LINK_SECONDS, Headers=dict(ONE_PUT))
        upload = {"url": link, "headers": ONE_PUT, "ends": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return jsonify(id=attempt, sequence=sequence, upload=upload), 201

    @app.get("/verifications/<attempt>")
    def answer(attempt: str) -> Response:
        until = time.monotonic() + min(request.args.get("wait", 0.0, float), LONGEST_WAIT)
        with closing(consumer.connect()) as db:
            while (key := standing(db, person(), attempt)) is None and time.monotonic() < until:
                time.sleep(0.25)
        said = jsonify(status="waiting")
        if key is not None:  # never a code, a category or a similarity: they would help who tries a mask
            others = ("done", "not_confirmed", "another_photo", "later")
            status = key if key in others else "film_again"
            text, language = words(key)
            said = jsonify(status=status, words=text)
            said.headers["Content-Language"] = language
        said.headers["Cache-Control"] = "no-store"
        return said

    return app


if __name__ == "__main__":
    try:
        app = create_app()
    except ValueError as error:
        sys.exit(str(error))
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app, threaded=True)
    print(f"listening on http://127.0.0.1:{server.port}/", flush=True)
    server.serve_forever()
