"""Whoever may write state, and knows no secret, can have nothing told and nobody else's uploads deleted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from handler.state.seal import Seals
from tests.cloud import consumer, samples
from tests.support.harness import Livepair, lines

Configured = Callable[..., Livepair]
Forge = Callable[[dict[str, Any], str], None]
"""Changes a record, which is to lie under a key."""

THEIRS = "whsec_" + base64.b64encode(b"a secret that the attacker made up").decode()
BYTES = {"ann": 1, "bob": 2}


def upload(livepair: Livepair, name: str, **live: Any) -> None:
    livepair.put_pair(samples.live(seed=BYTES[name], **live), name=name)


def record_of(livepair: Livepair, name: str) -> str:
    """The key of a pair's one record."""
    (key,) = livepair.state(f"records/{name}/")
    return key


def put_state(livepair: Livepair, key: str, value: dict[str, Any]) -> None:
    """What the attacker may do: put an object under the state prefix."""
    livepair.put(f"livepair/{key}", json.dumps(value, ensure_ascii=False).encode())


def ask_for_delivery(livepair: Livepair, key: str, kind: str = "deliver") -> None:
    """Put an entry on the agenda that names the verification of a record's key."""
    _, path, name = key.split("/")
    which = name.removesuffix(".json")
    entry = {
        **{"version": 1, "kind": kind, "bucket": livepair.cloud.bucket, "key": f"uploads/{path}/live.gz"},
        "verification": {"verification": which, "run": 1, "pair": path},
        **{"n": 1, "attempt": 1, "failures": 0},
    }
    put_state(livepair, f"agenda/20200101T0000Z/{kind}-{which}-1", entry)


def untell(record: dict[str, Any]) -> None:
    """Its marks lie open: as if nobody had been told yet."""
    record.update(delivered_at=None, dead_at=None, attempts=0, deleted=False)


def make_matched(record: dict[str, Any]) -> None:
    """What was decided against the attacker is decided for them."""
    decided = record["decided"]
    body = json.loads(decided["body"])
    body["type"], body["data"]["outcome"], body["data"]["reason"] = "verification.matched", "matched", None
    decided.update(outcome="matched", code=None, body=json.dumps(body))


def sealed(secret: str, record: dict[str, Any], key: str) -> None:
    text = json.dumps(record["decided"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    record["seal"] = Seals((secret,)).seal(f"livepair/{key}", text)


def keep_its_seal(record: dict[str, Any], key: str) -> None:
    pass


def take_its_seal_off(record: dict[str, Any], key: str) -> None:
    del record["seal"]


def without_text(record: dict[str, Any], key: str) -> None:
    record["seal"] = None


def make_up_a_seal(record: dict[str, Any], key: str) -> None:
    sealed(THEIRS, record, key)


FORGERIES = [keep_its_seal, take_its_seal_off, without_text, make_up_a_seal]
every_forgery = pytest.mark.parametrize("forge", FORGERIES)


def assert_refused(livepair: Livepair, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Sweeps and walks tell nothing, and the log names the object."""
    capsys.readouterr()
    livepair.cloud.consumer.forget()
    assert livepair.sweep() == livepair.sweep(120) == livepair.reconcile() == []
    assert livepair.messages == []
    assert f"livepair/{key}" in {line["key"] for line in lines(capsys, "corrupt_state")}


# --- what is told -------------------------------------------------------------------------------------


@every_forgery
@pytest.mark.parametrize("kind", ["deliver", "take_over"])
def test_a_forged_outcome_is_not_told(
    livepair: Livepair, forge: Forge, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two PUTs, a record and an agenda entry, have no `matched` signed."""
    upload(livepair, "ann", sim=1.0)
    assert livepair.run() == ["mismatched"]
    key = record_of(livepair, "ann")
    record = livepair.stored(key)
    make_matched(record)
    untell(record)
    forge(record, key)
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key, kind)
    assert_refused(livepair, key, capsys)


def test_a_record_of_nothing_is_not_told(livepair: Livepair, capsys: pytest.CaptureFixture[str]) -> None:
    """About a verification that never was."""
    upload(livepair, "ann")
    livepair.run()
    record = livepair.stored(record_of(livepair, "ann"))
    untell(record)
    key = f"records/eve/{'e' * 32}.json"
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key)
    assert_refused(livepair, key, capsys)


def test_a_record_under_another_pairs_key_is_not_told(
    livepair: Livepair, capsys: pytest.CaptureFixture[str]
) -> None:
    """A genuine one, copied: it was sealed for its own key."""
    upload(livepair, "ann")
    upload(livepair, "bob", sim=1.0)
    assert livepair.run() == ["matched", "mismatched"]
    record, key = livepair.stored(record_of(livepair, "ann")), record_of(livepair, "bob")
    untell(record)
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key)
    assert_refused(livepair, key, capsys)


@pytest.mark.parametrize("kind", ["deliver", "take_over"])
def test_a_forged_entry_tells_no_message_again(livepair: Livepair, kind: str) -> None:
    """What is told is told, whoever asks for it once more."""
    upload(livepair, "ann")
    livepair.run()
    livepair.cloud.consumer.forget()
    ask_for_delivery(livepair, record_of(livepair, "ann"), kind)
    assert livepair.sweep() == []
    assert livepair.cloud.consumer.attempts == []
    assert livepair.state("agenda/") == []


