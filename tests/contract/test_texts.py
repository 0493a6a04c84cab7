"""examples/texts: every message has words for the person, in every language, and they give nothing away."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from examples.texts.words import CAPTURE, key_of
from handler.rules.codes import CODES
from tests.support.compilers import node, typescript
from tests.support.messages import NO_CALL, Message, answered, every_message, without_call
from tests.support.nodejs import needs_node
from tests.support.project import PROJECT

FOLDER = PROJECT / "examples" / "texts"
LANGUAGES: dict[str, Any] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")
}
KEYS = {
    "done",
    "not_confirmed",
    "film_again",
    "too_dark",
    "too_bright",
    "face_not_seen",
    "several_faces",
    "too_short",
    "too_far",
    "too_close",
    "another_photo",
    "later",
}


def told_of(code: str) -> Message:
    """The message about a code."""
    return without_call(code) if code in NO_CALL else answered(code, 96.3 if code == "Success" else None)


def test_every_language_is_there() -> None:
    """English and the languages where the API is used most; each says who has read it."""
    named = {language["language"] for language in LANGUAGES.values()}
    assert named == {
        "English",
        "简体中文",
        "繁體中文",
        "ไทย",
        "Bahasa Melayu",
        "Bahasa Indonesia",
        "Filipino",
        "Tiếng Việt",
    }
    assert all(type(each["seen_by_a_native_reader"]) is bool for each in LANGUAGES.values())
    tags = [tag for each in LANGUAGES.values() for tag in each["tags"]]
    assert len(tags) == len(set(tags))
    assert all(name in each["tags"] for name, each in LANGUAGES.items())


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_language_has_every_key(name: str) -> None:
    """None missing, none that is not there, and no two keys with the same words."""
    texts = LANGUAGES[name]["texts"]
    assert list(texts) == list(LANGUAGES["en"]["texts"])
    assert set(texts) == KEYS
    assert len(set(texts.values())) == len(KEYS)
    assert all(text == text.strip() and text for text in texts.values())


@pytest.mark.parametrize("name", LANGUAGES)
def test_no_text_gives_a_reason_away(name: str) -> None:
    """No code, no number, no markup, and no word of liveness, fakes or similarity."""
    for text in LANGUAGES[name]["texts"].values():
        assert not re.search(r"[\d<>{}%_&]|Livepair|FailedOperation", text), text
        assert not re.search("spoof|fake|live|mask|similar|活体|活體|伪造|偽造|相似", text, re.IGNORECASE), (
            text
        )


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_words(code: str) -> None:
    """Nothing falls through: by its category, and by the code where the person can do better next time."""
    message = told_of(code)
    reason = message["data"]["reason"]
    category = reason and reason["category"]
    allowed = {
        None: {"done"},
        "similarity": {"not_confirmed"},
        "spoof": {"not_confirmed"},
        "liveness": {"not_confirmed"},
        "capture": {*CAPTURE.values(), "film_again"},
        "image": {"another_photo"},
        "missing": {"film_again", "later"},
        "service": {"later"},
        "configuration": {"later"},
    }
    assert key_of(message) in allowed[category]


def test_every_key_is_used() -> None:
    """No words are written for nobody, and every code that is named is one of capture."""
    assert {key_of(told_of(code)) for code in CODES} == KEYS
    known = {code.rpartition(".")[2] for code, row in CODES.items() if row.category == "capture"}
    assert set(CAPTURE) <= known


def test_who_is_not_confirmed_cannot_learn_why() -> None:
    """Another face, a mask, a screen and a still person read the same bytes, in every language."""
    hidden = [code for code, row in CODES.items() if row.category in ("similarity", "spoof", "liveness")]
    assert len(hidden) > 8
    for language in LANGUAGES.values():
        shown = {language["texts"][str(key_of(told_of(code)))].encode() for code in hidden}
        assert len(shown) == 1


def test_a_message_that_came_later_says_nothing_wrong() -> None:
    """A test and an unknown type have no words; an unknown code has those of its category."""
    message = told_of("FailedOperation.ActionLightDark")
    assert key_of({**message, "type": "verification.postponed", "data": {}}) is None
    assert key_of({**message, "type": "webhook.test", "data": {"note": ""}}) is None
    message["data"]["reason"]["code"] = "FailedOperation.OfNextYear"
    assert key_of(message) == "film_again"
    message["data"]["reason"]["category"] = "of next year"
    assert key_of(message) == "not_confirmed"


ASK = """
import { createInterface } from "node:readline";
import { keyOf } from "./examples/texts/words.js";
import { isMessage, TYPES } from "./events/types/livepair.js";
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  console.log(JSON.stringify([keyOf(message), isMessage(message), TYPES.length]));
}
"""


@needs_node("typescript")
def test_typescript_says_the_same(tmp_path: Path) -> None:
    """Compiled strictly, for every message that the function can make and for what came later."""
    typescript(tmp_path, FOLDER / "words.ts")
    messages = list(every_message())
    later = {**messages[0], "type": "verification.postponed", "data": {}}
    asked = [*messages, later, {**messages[0], "version": 2}]
    said = node(ASK, tmp_path, "".join(f"{json.dumps(each)}\n" for each in asked))
    found = [json.loads(line) for line in said]
    assert found[:-2] == [[key_of(message), True, 6] for message in messages]
    assert found[-2] == [None, False, 6]
    assert found[-1][1] is False
    declared = re.findall(r'^  \| "(\w+)"', (FOLDER / "words.ts").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(declared) == KEYS
