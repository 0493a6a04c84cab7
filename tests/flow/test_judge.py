"""A complete pair is judged once: who claims, who waits, and who takes over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from handler.flow.call import LEASE_SECONDS
from handler.flow.judge import YIELD_SECONDS
from handler.rules.agenda import Entry, Look, TakeOver
from handler.rules.claiming import Claim
from handler.rules.outcome import Answer
from handler.rules.pairing import Role
from handler.rules.schedule import SETTLE, SETTLE_VERSIONED
from handler.state import codec
from tests.support.scene import Scene
from tests.support.values import BUCKET, HOUR, IMAGE, LIVE, MINUTE, NOON, SECOND


def another(scene: Scene, **changes: Any) -> Claim:
    """A claim of another instance."""
    return Claim(scene.verification(), 1, "other", "other request", NOON + 75 * SECOND, NOON)._replace(
        **changes
    )


def test_a_pair_is_claimed_called_recorded_and_told() -> None:
    """One call, one record, one message, and nothing left to come back for."""
    scene = Scene()
    assert scene.event() == ["matched"]
    assert len(scene.api.calls) == len(scene.consumer.posts) == 1
    assert scene.api.opened == 1
    assert all(key.startswith("livepair/agenda/") for key in scene.state.deletes)
    assert scene.agenda == []
    claim = scene.claim()
    assert claim == Claim(
        scene.verification(), 1, claim.nonce, "request-1", NOON + timedelta(seconds=58), NOON
    )
    assert scene.line["verification"] == scene.verification().id
    assert scene.line["run"] == 1


def test_a_lease_is_never_longer_than_what_is_left_of_the_invocation() -> None:
    """And never longer than its own time."""
    scene = Scene()
    scene.event(seconds=800)
    assert scene.claim().lease_until == NOON + timedelta(seconds=LEASE_SECONDS)


@pytest.mark.parametrize(
    ("role", "trusting", "waited"),
    [
        ("image", True, SETTLE),
        ("live", True, YIELD_SECONDS + SETTLE),
        ("image", False, SETTLE_VERSIONED),
        ("live", False, YIELD_SECONDS + SETTLE_VERSIONED),
    ],
)
def test_of_both_halves_events_one_goes_first(role: Role, trusting: bool, waited: float) -> None:
    """The later upload's; the other one waits a moment, and looks for a claim before it takes one.

    Where create-only is not honoured both look, and a claim takes longer to settle.
    """
    scene = Scene(trusting=trusting)
    looks: dict[str, int] = {}
    scene.state.after_write = lambda key: looks.update({key: scene.state.reads.count(key)})
    assert scene.event(role) == ["matched"]
    assert scene.clock.waited == pytest.approx(waited)
    assert looks[scene.ledger.claim_key(scene.verification(), 1)] == (role == "live" or not trusting)


@pytest.mark.parametrize(("suspended", "waited"), [(False, SETTLE), (True, SETTLE_VERSIONED)])
def test_an_instance_asks_whether_create_only_is_honoured_before_it_claims(
    suspended: bool, waited: float
) -> None:
    """Beside its first look, once: a bucket whose versioning is suspended does not say so by itself."""
    scene = Scene()
    scene.memory.honours_create = None
    scene.state.suspended = suspended
    assert scene.event() == ["matched"]
    assert scene.ledger.trusts_create is not suspended
    assert scene.clock.waited == pytest.approx(waited)
    del scene.state.objects["livepair/create-only"]
    scene.event()
    assert "livepair/create-only" not in scene.state.objects


def test_what_is_left_of_an_invocation_is_not_slept_away() -> None:
    """Nor is a call begun then: the next sweep has more time."""
    scene = Scene()
    assert scene.event("live", seconds=0.1) == []
    assert scene.clock.waited == 0.1
    assert scene.api.calls == []
    assert scene.agenda == ["1202Z/take_over"]


def test_a_repeated_event_costs_no_second_call_and_no_second_message() -> None:
    """Whichever half's it is, and however long after."""
    scene = Scene()
    scene.event()
    scene.state.creates.clear()
    for role in ("image", "live"):
        assert scene.event(role) == []
        scene.clock.waited += 3600
        assert scene.event(role) == []
    # The event that goes first finds the claim by trying to take it; the other one looks.
    assert scene.state.creates == [scene.ledger.claim_key(scene.verification(), 1)] * 2
    assert len(scene.api.calls) == len(scene.consumer.posts) == 1
    assert scene.agenda == []


