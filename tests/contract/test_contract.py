"""The message as a contract: what was promised to consumers in the released schema is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from handler.rules.codes import CODES
from handler.rules.outcome import Answer, Called, decide, incomplete, unfit, unreadable
from handler.rules.uploads import Seen, Stored
from tests.cloud import samples
from tests.support.compatibility import breaks
from tests.support.harness import Livepair
from tests.support.messages import (
    ANSWERS,
    BUCKET,
    CJK,
    RELEASED,
    SCHEMA,
    SETTINGS,
    SHARED,
    Message,
    every_message,
    faults,
    load,
    seen_of,
    told,
)

Schema = dict[str, Any]
Place = tuple[str | int, ...]

# --- what the code tells is what was released ---------------------------------------------------------


def faults_of_both(message: Message) -> list[str]:
    """What the released and the current schema have against a message."""
    return faults(message, RELEASED) + faults(message, SCHEMA)


def test_every_message_keeps_to_the_released_schema() -> None:
    """Each code, outcome, run, kind of pair and null that the code can tell, under both schemas."""
    found = list(every_message())
    assert {message["type"] for message in found} == set(RELEASED["properties"]["type"]["enum"])
    assert len(found) > 2 * len(CODES)
    assert [wrong for message in found if (wrong := faults_of_both(message))] == []


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = texts.filter(lambda text: bool(text) and "/" not in text)
times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(timezone.utc))
digests = st.text("0123456789abcdef", min_size=32, max_size=32)
halves = st.builds(
    Stored,
    key=texts.filter(bool),
    etag=texts,
    md5=digests,
    size=st.integers(0, 60_000_000),
    uploaded_at=times,
    metadata=st.lists(st.tuples(st.sampled_from(["attempt", "b"]), texts), max_size=3).map(tuple),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A message that the code makes of anything that uploaders, COS and the API can say."""
    settings = draw(st.sampled_from([SETTINGS, CJK, SHARED]))._replace(
        min_similarity=draw(st.floats(0, 100)),
        pass_metadata=draw(st.sampled_from([(), ("attempt",), ("B", "Attempt", "c")])),
    )
    pair = seen_of(settings, *(draw(values) for _ in settings.templates.live[0].names)).pair
    live, image = draw(halves), draw(halves)
    seen = Seen(pair, BUCKET, live, image)
    run, at = draw(st.integers(1, 99)), draw(times)
    kind = draw(st.sampled_from(["answer", "half", "unfit", "unreadable"]))
    if kind == "half":
        seen = seen._replace(live=None) if draw(st.booleans()) else seen._replace(image=None)
        return told(incomplete(seen, draw(st.integers(1, 100_000))), seen=seen, run=run, settings=settings)
    if kind == "unreadable":
        seen = Seen(pair, BUCKET, None, None)
        return told(unreadable(at, draw(texts)), seen=seen, run=run, settings=settings)
    refused = unfit(seen, settings, at)
    if kind == "unfit" and refused is not None:
        # What is too large is not read, so that a multipart upload's MD5 is not known.
        seen = seen._replace(live=live._replace(md5=None)) if draw(st.booleans()) else seen
        return told(refused, seen=seen, run=run, settings=settings)
    code = draw(st.sampled_from([*ANSWERS, "FailedOperation.NeverHeardOf"]) | texts)
    similarity = draw(st.floats(0, 100) | st.integers(0, 100) | st.none())
    if code == "Success" and similarity is None:
        code = "Livepair.NoSimilarity"
    answer = Answer(code, draw(texts), similarity=similarity, request_id=draw(texts | st.none()))
    decision = decide(answer, settings.min_similarity, at)
    verdict = decision.outcome in ("matched", "mismatched")
    called = Called(answer, "ap-singapore", 1, draw(st.integers(1 if verdict else 0, 50)))
    return told(
        decision,
        seen=seen,
        run=run,
        frame=verdict and draw(st.booleans()),
        called=called,
        settings=settings,
    )


@given(messages())
def test_whatever_is_said_the_message_keeps_to_the_released_schema(message: Message) -> None:
    """Any code, words, keys, sizes, times and similarity, in every kind of pair."""
    assert faults_of_both(message) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"PASS_RESOURCES": "upload_url"},
        {"LIVE_KEY": "uploads/{user}/{id}/live.gz", "IMAGE_KEY": "uploads/{user}/face.jpg"},
        {"KEEP_BEST_FRAME": "false", "MIN_SIMILARITY": "99.5"},
    ],
    ids=["presigned", "relay", "shared image", "no frame"],
)
def test_what_is_posted_keeps_to_the_released_schema(
    configured: Callable[..., Livepair], settings: dict[str, str]
) -> None:
    """The bytes that arrive at a consumer, of judged, rejected, failed and unfit pairs."""
    livepair = configured(**settings)
    fates = [
        samples.live(),
        samples.live(sim=3.5),
        samples.live(result="FailedOperation.LivessDetectFake"),
        samples.live(error="FailedOperation.SilentTooShort"),
        samples.live(error="FailedOperation.NeverHeardOf"),
        b"",
    ]
    if "user" in settings.get("LIVE_KEY", ""):
        livepair.put("uploads/ann/face.jpg", samples.image())
    for number, live in enumerate(fates):
        name = f"ann/{number}" if "user" in settings.get("LIVE_KEY", "") else str(number)
        livepair.put(f"uploads/{name}/image.jpg", samples.image())
        livepair.put(f"uploads/{name}/live.gz", live)
    livepair.run()
    assert len(livepair.messages) == len(fates)
    assert [wrong for message in livepair.messages if (wrong := faults_of_both(message))] == []


