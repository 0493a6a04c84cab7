"""events/: what the samples promise holds, and the schema says what the code tells."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from handler.rules.codes import CODES, FAMILIES
from handler.rules.events import Ignored, TimerEvent, UploadEvent, records, upload
from handler.rules.outcome import Called, Decision
from handler.rules.pairing import Role
from handler.rules.settings import Settings
from tests.support.messages import (
    ANSWERS,
    AT,
    BUCKET,
    CHINESE,
    CJK,
    JUDGED,
    MESSAGES,
    NO_CALL,
    OUTCOMES,
    PLAIN,
    ROLES,
    SCHEMA,
    SETTINGS,
    VERIFICATIONS,
    Message,
    answered,
    faults,
    half_a_pair,
    load,
    moment,
    told,
    without_call,
)
from tests.support.project import EVENTS

# --- COS and Timer events ---------------------------------------------------------------------------


def only_record(name: str) -> Any:
    found = records(load(name))
    assert isinstance(found, list)
    assert len(found) == 1
    return found[0]


def only_upload(name: str) -> UploadEvent:
    found = upload(only_record(name))
    assert isinstance(found, UploadEvent)
    return found


@pytest.mark.parametrize(
    ("name", "role", "values"),
    [
        ("cos-put.json", "live", {"id": "a1f4c0de"}),
        ("cos-put-old.json", "image", {"id": "a1f4c0de"}),
        ("cos-complete-multipart.json", "live", {"id": "f6a9c0de"}),
        ("cos-put-key-with-spaces-and-cjk.json", "live", {"id": "申请 0042"}),
    ],
)
def test_a_sample_upload_is_read_as_an_upload_of_its_pair(
    name: str, role: Role, values: dict[str, str]
) -> None:
    """One key, the long region and a time come out, and the default templates know role and pair."""
    found = only_upload(name)
    assert (found.bucket, found.region) == (BUCKET, "ap-singapore")
    assert found.at is not None
    assert found.at.date() == AT.date()
    (key,) = found.keys
    match = SETTINGS.templates.match(key)
    assert match is not None
    assert match[0] == role
    assert dict(match[1].values) == values


def test_the_new_shape_names_the_long_region_and_the_md5() -> None:
    """cos-put.json is what today's events look like: region by its long name, ETag in quotes."""
    cos = only_record("cos-put.json")["cos"]
    assert cos["cosBucket"]["s3Region"] == cos["cosBucket"]["cosRegion"] == "ap-singapore"
    assert re.fullmatch(r'"[0-9a-f]{32}"', cos["cosObject"]["meta"]["ETag"])


def test_the_old_shape_names_a_short_region_and_no_etag() -> None:
    """cos-put-old.json holds nothing that came later, and its region is known without the URL too."""
    record = only_record("cos-put-old.json")
    assert set(record["cos"]["cosBucket"]) == {"region", "name", "appid"}
    assert record["cos"]["cosBucket"]["region"] == "sg"
    assert "ETag" not in record["cos"]["cosObject"]["meta"]
    del record["cos"]["cosObject"]["url"]
    found = upload(record)
    assert isinstance(found, UploadEvent)
    assert found.region == "ap-singapore"


def test_the_multipart_sample_has_an_etag_that_is_no_md5() -> None:
    """cos-complete-multipart.json is an upload in parts: its ETag ends with their number."""
    record = only_record("cos-complete-multipart.json")
    assert record["event"]["eventName"] == "cos:ObjectCreated:CompleteMultipartUpload"
    assert re.fullmatch(r'"[0-9a-f]{32}-[0-9]+"', record["cos"]["cosObject"]["meta"]["ETag"])


def test_the_key_with_spaces_and_cjk_is_encoded_in_the_url_only() -> None:
    """As in real events: raw in `key`, percent-encoded in `url`, and both mean one object."""
    stored = only_record("cos-put-key-with-spaces-and-cjk.json")["cos"]["cosObject"]
    assert stored["key"].endswith("/uploads/申请 0042/live.gz")
    assert stored["url"].endswith("/uploads/%E7%94%B3%E8%AF%B7%200042/live.gz")
    assert only_upload("cos-put-key-with-spaces-and-cjk.json").keys == ("uploads/申请 0042/live.gz",)