@pytest.mark.parametrize("role", ["image", "live"])
def test_an_event_comes_back_at_the_end_of_anothers_lease(role: Role) -> None:
    """Also where that is over: only a sweep takes over."""
    scene = Scene()
    scene.ledger.give_back(another(scene))
    assert scene.event(role) == []
    assert scene.state.reads.count(scene.ledger.claim_key(scene.verification(), 1)) == 1
    assert scene.ledger.claim_key(scene.verification(), 2) not in scene.state.reads
    assert scene.agenda == ["1202Z/take_over"]
    assert scene.api.calls == []
    assert scene.line["again_at"] == "2026-11-22T12:01:20+00:00"
    assert scene.line["again_for"] == "take_over"


def test_a_sweep_takes_over_what_was_abandoned() -> None:
    """Its owner may have had a verdict, so that counts as a call and as a try."""
    scene = Scene()
    scene.ledger.give_back(another(scene))
    scene.event()
    assert scene.sweep(2 * MINUTE) == ["matched"]
    assert (scene.claim(2).calls, scene.claim(2).tries) == (1, {"transient": 1})
    assert scene.record().answer == {
        "request_id": "r-1",
        "code": "Success",
        "message": "ok",
        "similarity": 96.3,
        "calls": 2,
        "claim": 2,
        "frame_error": None,
    }
    assert scene.agenda == []


def test_the_last_claim_is_the_one_that_counts() -> None:
    """Whichever claim the agenda names, and wherever it stands among the others."""
    scene = Scene()
    for n in (1, 2, 3):
        scene.ledger.give_back(another(scene, n=n, retry_at=NOON))
    scene.event("live")
    claims = [key for key in scene.state.creates if "/claims/" in key]
    assert claims == [scene.ledger.claim_key(scene.verification(), 4)]
    assert len(scene.api.calls) == 1


@pytest.mark.parametrize("n", [2, 7])
def test_an_entry_may_name_a_claim_that_was_never_created(n: int) -> None:
    """Those before it are what stands."""
    scene = Scene()
    scene.ledger.give_back(another(scene, retry_at=NOON + 5 * MINUTE))
    scene.event()
    (key,) = [key for key in scene.state.objects if "/agenda/" in key]
    task = codec.load_task(scene.state.objects.pop(key))
    assert isinstance(task, TakeOver)
    scene.ledger.put_on(Entry(NOON + MINUTE, task._replace(n=n)))
    assert scene.sweep(2 * MINUTE) == []
    assert scene.agenda == ["1205Z/take_over"]
    assert scene.state.creates == [scene.ledger.claim_key(scene.verification(), 1)]
    assert scene.sweep(5 * MINUTE) == ["matched"]
    assert scene.claim(2).n == 2


def test_an_entry_of_a_claim_reads_from_that_claim_on() -> None:
    """Its predecessors are of no use any more."""
    scene = Scene()
    scene.api.answers = [Answer("RequestLimitExceeded", "", executed=False)]
    scene.event()
    scene.sweep(MINUTE)
    scene.state.reads.clear()
    scene.sweep(2 * MINUTE)
    assert scene.ledger.claim_key(scene.verification(), 1) not in scene.state.reads
    assert scene.ledger.claim_key(scene.verification(), 2) in scene.state.reads


def test_who_waits_for_its_next_try_is_not_called_before() -> None:
    """An event comes back then, and so does a sweep that is too early."""
    scene = Scene()
    scene.ledger.give_back(another(scene, retry_at=NOON + 10 * MINUTE, calls=1))
    assert scene.event() == []
    assert scene.agenda == ["1210Z/take_over"]
    assert scene.walk() == []
    assert scene.agenda == ["1210Z/take_over"]
    assert scene.api.calls == []
    assert scene.sweep(10 * MINUTE) == ["matched"]
    assert '"calls":2' in scene.record().body


@pytest.mark.parametrize("sweeping", [False, True])
def test_a_claim_that_cannot_be_read_is_stepped_around(sweeping: bool) -> None:
    """It counts as one whose lease is over, and the log says which it is."""
    scene = Scene()
    key = scene.ledger.claim_key(scene.verification(), 1)
    scene.state.objects[key] = b"{"
    if sweeping:
        assert scene.walk() == ["matched"]
        assert scene.claim(2).tries == {"transient": 1}
    else:
        assert scene.event() == []
        assert scene.sweep(2 * MINUTE) == ["matched"]
    corrupt = [each for each in scene.logged if each["event"] == "corrupt_state"]
    assert corrupt[0]["level"] == "ERROR"
    assert corrupt[0]["key"] == key
    assert key in corrupt[0]["error"]