# --- the schema says no less than the released one ----------------------------------------------------


def test_the_schema_keeps_what_was_released() -> None:
    """Fields, types, bounds and closed lists: nothing is taken away from consumers within version 1.

    To add a field, add it to events/message.schema.json. At a release copy that over
    tests/released/message.v1.schema.json. A change that this test refuses needs a new version, and a file of
    its own beside it.
    """
    assert breaks(RELEASED, SCHEMA) == []


def places(part: Any, at: Place = ()) -> Iterator[Place]:
    """Where the parts of a schema are that have rules of their own."""
    if isinstance(part, dict):
        if at and at[-1] not in ("properties", "$defs"):
            yield at
        for name, value in part.items():
            if name != "examples":
                yield from places(value, (*at, name))
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from places(value, (*at, number))


def at(schema: Any, place: Place) -> Any:
    for step in place:
        schema = schema[step]
    return schema


def looser(rule: Schema) -> Iterator[tuple[str, Schema]]:
    """Every way to say a little less in one part of the schema."""
    for name in rule:
        if name not in ("$schema", "$comment", "$defs", "title", "description", "examples"):
            yield f"{name} dropped", {key: value for key, value in rule.items() if key != name}
    for name, change in {
        "minimum": -1,
        "minLength": -1,
        "minProperties": -1,
        "maximum": 1,
    }.items():
        if name in rule:
            yield f"{name} loosened", {**rule, name: rule[name] + change}
    if "type" in rule:
        types = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
        for kind in ("null", "string", "number", "object"):
            if kind not in types:
                yield f"{kind} allowed", {**rule, "type": [*types, kind]}
    for field in rule.get("required", []):
        yield f"{field} optional", {**rule, "required": [each for each in rule["required"] if each != field]}
    for field in rule.get("properties", {}):
        rest = {key: value for key, value in rule["properties"].items() if key != field}
        yield f"{field} removed", {**rule, "properties": rest}
        yield f"{field} renamed", {**rule, "properties": {**rest, f"{field}_2": rule["properties"][field]}}
    if "enum" in rule:
        yield "list grown", {**rule, "enum": [*rule["enum"], "brand_new"]}
    if "const" in rule:
        rest = {key: value for key, value in rule.items() if key != "const"}
        yield "constant changed", {**rule, "const": 2}
        yield "constant made a list", {**rest, "enum": [rule["const"], "brand_new"]}
    if "pattern" in rule:
        yield "pattern loosened", {**rule, "pattern": ""}
    if isinstance(rule.get("additionalProperties"), dict):
        yield "anything allowed", {**rule, "additionalProperties": True}
    for name in ("allOf", "anyOf", "oneOf"):
        for number in range(len(rule.get(name, []))):
            fewer = [each for n, each in enumerate(rule[name]) if n != number]
            if name != "anyOf" or "then" not in rule:
                yield f"{name} {number} dropped", {**rule, name: fewer}
        if name in rule and name != "allOf":
            yield f"{name} grown", {**rule, name: [*rule[name], {}]}
    if "$ref" in rule:
        other = "time" if rule["$ref"] == "#/$defs/test" else "test"
        yield "$ref changed", {**rule, "$ref": f"#/$defs/{other}"}


LOOSER = [
    (place, says, change)
    for place in places(SCHEMA)
    if isinstance(at(SCHEMA, place), dict)
    for says, change in looser(at(SCHEMA, place))
]
LOOSER += [((), says, change) for says, change in looser(SCHEMA) if says != "$id dropped"]


def changed(place: Place, change: Schema) -> Schema:
    """The schema with another part at a place."""
    if not place:
        return change
    found: Schema = copy.deepcopy(SCHEMA)
    at(found, place[:-1])[place[-1]] = change
    return found


def test_every_way_to_say_less_is_caught() -> None:
    """Each rule of the schema in turn is dropped and loosened in each way there is: none goes unnoticed."""
    missed = [(place, says) for place, says, change in LOOSER if not breaks(SCHEMA, changed(place, change))]
    assert missed == []
    assert len(LOOSER) > 400