def test_a_forged_mark_can_only_have_the_same_message_told_again(livepair: Livepair) -> None:
    """Marks lie open: the message comes again with its id and bytes, and a consumer drops it."""
    upload(livepair, "ann")
    livepair.run()
    key = record_of(livepair, "ann")
    record = livepair.stored(key)
    untell(record)
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key)
    assert livepair.sweep() == ["matched"]
    first, again = livepair.cloud.consumer.attempts
    assert (first.body, first.verified) == (again.body, again.verified)
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert len(livepair.messages) == 1


def test_forged_claims_can_only_hold_a_pair_up_for_a_human(livepair: Livepair) -> None:
    """Claims are no records: ten of them use up MAX_VERDICTS, and buy neither a verdict nor a call."""
    for number in range(10):
        put_state(livepair, f"claims/ann/{number:032x}/1", {})
    upload(livepair, "ann")
    upload(livepair, "bob")
    assert livepair.run() == ["rejected", "matched"]
    held_up, _ = livepair.messages
    assert held_up["data"]["reason"]["code"] == "Livepair.TooManyVerdicts"
    assert (held_up["data"]["reason"]["advice"], held_up["data"]["api"]) == ("review", None)
    assert len(livepair.calls) == 1


# --- what is deleted ----------------------------------------------------------------------------------


def point_to(livepair: Livepair, record: dict[str, Any], name: str) -> None:
    """Have a record delete the uploads of a pair, as they are now."""
    others = livepair.stored(record_of(livepair, name))["decided"]
    record["decided"].update(delete=["live", "image"], live=others["live"], image=others["image"])


@every_forgery
@pytest.mark.parametrize("whose", ["ann", "bob"])
def test_a_forged_record_deletes_nothing(livepair: Livepair, forge: Forge, whose: str) -> None:
    """Of nobody: neither what its own pair has, where no setting asks for that, nor another."""
    for name in ("ann", "bob"):
        upload(livepair, name)
    livepair.run()
    key = record_of(livepair, "ann")
    record = livepair.stored(key)
    point_to(livepair, record, whose)
    untell(record)
    forge(record, key)
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key)
    before = livepair.bucket.keys("uploads/")
    livepair.sweep()
    livepair.reconcile()
    assert livepair.bucket.keys("uploads/") == before


@pytest.mark.parametrize("templates", ["same", "changed"])
def test_not_even_who_knows_the_secret_deletes_anothers_uploads(livepair: Livepair, templates: str) -> None:
    """A record deletes what its own pair derives, by the settings that are: nothing where they changed."""
    for name in ("ann", "bob"):
        upload(livepair, name)
    livepair.run()
    key = record_of(livepair, "ann")
    record = livepair.stored(key)
    point_to(livepair, record, "bob")
    body = json.loads(record["decided"]["body"])
    for role in ("live", "image"):
        others = record["decided"][role]
        record["decided"][f"{role}_key"] = others["key"]
        body["data"][role].update(key=others["key"], md5=others["md5"])
    record["decided"]["body"] = json.dumps(body)
    sealed(consumer.SECRET, record, key)
    put_state(livepair, key, record)
    ask_for_delivery(livepair, key)
    before = livepair.bucket.keys("uploads/")
    if templates == "changed":
        livepair.configure(LIVE_KEY="other/{id}/live.gz", IMAGE_KEY="other/{id}/image.jpg")
    livepair.sweep()
    assert livepair.bucket.keys("uploads/") == before


def test_what_was_judged_under_other_templates_is_deleted_once_they_are_back(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    """Meanwhile it is told, its uploads stay, and the log says so."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.cloud.consumer.answer(500, times=2)
    upload(livepair, "ann")
    livepair.run()
    livepair.configure(DELETE_UPLOADS="both", LIVE_KEY="other/{id}.gz", IMAGE_KEY="other/{id}.jpg")
    assert livepair.finish() == ["matched"]
    assert len(livepair.bucket.keys("uploads/")) == 2
    assert "do not derive" in lines(capsys, "left_alone")[0]["reason"]
    livepair.configure(LIVE_KEY="uploads/{id}/live.gz", IMAGE_KEY="uploads/{id}/image.jpg")
    livepair.cloud.clock.advance(1200)
    livepair.reconcile()
    livepair.finish()
    assert livepair.bucket.keys("uploads/") == []
    assert len(livepair.cloud.consumer.attempts) == 3


# --- secrets that change ------------------------------------------------------------------------------


def test_a_changed_secret_orphans_nothing_where_the_state_has_its_own(configured: Configured) -> None:
    """STATE_SECRET holds what WEBHOOK_SECRET held when the records were sealed."""
    livepair = configured()
    livepair.cloud.consumer.answer(500, times=2)
    upload(livepair, "ann")
    livepair.run()
    livepair.cloud.consumer.secrets = [THEIRS]
    livepair.configure(WEBHOOK_SECRET=THEIRS, STATE_SECRET=f"{THEIRS} {consumer.SECRET}")
    assert livepair.finish() == ["matched"]
    assert livepair.cloud.consumer.attempts[-1].verified


def test_a_secret_that_was_lost_and_comes_back_within_a_day_loses_no_message(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says what to do; what is on the agenda waits meanwhile."""
    livepair = configured()
    livepair.cloud.consumer.answer(500, times=2)
    upload(livepair, "ann")
    livepair.run()
    livepair.configure(WEBHOOK_SECRET=THEIRS)
    for _ in range(10):
        assert livepair.due() == []
    assert (
        "put the former one behind the new one in STATE_SECRET" in lines(capsys, "corrupt_state")[0]["error"]
    )
    livepair.configure(WEBHOOK_SECRET=f"{THEIRS} {consumer.SECRET}")
    assert livepair.finish() == ["matched"]
