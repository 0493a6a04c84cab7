"""events/types and events/openapi.yaml: what is made of the contract says what the contract says."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from events.types import livepair
from tests.cloud import samples
from tests.contract.test_contract import extended, messages
from tests.derive.contract import derive
from tests.docs import documents
from tests.support.compilers import LANGUAGES, answers, go, java, needs_go, needs_java, typescript
from tests.support.harness import Livepair
from tests.support.messages import (
    FORMATS,
    MESSAGES,
    SCHEMA,
    Message,
    every_message,
    faults,
    load,
    without_call,
)
from tests.support.nodejs import needs_node
from tests.support.project import EVENTS

SAMPLES = [*MESSAGES, "verification.matched.metadata.json"]
DERIVED = load("types/message.schema.json")
OPENAPI = yaml.safe_load((EVENTS / "openapi.yaml").read_text(encoding="utf-8"))
REQUEST = {"$ref": "#/components/schemas/Message", "components": OPENAPI["components"]}

BY_CONTRACT, BY_TYPE, BY_OPENAPI = (
    Draft202012Validator(schema, format_checker=FORMATS) for schema in (SCHEMA, DERIVED, REQUEST)
)


def with_metadata(message: Message) -> Message:
    """The same with PASS_METADATA."""
    found = copy.deepcopy(message)
    for role in ("live", "image"):
        if found["data"].get(role):
            found["data"][role]["metadata"] = {"attempt": "3", "device-name": "甲 <b>"}
    return found


# --- the schema by type -------------------------------------------------------------------------------


def test_the_schema_by_type_takes_every_message() -> None:
    """Samples, every code, outcome, run and null; with PASS_METADATA, and with fields that come later."""
    assert [name for name in SAMPLES if faults(load(name)) or faults(load(name), DERIVED)] == []
    for message in every_message():
        for each in (message, extended(with_metadata(message))):
            assert BY_TYPE.is_valid(each), faults(each, DERIVED)


@given(messages())
def test_the_schema_by_type_takes_whatever_is_said(message: Message) -> None:
    """Any code, words, keys, sizes, times and similarity that the contract takes."""
    assert BY_CONTRACT.is_valid(message)
    assert BY_TYPE.is_valid(message)


def places(part: dict[str, Any], *at: str) -> Iterator[tuple[str, ...]]:
    for name, value in part.items():
        yield (*at, name)
        if isinstance(value, dict):
            yield from places(value, *at, name)


WRONG: tuple[Any, ...] = (None, "matched", "Livepair.LiveMissing", -1)
"""Values that fit in one place or the other, and mostly in none."""


@pytest.mark.parametrize(
    "message",
    [
        *map(load, SAMPLES[1:]),
        without_call("Livepair.LiveMissing"),
        without_call("Livepair.UploadUnreadable"),
    ],
    ids=lambda message: message["type"],
)
def test_the_schema_by_type_refuses_what_the_contract_refuses(message: Message) -> None:
    """Each field of each kind of message goes, or gets another value: both say the same of it."""
    refused = 0
    for place in places(message):
        for wrong in (*WRONG, ...):
            changed = copy.deepcopy(message)
            part = changed
            for name in place[:-1]:
                part = part[name]
            if wrong is ...:
                del part[place[-1]]
            else:
                part[place[-1]] = wrong
            taken = BY_CONTRACT.is_valid(changed)
            assert BY_TYPE.is_valid(changed) == taken, (place, wrong)
            refused += not taken
    assert refused > 10


def test_the_schema_by_type_tells_types_apart_by_type() -> None:
    """One shape for each type, each with a constant of its own: generators make a tagged union of it."""
    Draft202012Validator.check_schema(DERIVED)
    tags = [
        DERIVED["$defs"][ref["$ref"].rpartition("/")[2]]["properties"]["type"]["const"]
        for ref in DERIVED["oneOf"]
    ]
    assert tags == SCHEMA["properties"]["type"]["enum"]
    text = json.dumps(DERIVED)
    assert not re.search(r'"(if|allOf|x-\w+)":', text)


def test_a_contract_that_says_two_things_of_one_field_is_refused() -> None:
    """What cannot be worked out is not guessed."""
    found = copy.deepcopy(SCHEMA)
    found["$defs"]["rejected"]["properties"]["verification_id"] = {"pattern": "^x"}
    with pytest.raises(ValueError, match="pattern is said twice"):
        derive(found)


# --- OpenAPI ------------------------------------------------------------------------------------------


def test_the_openapi_document_is_valid() -> None:
    """By a library for OpenAPI 3.1, and every file that it names is there."""
    validate(OPENAPI)
    content = OPENAPI["webhooks"]["message"]["post"]["requestBody"]["content"]["application/json"]
    assert sorted(each["externalValue"] for each in content["examples"].values()) == sorted(
        f"./{name}" for name in SAMPLES
    )


def test_the_openapi_document_takes_every_message() -> None:
    """The body that it describes is told apart by `type`, and each shape is as in the schema by type."""
    for name in SAMPLES:
        message = load(name)
        assert BY_OPENAPI.is_valid(message)
        assert not BY_OPENAPI.is_valid({**message, "data": {}})
    schemas = OPENAPI["components"]["schemas"]
    schema = schemas.pop("Message")
    assert json.dumps(schemas).replace("#/components/schemas/", "#/$defs/") == json.dumps(DERIVED["$defs"])
    assert list(schema["discriminator"]["mapping"]) == SCHEMA["properties"]["type"]["enum"]
    assert [{"$ref": ref} for ref in schema["discriminator"]["mapping"].values()] == schema["oneOf"]


def test_the_openapi_document_names_the_headers_that_are_posted(livepair: Livepair) -> None:
    """Each is there and as described; what is not ours, such as content-length, is left out."""
    livepair.put("uploads/42/image.jpg", samples.image())
    livepair.put("uploads/42/live.gz", samples.live())
    livepair.run()
    (attempt,) = livepair.cloud.consumer.attempts
    sent = {name.lower(): value for name, value in attempt.headers.items()}
    described = OPENAPI["webhooks"]["message"]["post"]["parameters"]
    for parameter in described:
        assert re.search(parameter["schema"]["pattern"], sent[parameter["name"]]), parameter["name"]
    ours = {name for name in sent if name.startswith("webhook-")} | {"user-agent"}
    assert {parameter["name"] for parameter in described} == ours
    assert sent["content-type"] == "application/json"


def test_the_openapi_document_says_what_each_answer_does() -> None:
    """Taken, refused, gone, not stored, and all the rest."""
    answered = OPENAPI["webhooks"]["message"]["post"]["responses"]
    assert list(answered) == ["2XX", "401", "410", "5XX", "default"]


# --- Python -------------------------------------------------------------------------------------------


def similarity_of(message: livepair.Message) -> float | None:
    """Narrowed by its type, as mypy sees it: each line that has to be refused says so."""
    if message["type"] == "verification.matched":
        return message["data"]["similarity"] + len(message["data"]["live"]["md5"]) * 0
    if message["type"] == "verification.mismatched":
        message["data"]["similarity"] + 1  # type: ignore[operator]  # the API may not say how much
        return message["data"]["similarity"]
    if message["type"] == "verification.rejected":
        message["data"]["live"]["md5"].lower()  # type: ignore[union-attr]  # may not be known
        assert message["data"]["reason"]["category"] != "missing"  # type: ignore[comparison-overlap]
    if message["type"] == "webhook.test":
        message["data"]["outcome"]  # type: ignore[typeddict-item]  # about no verification
    return None


def test_the_python_types_tell_messages_apart() -> None:
    """What is known is narrowed by its type; what came later is known to be unknown."""
    envelope: livepair.Envelope = load("verification.matched.json")
    assert livepair.is_message(envelope)
    assert similarity_of(envelope) == 96.3
    assert set(livepair.TYPES) == set(SCHEMA["properties"]["type"]["enum"])
    assert not livepair.is_message({**envelope, "type": "verification.postponed"})
    assert not livepair.is_message({**envelope, "version": 2})


# --- TypeScript ---------------------------------------------------------------------------------------


@needs_node("typescript")
def test_the_typescript_types_narrow_under_strict(tmp_path: Path) -> None:
    """`switch (message.type)` knows what is a number and what is never null, and refuses all else."""
    typescript(tmp_path, LANGUAGES / "narrowing.ts")
    assert list(tmp_path.rglob("narrowing.js"))


# --- Go and Java --------------------------------------------------------------------------------------


def in_json(message: Message) -> str:
    return json.dumps(message)


def in_tokens(value: Any) -> str:
    """As tests/contract/languages/Decode.java reads it."""
    if value is None:
        return "0"
    if isinstance(value, str):
        return f"s{base64.b64encode(value.encode()).decode()}"
    if isinstance(value, list):
        return "{ }"
    if not isinstance(value, dict):
        return f"n{value}"
    return " ".join(["{", *(f"{in_tokens(name)} {in_tokens(each)}" for name, each in value.items()), "}"])


def of_tokens(text: str) -> Any:
    def value(tokens: Iterator[str]) -> Any:
        token = next(tokens)
        if token == "{":
            found = {}
            while (name := next(tokens)) != "}":
                found[base64.b64decode(name[1:]).decode()] = value(tokens)
            return found
        if token[0] == "s":
            return base64.b64decode(token[1:]).decode()
        return None if token == "0" else float(token[1:])

    return value(iter(text.split(" ")))


def without_nulls(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {name: without_nulls(value) for name, value in part.items() if value is not None}


@pytest.mark.parametrize(
    ("language", "write", "read"),
    [
        pytest.param("Go", in_json, json.loads, marks=needs_go),
        pytest.param("Java", in_tokens, of_tokens, marks=needs_java),
    ],
)
def test_the_other_languages_read_every_message(
    tmp_path: Path, language: str, write: Callable[[Message], str], read: Callable[[str], Any]
) -> None:
    """All that the contract names comes out again, under its own type; what came later does no harm."""
    if language == "Go":
        program = go(tmp_path, "decode", {"types": EVENTS / "types" / "livepair.go"})
    else:
        program = java(tmp_path, "Decode", EVENTS / "types" / "Livepair.java")
    known = [with_metadata(message) for message in every_message()]
    later = [extended(message) for message in known]
    code = load("verification.failed.json")
    code["data"]["reason"]["code"] = code["data"]["api"]["code"] = "FailedOperation.OfNextYear"
    unknown = {**code, "type": "verification.postponed", "data": {"any": {"thing": "甲"}}}
    read_back = answers(program, map(write, [*known, *later, code, unknown]))
    wanted = [*known, *known, code, unknown]
    for message, line in zip(wanted, read_back, strict=True):
        kind, _, text = line.partition(" ")
        name = message["data"].get("outcome") or ("test" if "note" in message["data"] else "unknown")
        assert kind.removeprefix("*livepair.").lower() == name
        found = read(text)
        if name == "unknown":
            assert (found["type"], found["data"]) == (message["type"], message["data"])
        else:
            assert without_nulls(found) == without_nulls(message)


# --- one place ----------------------------------------------------------------------------------------


def test_every_file_of_types_is_made() -> None:
    """Nobody keeps one by hand beside them."""
    made = {path for path in documents() if path.parent == EVENTS / "types"}
    assert made == {path for path in (EVENTS / "types").iterdir() if path.is_file()}