VERIFICATION = ("$defs", "verification")


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        ((*VERIFICATION, "required"), ["run"], "no longer required"),
        ((*VERIFICATION, "properties", "run"), {}, "run: may be of type string now"),
        (("properties", "version"), {"const": 2}, "$.version: 2 is new in a closed list"),
        (
            (*VERIFICATION, "properties", "outcome", "enum"),
            ["matched", "expired"],
            'outcome: "expired" is new in a closed list',
        ),
        (("$defs", "upload", "type"), ["object", "null", "string"], "live: may be of type string now"),
        (("$defs", "upload", "properties", "size", "minimum"), -1, "size: minimum was 0, is -1"),
        (
            (*VERIFICATION, "properties", "pair", "properties"),
            {"id": {"type": "integer"}},
            "pair.id: may be of type integer now",
        ),
        (("$id",), "urn:livepair:webhook-message:2", "$id was"),
    ],
)
def test_a_break_is_named(place: Place, change: Any, says: str) -> None:
    """Whoever breaks the contract reads which field, and what of it."""
    found = copy.deepcopy(SCHEMA)
    at(found, place[:-1])[place[-1]] = change
    assert any(says in line for line in breaks(SCHEMA, found)), breaks(SCHEMA, found)


LATER = {"description": "Added later.", "type": ["string", "null"]}


def additions() -> Iterator[tuple[str, Schema]]:
    """Changes that take nothing away."""
    for place in places(SCHEMA):
        rule = at(SCHEMA, place)
        if (
            isinstance(rule, dict)
            and "properties" in rule
            and not {"if", "oneOf", "upload_without_md5"} & set(place)
        ):
            more = {**rule, "properties": {**rule["properties"], "comes_later": LATER}}
            yield f"a field in {place}", changed(place, more)
            needed = [*rule.get("required", []), "comes_later"]
            yield f"a needed field in {place}", changed(place, {**more, "required": needed})
    yield "other words", {**SCHEMA, "description": "Said better.", "title": "Another title"}
    yield "a closed list shrunk", changed((*VERIFICATION, "properties", "outcome"), {"enum": ["matched"]})
    yield "rules in another order", {**SCHEMA, "allOf": SCHEMA["allOf"][::-1]}
    similarity = (*VERIFICATION, "properties", "min_similarity")
    yield "numbers made whole", changed(similarity, {**at(SCHEMA, similarity), "type": "integer"})
    yield "one more rule", {**SCHEMA, "allOf": [*SCHEMA["allOf"], {"required": ["id"]}]}
    yield (
        "a definition in place",
        changed(("$defs", "verification", "properties", "live"), SCHEMA["$defs"]["upload"]),
    )
    yield (
        "a bound tightened",
        changed((*VERIFICATION, "properties", "run"), {"type": "integer", "minimum": 2}),
    )


@pytest.mark.parametrize(
    ("says", "schema"), list(additions()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_an_addition_is_no_break(says: str, schema: Schema) -> None:
    """New fields, other words, tighter rules, and the same said in another way."""
    assert breaks(SCHEMA, schema) == [], says


def test_a_reference_elsewhere_is_refused() -> None:
    """What the comparison cannot follow it does not guess."""
    with pytest.raises(ValueError, match=r"other\.json"):
        breaks(SCHEMA, {"$ref": "other.json"})


def test_the_schema_is_found_by_its_id() -> None:
    """`dataschema` of a CloudEvent names the part that describes `data`; no address is looked up for it."""
    registry: Registry[Any] = Registry().with_resource(SCHEMA["$id"], DRAFT202012.create_resource(SCHEMA))
    for name, part in (("verification.matched.json", "verification"), ("webhook.test.json", "test")):
        whole = {"$ref": f"urn:livepair:webhook-message:1#/$defs/{part}"}
        validator = Draft202012Validator(whole, registry=registry)
        assert validator.is_valid(load(name)["data"])
        assert not validator.is_valid({})


# --- a consumer of the released schema meets what comes later -----------------------------------------


def extended(part: dict[str, Any]) -> dict[str, Any]:
    """With a field in every object that nobody has heard of; pair's and metadata's are the application's."""
    return {
        name: extended(value) if isinstance(value, dict) and name not in ("pair", "metadata") else value
        for name, value in part.items()
    } | {"comes_later": {"any": ["thing"]}}


def test_a_consumer_of_the_released_schema_takes_added_fields() -> None:
    """Whoever validates strictly by it refuses no message that says more."""
    for message in every_message():
        assert faults(extended(message), RELEASED) == []


def test_a_consumer_of_the_released_schema_takes_new_codes() -> None:
    """reason.code, api.code and api.region are open; category and advice are what to decide by."""
    message = load("verification.failed.json")
    message["data"]["reason"]["code"] = message["data"]["api"]["code"] = "FailedOperation.OfNextYear"
    message["data"]["api"]["region"] = "ap-elsewhere"
    assert faults(message, RELEASED) == []