def test_a_removal_is_ignored() -> None:
    """cos-remove.json asks for nothing."""
    assert isinstance(upload(only_record("cos-remove.json")), Ignored)


@pytest.mark.parametrize("name", ["sweep", "reconcile"])
def test_a_timer_sample_is_a_tick_with_its_argument(name: str) -> None:
    """The file name says what the timer asks for."""
    assert records(load(f"timer-{name}.json")) == TimerEvent(name)


def test_the_samples_of_a_pair_belong_together() -> None:
    """The two cos-put samples are the uploads that verification.matched.json tells of."""
    data = load("verification.matched.json")["data"]
    for name, role in (("cos-put.json", "live"), ("cos-put-old.json", "image")):
        found, stored = only_upload(name), only_record(name)["cos"]["cosObject"]
        assert (found.bucket, found.keys) == (data[role]["bucket"], (data[role]["key"],))
        assert stored["size"] == data[role]["size"]
        assert found.at == moment(data[role]["uploaded_at"])
        assert stored["meta"].get("ETag", f'"{data[role]["md5"]}"') == f'"{data[role]["md5"]}"'


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.name)
def test_no_sample_holds_anything_real(path: Path) -> None:
    """Signatures are marked as fake, and there is no bucket, account or link but the sample ones."""
    text = path.read_text(encoding="utf-8")
    assert "q-sign" not in text
    assert all(value.startswith("FAKE") for value in re.findall(r'"Authorization": "([^"]*)', text))
    assert set(re.findall(r"\b1[0-9]{9}\b", text)) <= {"1250000000", *re.findall(r'eventTime": (\d+)', text)}
    assert set(re.findall(r"https?://([^/\"]+)", text)) <= {
        f"{BUCKET}.cos.ap-singapore.myqcloud.com",
        "json-schema.org",
    }


def test_the_table_names_every_file_and_no_other() -> None:
    """events/README.md has one row for each file."""
    text = (EVENTS / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## The files of this folder") :]
    rows = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    there = {
        path.relative_to(EVENTS).as_posix() for path in EVENTS.rglob("*.*") if "__pycache__" not in path.parts
    }
    assert sorted(rows) == sorted(there - {"README.md"})


# --- the schema and its samples ---------------------------------------------------------------------


def test_the_schema_is_valid_json_schema() -> None:
    """It declares 2020-12 and is what its metaschema asks for."""
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)