def test_another_run_follows_failed_and_a_later_upload() -> None:
    """The same bytes are judged again, as run 2."""
    scene = Scene()
    scene.api.answers = [Answer("BrandNew", ""), Answer("Success", "", similarity=80.0)]
    assert scene.event() == ["failed"]
    scene.uploads.stored[IMAGE.key] = IMAGE._replace(uploaded_at=NOON)
    assert scene.event(at=NOON) == ["matched"]
    assert scene.record(2).verification.run == 2
    assert scene.line["run"] == 2
    scene.uploads.stored[LIVE.key] = LIVE._replace(uploaded_at=NOON + HOUR)
    assert scene.event("live", at=NOON + HOUR) == []


def test_two_who_claim_at_once_call_once() -> None:
    """Whose claim is not the one that is stored comes back at the end of the other's lease."""
    scene = Scene()
    key = scene.ledger.claim_key(scene.verification(), 1)

    def overwrite(written: str) -> None:
        if written == key:
            scene.state.objects[key] = codec.dump_claim(another(scene))

    scene.state.after_write = overwrite
    assert scene.event() == []
    assert scene.api.calls == []
    assert "1202Z/take_over" in scene.agenda


@pytest.mark.parametrize("first", [{"retry_at": NOON}, {"lease_until": NOON - HOUR}])
def test_what_is_found_in_place_of_a_claim_is_looked_into(first: dict[str, Any]) -> None:
    """More may have come after it."""
    scene = Scene()
    scene.ledger.give_back(another(scene, **first))
    scene.ledger.give_back(another(scene, n=2, lease_until=NOON + HOUR))
    assert scene.event() == []
    assert scene.api.calls == []
    assert scene.state.creates == [scene.ledger.claim_key(scene.verification(), 1)]
    assert scene.line["again_at"] == "2026-11-22T13:00:05+00:00"


# --- how many verdicts a pair may have ----------------------------------------------------------------

OTHER = "f" * 32


def limited() -> Scene:
    """A scene of a pair whose one verdict was another recording's."""
    scene = Scene(MAX_VERDICTS="1")
    other = scene.verification()._replace(id=OTHER)
    scene.ledger.give_back(another(scene, verification=other, retry_at=NOON))
    return scene


def test_above_the_limit_nobody_is_called_and_the_outcome_is_recorded_once() -> None:
    """It costs the requests of a verdict, less its best frame; nothing stays to come back for."""
    scene = limited()
    assert scene.event() == ["rejected"]
    assert scene.api.calls == []
    record = scene.record()
    assert (record.code, record.answer, record.best_frame) == ("Livepair.TooManyVerdicts", None, None)
    assert scene.agenda == []
    assert (scene.line["code"], scene.line["verdicts"]) == ("Livepair.TooManyVerdicts", 1)
    assert "billed" not in scene.line
    assert scene.event() == []
    assert len(scene.consumer.posts) == 1


def test_the_log_tells_what_was_billed_and_how_many_verdicts_there_were() -> None:
    """An answer without a similarity is billed as well, and asked for again once."""
    scene = limited()
    scene.settings = scene.settings._replace(max_verdicts=2)
    scene.api.answers = [Answer("Livepair.NoSimilarity", ""), *scene.api.answers]
    assert scene.event() == ["matched"]
    assert (scene.line["billed"], scene.line["verdicts"]) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "rejected"),
        ({"exempt": True}, "matched"),
        ({"retry_at": NOON}, "matched"),
    ],
)
def test_who_takes_over_counts_unless_it_was_let_through(changes: dict[str, Any], outcome: str) -> None:
    """Whoever died with the claim may have died before it counted."""
    scene = limited()
    scene.ledger.give_back(another(scene, **changes))
    assert [*scene.event(), *scene.sweep(2 * MINUTE)] == [outcome]
    assert len(scene.api.calls) == (outcome == "matched")
    assert scene.claim(2).exempt is (outcome == "matched")


def test_a_run_that_the_operator_asked_for_is_not_held_up() -> None:
    """A later upload's run is: it costs like any other recording."""
    scene = limited()
    assert scene.event() == ["rejected"]
    scene.ledger.put_on(Entry(scene.clock.now(), Look(BUCKET, LIVE.key, run=2)))
    assert scene.sweep(MINUTE) == ["matched"]
    assert scene.record(2).outcome == "matched"
    scene = Scene(MAX_VERDICTS="1")
    scene.api.answers = [Answer("FailedOperation.BrandNew", "")]
    assert scene.event() == ["failed"]
    later = IMAGE._replace(uploaded_at=NOON + MINUTE)
    scene.uploads.stored[IMAGE.key] = later
    scene.clock.waited += 60
    assert scene.event(at=later.uploaded_at) == ["rejected"]
    assert scene.record(2).code == "Livepair.TooManyVerdicts"
    assert len(scene.api.calls) == 1