SOMETIMES = {"metadata"}
"""Fields that are there only where a setting asks for them."""


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of the schema that defines an object of the message: those that say what is required."""
    if isinstance(schema, dict):
        if "required" in schema and "properties" in schema and "type" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_every_field_is_described() -> None:
    """No field is left to guessing, and all that livepair always sends is required."""
    found = [part for part in objects(SCHEMA) if part["required"] != ["md5"]]
    assert len(found) == 7
    for part in found:
        assert part["required"] == [name for name in part["properties"] if name not in SOMETIMES]
        for name, field in part["properties"].items():
            assert field.get("description"), name


def test_every_object_takes_properties_that_come_later() -> None:
    """Nothing says additionalProperties: false; `pair` and `metadata` say that their values are texts."""
    text = json.dumps(SCHEMA)
    assert "unevaluatedProperties" not in text
    assert re.findall(r'"additionalProperties": (\S+)', text) == ['{"type":'] * 2


@pytest.mark.parametrize("name", MESSAGES)
def test_a_sample_message_is_valid(name: str) -> None:
    """Each is of the type its file name says, and the schema takes it."""
    message = load(name)
    assert f"{message['type']}.json" == name
    assert faults(message) == []


def test_the_test_message_has_the_same_envelope() -> None:
    """webhook.test has the fields of every message, in the same order."""
    assert list(load("webhook.test.json")) == list(load("verification.matched.json"))


def test_the_incomplete_sample_is_told_at_the_pair_timeout() -> None:
    """Its time is that of the upload and PAIR_TIMEOUT, whoever writes it."""
    message = load("verification.incomplete.json")
    uploaded_at = moment(message["data"]["live"]["uploaded_at"])
    assert moment(message["timestamp"]) == uploaded_at + timedelta(seconds=SETTINGS.pair_timeout)


# --- what the code tells ----------------------------------------------------------------------------


def test_the_codes_below_are_all_codes() -> None:
    """Each row of the table is told in one of the next two tests."""
    assert set(NO_CALL) | set(ANSWERS) == set(CODES)


@pytest.mark.parametrize(
    "code",
    [
        *ANSWERS,
        *(family for family, _ in FAMILIES),
        *(f"{family}.Something" for family, _ in FAMILIES),
        "FailedOperation.NeverHeardOf",
    ],
)
def test_what_is_told_of_any_answer_is_valid(code: str) -> None:
    """Every code of the API and of livepair, every family and an unknown code; with and without words."""
    similarity = 96.3 if code == "Success" else 12
    for text in ("said by the API", ""):
        message = answered(code, similarity, text)
        assert faults(message) == []
        assert message["data"]["api"]["code"] == code


@pytest.mark.parametrize("code", NO_CALL)
def test_what_is_told_without_a_call_is_valid(code: str) -> None:
    """A missing half, an upload of a wrong size (its MD5 not known) and one that may not be read."""
    message = without_call(code)
    assert faults(message) == []
    assert message["data"]["api"] is None


@pytest.mark.parametrize("similarity", [0, 69.99, 70, 100.0])
def test_success_is_valid_with_any_similarity(similarity: float) -> None:
    """From 0 to 100, matched or mismatched."""
    message = answered("Success", similarity)
    assert faults(message) == []
    assert message["data"]["outcome"] == ("matched" if similarity >= 70 else "mismatched")


def test_a_low_similarity_that_the_api_gives_no_number_for_is_valid() -> None:
    """The API may say CompareLowSimilarity as an error, without Sim."""
    message = answered("InternalError.CompareLowSimilarity", None)
    assert faults(message) == []
    assert message["data"]["similarity"] is None


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("settings", [SETTINGS, CJK], ids=["plain", "cjk"])
@pytest.mark.parametrize(
    ("decision", "called", "frame"),
    JUDGED.values(),
    ids=JUDGED,
)
def test_a_judged_pair_is_valid_in_every_run(
    decision: Decision, called: Called, frame: bool, settings: Settings, run: int
) -> None:
    """With and without a best frame where there can be one, and with any text as a placeholder's value."""
    seen = PLAIN if settings is SETTINGS else CHINESE
    message = told(decision, seen=seen, run=run, frame=frame, called=called, settings=settings)
    assert faults(message) == []
    assert message["data"]["run"] == run
    assert (message["data"]["best_frame"] is not None) == frame
    assert message["data"]["pair"] == dict(seen.pair.values)


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.parametrize("missing", ["live", "image"])
def test_half_a_pair_is_valid_in_every_run(missing: Role, run: int) -> None:
    """The missing half is null, whichever it is."""
    message = half_a_pair(missing, run)
    assert faults(message) == []
    assert message["data"][missing] is None


# --- what the schema refuses ------------------------------------------------------------------------


def put(*path: str, value: object) -> Callable[[Message], None]:
    """A change: the field at `path` gets `value`."""

    def change(message: Message) -> None:
        for name in path[:-1]:
            message = message[name]
        message[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[Message], None]:
    """A change: the field at `path` goes."""

    def change(message: Message) -> None:
        for name in path[:-1]:
            message = message[name]
        del message[path[-1]]

    return change


def fields(message: Message, *path: str) -> Iterator[tuple[str, ...]]:
    """The paths of all fields that a message must have: all but the pair's values, the application's own."""
    for name, value in message.items():
        yield (*path, name)
        if isinstance(value, dict) and name != "pair":
            yield from fields(value, *path, name)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_without_one_of_its_fields_is_refused(name: str) -> None:
    """Whichever field of whichever sample goes, at any depth."""
    for path in fields(load(name)):
        message = load(name)
        drop(*path)(message)
        assert faults(message), ".".join(path)


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_a_type_and_an_outcome_that_differ_are_refused(name: str) -> None:
    """For every wrong combination, and for the rest of a message that does not fit its type and outcome."""
    for outcome in OUTCOMES:
        if name == f"verification.{outcome}.json":
            continue
        for changes in (
            {"type": f"verification.{outcome}"},
            {"outcome": outcome},
            {"type": f"verification.{outcome}", "outcome": outcome},
        ):
            message = load(name)
            message["type"] = changes.get("type", message["type"])
            message["data"]["outcome"] = changes.get("outcome", message["data"]["outcome"])
            assert faults(message), changes


UNMATCHED = [name for name in VERIFICATIONS if name != "verification.matched.json"]
VERDICTS = ["verification.matched.json", "verification.mismatched.json"]
UNJUDGED = [name for name in VERIFICATIONS if name not in VERDICTS]
REASON = {"code": "X", "category": "service", "message": "x", "advice": "none"}
MATCHED = load("verification.matched.json")["data"]


@pytest.mark.parametrize(
    ("names", "change"),
    [
        (MESSAGES, put("id", value="8f633646549d0750a13c8cff166fe815")),
        (MESSAGES, put("id", value="msg_8f63.3646")),
        (MESSAGES, put("id", value=1)),
        (MESSAGES, put("type", value="verification.unheard_of")),
        (MESSAGES, put("type", value="matched")),
        (MESSAGES, put("version", value=2)),
        (MESSAGES, put("version", value="1")),
        (MESSAGES, put("data", value=None)),
        (MESSAGES, put("data", value={})),
        (MESSAGES, put("timestamp", value=1795348797)),
        (MESSAGES, put("timestamp", value="2026-11-22T12:00:00")),
        (MESSAGES, put("timestamp", value="2026-11-22T20:00:00+08:00")),
        (MESSAGES, put("timestamp", value="2026-11-22T12:00:00.5Z")),
        (MESSAGES, put("timestamp", value="2026-13-22T12:00:00Z")),
        (VERIFICATIONS, put("type", value="webhook.test")),
        (["webhook.test.json"], put("type", value="verification.matched")),
        (["webhook.test.json"], put("data", "note", value=None)),
        (VERIFICATIONS, put("data", "verification_id", value="")),
        (VERIFICATIONS, put("data", "verification_id", value=7)),
        (VERIFICATIONS, put("data", "verification_id", value="a.b")),
        (VERIFICATIONS, put("data", "run", value=0)),
        (VERIFICATIONS, put("data", "run", value=1.5)),
        (VERIFICATIONS, put("data", "outcome", value="unheard_of")),
        (VERIFICATIONS, put("data", "outcome", value=None)),
        (VERIFICATIONS, put("data", "pair", value={})),
        (VERIFICATIONS, put("data", "pair", value=None)),
        (VERIFICATIONS, put("data", "pair", "id", value=42)),
        (VERIFICATIONS, put("data", "pair", "id", value="")),
        (VERIFICATIONS, put("data", "similarity", value="96.3")),
        (VERIFICATIONS, put("data", "similarity", value=100.1)),
        (VERIFICATIONS, put("data", "similarity", value=-1)),
        (["verification.matched.json"], put("data", "similarity", value=None)),
        (UNJUDGED, put("data", "similarity", value=50)),
        (VERIFICATIONS, put("data", "min_similarity", value=None)),
        (VERIFICATIONS, put("data", "min_similarity", value=101)),
        (VERIFICATIONS, put("data", "min_similarity", value=-1)),
        (UNMATCHED, put("data", "reason", value=None)),
        (["verification.matched.json"], put("data", "reason", value=REASON)),
        (UNMATCHED, put("data", "reason", "code", value=None)),
        (UNMATCHED, put("data", "reason", "category", value="unheard_of")),
        (UNMATCHED, put("data", "reason", "message", value="")),
        (UNMATCHED, put("data", "reason", "message", value=None)),
        (UNMATCHED, put("data", "reason", "advice", value="unheard_of")),
        (["verification.failed.json"], put("data", "reason", "category", value="spoof")),
        (["verification.rejected.json"], put("data", "reason", "category", value="similarity")),
        (VERIFICATIONS, put("data", "live", value=None)),
        (
            [*VERDICTS, "verification.rejected.json", "verification.failed.json"],
            put("data", "image", value=None),
        ),
        (["verification.incomplete.json"], put("data", "image", value=MATCHED["image"])),
        (["verification.incomplete.json"], put("data", "reason", "code", value="Livepair.LiveMissing")),
        (["verification.incomplete.json"], put("data", "reason", "category", value="service")),
        (VERIFICATIONS, put("data", "live", "bucket", value="")),
        (VERIFICATIONS, put("data", "live", "bucket", value=None)),
        (VERIFICATIONS, put("data", "live", "key", value="")),
        (VERIFICATIONS, put("data", "live", "key", value=None)),
        (VERDICTS, put("data", "live", "md5", value=None)),
        (VERIFICATIONS, put("data", "live", "md5", value="D41D8CD98F00B204E9800998ECF8427E")),
        (VERIFICATIONS, put("data", "live", "md5", value="0" * 31)),
        (VERIFICATIONS, put("data", "live", "md5", value=0)),
        (VERIFICATIONS, put("data", "live", "size", value=-1)),
        (VERIFICATIONS, put("data", "live", "size", value="183204")),
        (VERIFICATIONS, put("data", "live", "uploaded_at", value="2026-11-22")),
        (VERIFICATIONS, put("data", "live", "uploaded_at", value="2026-11-22T25:00:00Z")),
        (VERDICTS, put("data", "best_frame", "md5", value=None)),
        (VERDICTS, put("data", "best_frame", "md5", value="0" * 31)),
        (VERDICTS, put("data", "best_frame", "bucket", value=None)),
        (VERDICTS, put("data", "best_frame", "bucket", value="")),
        (VERDICTS, put("data", "best_frame", "key", value=None)),
        (VERDICTS, put("data", "best_frame", "key", value="")),
        (UNJUDGED, put("data", "best_frame", value=MATCHED["best_frame"])),
        (VERDICTS, put("data", "api", value=None)),
        (VERDICTS, put("data", "api", "calls", value=0)),
        (["verification.matched.json"], put("data", "api", "code", value="FailedOperation.UnKnown")),
        (["verification.failed.json"], put("data", "api", "calls", value=-1)),
        (["verification.failed.json"], put("data", "api", "calls", value="1")),
        (["verification.failed.json"], put("data", "api", "code", value=None)),
        (["verification.failed.json"], put("data", "api", "request_id", value=1)),
        (["verification.failed.json"], put("data", "api", "region", value=None)),
        (["verification.incomplete.json"], put("data", "api", value=MATCHED["api"])),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused(names: list[str], change: Callable[[Message], None]) -> None:
    """One change to a valid message, and it is valid no more."""
    for name in names:
        message = load(name)
        assert faults(message) == []
        change(message)
        assert faults(message), name


@pytest.mark.parametrize("role", ROLES)
def test_an_unknown_md5_is_taken_only_where_nobody_judged(role: Role) -> None:
    """An upload never read through can be rejected, fail or stay alone, but never match or mismatch."""
    code = "Livepair.LiveTooLarge" if role == "live" else "Livepair.ImageTooLarge"
    message = without_call(code)
    assert message["data"][role]["md5"] is None
    assert faults(message) == []
    for name, allowed in (("matched", False), ("mismatched", False), ("failed", True)):
        told = load(f"verification.{name}.json")
        told["data"][role]["md5"] = None
        assert (faults(told) == []) is allowed, name
    alone = load("verification.incomplete.json")
    here = "live" if alone["data"]["live"] else "image"
    alone["data"][here]["md5"] = None
    assert faults(alone) == []


@pytest.mark.parametrize(
    "change",
    [
        put("data", "live", value=MATCHED["live"]),
        put("data", "image", value=None),
        put("data", "reason", "code", value="Livepair.ImageMissing"),
    ],
)
def test_half_a_pair_is_refused_where_reason_and_halves_differ(change: Callable[[Message], None]) -> None:
    """The sample lacks the image; the same rules hold where the live package is missing."""
    message = without_call("Livepair.LiveMissing")
    assert faults(message) == []
    change(message)
    assert faults(message)


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_what_may_come_later_is_taken(name: str) -> None:
    """New fields at any depth, codes nobody has heard of and new regions make no message invalid."""
    message = load(name)

    def extend(part: dict[str, Any]) -> None:
        for key, value in list(part.items()):
            if isinstance(value, dict) and key != "pair":
                extend(value)
        part["comes_later"] = {"any": ["thing"]}

    extend(message)
    reason, api = message["data"]["reason"], message["data"]["api"]
    if reason and name != "verification.incomplete.json":
        reason["code"] = "FailedOperation.NeverHeardOf"
    if api:
        api["region"] = "ap-elsewhere"
    assert faults(message) == []
