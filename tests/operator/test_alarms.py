"""The alarms of deploy/alarms.json go off in the trouble that they are for, and in no healthy hour.

Each is shown with lines that the function itself printed, on the local cloud. How CLS searches is played by
`tests.support.cls`; nobody has tried the searches on CLS itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from handler.rules.codes import CODES
from tests.cloud import samples
from tests.cloud.faceid import COMPARE
from tests.cloud.faults import refuse
from tests.support import cls
from tests.support.harness import Livepair, lines

Alarm: TypeAlias = "dict[str, Any]"
Trouble: TypeAlias = "Callable[[Livepair], None]"

FILE = cls.read()
ALARMS: dict[str, Alarm] = {alarm["name"]: alarm for alarm in FILE["alarms"]}

SPOOF = next(code for code, row in CODES.items() if row.category == "spoof")


def told(livepair: Livepair, *lives: bytes) -> None:
    """Pairs with these live packages, each handled to its end."""
    for number, live in enumerate(lives):
        livepair.put_pair(live, name=f"p{number}")
        livepair.run()


def pairs(count: int, **live: Any) -> list[bytes]:
    return [samples.live(seed=seed, **live) for seed in range(count)]


# --- each trouble, made for real ----------------------------------------------------------------------


def no_timer(livepair: Livepair) -> None:
    livepair.pair()


def wrong_settings(livepair: Livepair) -> None:
    livepair.configure(MIN_SIMILARITY="seventy")
    livepair.put_pair()
    fail(livepair)


def missing_permission(livepair: Livepair) -> None:
    livepair.deny("PutObject", "livepair/")
    livepair.put_pair()
    fail(livepair)


def fail(livepair: Livepair) -> None:
    """Hand all events over, each of which fails."""
    while livepair.events:
        with pytest.raises(Exception, match=r"."):
            livepair.handle(livepair.events.pop(0))


def late_by(minutes: float) -> Trouble:
    def trouble(livepair: Livepair) -> None:
        livepair.throttled_pairs(1)
        livepair.sweep(minutes)

    return trouble


def throttled(livepair: Livepair) -> None:
    livepair.throttled_pairs(20)


def in_arrears(livepair: Livepair) -> None:
    livepair.cloud.faults.add(COMPARE, then=refuse(200, "UnauthorizedOperation.Arrears"), times=None)
    livepair.pair()


def no_verdict(livepair: Livepair) -> None:
    told(livepair, samples.live(error="FailedOperation.SomethingNew"))


def two_of_twenty_fail(livepair: Livepair) -> None:
    told(livepair, *pairs(18), *pairs(2, error="FailedOperation.SomethingNew"))


def two_of_twenty_are_fakes(livepair: Livepair) -> None:
    told(livepair, *pairs(18), *pairs(2, error=SPOOF))


def webhook_down(livepair: Livepair) -> None:
    livepair.cloud.consumer.answer(500, times=None)
    livepair.pair()
    for _ in range(3):
        livepair.due()


def webhook_gone(livepair: Livepair) -> None:
    livepair.cloud.consumer.answer(410)
    livepair.pair()


def two_readings(livepair: Livepair) -> None:
    livepair.configure(LIVE_KEY="uploads/{user}-{attempt}.gz", IMAGE_KEY="uploads/{user}-{attempt}.jpg")
    livepair.put("uploads/a-b-c.gz", samples.live())
    fail(livepair)


def strange_keys(livepair: Livepair) -> None:
    for number in range(20):
        livepair.put(f"uploads/notes-{number}.txt", b"x")
    livepair.run()


def broken_state(livepair: Livepair) -> None:
    livepair.cloud.consumer.answer(500, times=None)
    livepair.pair()
    (key,) = livepair.state("records/")
    livepair.bucket.put(f"livepair/{key}", b"{", silent=True)
    livepair.due()


TROUBLES: dict[str, Trouble] = {
    "the function stands still": no_timer,
    "invocations fail": wrong_settings,
    "a permission is missing": missing_permission,
    "it falls behind": late_by(15),
    "the oldest entry due is hours old": late_by(150),
    "the API throttles": throttled,
    "configuration trouble": in_arrears,
    "the API gave no verdict": no_verdict,
    "share of failed": two_of_twenty_fail,
    "share of fakes": two_of_twenty_are_fakes,
    "the webhook fails": webhook_down,
    "livepair gave a message up": webhook_gone,
    "keys that name no pair": two_readings,
    "many keys that match nothing": strange_keys,
    "a code nobody knows": no_verdict,
    "state cannot be read": broken_state,
}
"""What makes each alarm go off. `billed calls an hour` has a test of its own: its threshold is high."""


def test_every_alarm_has_its_trouble() -> None:
    """None is there that nobody has seen go off."""
    assert {*TROUBLES, "billed calls an hour"} == set(ALARMS)
    assert len(ALARMS) == len(FILE["alarms"])


@pytest.mark.parametrize("name", TROUBLES)
def test_an_alarm_goes_off_in_its_trouble(livepair: Livepair, capsys: Any, name: str) -> None:
    """The function is run into the trouble, and what it prints makes the alarm go off."""
    TROUBLES[name](livepair)
    assert cls.fires(ALARMS[name], lines(capsys))


HEALTHY = ("the function stands still", "billed calls an hour")
"""The searches of these find lines of a healthy function, too; how many says whether something is wrong."""


@pytest.fixture
def healthy(livepair: Livepair, capsys: Any) -> list[dict[str, Any]]:
    """The lines of a healthy hour, five minutes each: pairs of all outcomes, sweeps and a reconcile.

    Of its pairs a few do not pass, one waits for its other half, and one message needs a second attempt.
    """
    for minute in range(60):
        if minute % 2 == 0:
            livepair.put_pair(samples.live(seed=minute), name=f"m{minute}")
            livepair.run()
        livepair.sweep()
    told(livepair, samples.live(sim=41), samples.live(error="FailedOperation.LivessDetectFail"))
    livepair.put("uploads/half/image.jpg", samples.image())
    livepair.cloud.consumer.answer(500)
    told(livepair, samples.live(seed=99))
    livepair.reconcile()
    found = lines(capsys)
    assert {line["outcome"] for line in found if "outcome" in line} == {"matched", "mismatched", "rejected"}
    return found


def test_a_healthy_hour_sets_no_alarm_off(healthy: list[dict[str, Any]]) -> None:
    """And all searches but two find nothing at all in it."""
    assert [name for name, alarm in ALARMS.items() if cls.fires(alarm, healthy)] == []
    finding = [name for name, alarm in ALARMS.items() if any(map(cls.search(alarm["search"]), healthy))]
    assert sorted(finding) == sorted(HEALTHY)


def test_billed_calls_are_added_up(livepair: Livepair, capsys: Any) -> None:
    """One for each verdict; what is rejected without a bill does not count."""
    alarm = ALARMS["billed calls an hour"]
    told(livepair, *pairs(2), samples.live(error=SPOOF))
    found = lines(capsys)
    assert cls.value(alarm["value"], filter(cls.search(alarm["search"]), found)) == 2
    assert cls.fires(alarm, found * 501)
    assert not cls.fires(alarm, found * 500)


@pytest.mark.parametrize("code", [code for code, row in CODES.items() if row.klass == "throttled"])
def test_every_code_of_throttling_counts_as_one(code: str) -> None:
    """Whatever the code's family."""
    assert cls.search(ALARMS["the API throttles"]["search"])({"event": "pair", "code": code})


def test_a_walk_that_meets_a_key_with_two_readings_sets_its_alarm_off(
    livepair: Livepair, capsys: Any
) -> None:
    """The other half of its search: an upload's event tells of it with another line than a reconcile does."""
    two_readings(livepair)
    livepair.cloud.clock.advance(3600)
    lines(capsys)
    livepair.reconcile()
    assert cls.fires(ALARMS["keys that name no pair"], lines(capsys, "ambiguous_key"))


def test_a_webhook_that_times_out_again_and_again_sets_its_alarm_off() -> None:
    """The other half of its search: a sweep that has stopped trying."""
    assert cls.fires(ALARMS["the webhook fails"], [{"event": "sweep", "webhook_gave_up": True}])


# --- the file -----------------------------------------------------------------------------------------


def fields_of(text: str) -> Iterator[str]:
    return iter(re.findall(r"(\w+):", re.sub(r'"[^"]*"', '""', text)))


def test_what_alarms_and_charts_ask_for_is_indexed() -> None:
    """CLS finds nothing in a field without an index, and compares only numbers."""
    fields = FILE["fields"]
    for alarm in FILE["alarms"]:
        for search in (alarm["search"], alarm.get("of", "")):
            assert set(fields_of(search)) <= set(fields), alarm["name"]
            for field in re.findall(r"(\w+):[<>]", search):
                assert fields[field] in ("long", "double"), field
        for field in re.findall(r"\((\w+)\)", alarm["value"]):
            assert fields[field] in ("long", "double"), field
    for chart in FILE["charts"]:
        cls.search(chart["search"])
        assert set(fields_of(chart["search"])) <= set(fields)
        for axis in (*chart["x"].split(","), *chart["y"].split(","), *filter(None, [chart["by"]])):
            assert re.search(rf"\bas {axis}\b|(?:select |^|, ){axis}\b", chart["select"]), axis


def test_what_is_indexed_is_printed(healthy: list[dict[str, Any]]) -> None:
    """Numbers as numbers, so that they can be compared; what only trouble prints is tried above."""
    kinds: dict[str, Any] = {"text": str, "long": int, "double": (int, float)}
    for line in healthy:
        for field, kind in FILE["fields"].items():
            if field in line and not isinstance(line[field], bool):
                assert isinstance(line[field], kinds[kind]), field


def test_every_alarm_says_what_it_means_and_what_to_do() -> None:
    """For who is woken by it, and with a window that CLS takes (1 to 1440 minutes)."""
    for alarm in FILE["alarms"]:
        assert alarm["means"], alarm["name"]
        assert alarm["do"], alarm["name"]
        assert alarm["level"] in ("critical", "warning")
        assert alarm["fires"] in cls.COMPARE
        assert 1 <= alarm["window"] <= 1440
        assert ("of" in alarm) == ("of_least" in alarm)


# --- the searches, as they are played -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("event:pair", True),
        ("event:pai", False),
        ("event:pai*", True),
        ("event:sweep OR event:pair AND calls:>1", True),
        ("(event:sweep OR event:pair) AND calls:>2", False),
        ("event:pair AND NOT calls:*", False),
        ('error:"Give whoever asks"', True),
        ('error:"whoever Give"', False),
        ("error:PutObject", True),
        ("gave_up:true", True),
        ("nothing:*", False),
        ("calls:>=2", True),
        ("error:>1", False),
    ],
)
def test_a_search_is_played_as_its_page_says(search: str, found: bool) -> None:
    """Words, beginnings, phrases, numbers, whether a field is there, and what binds closer."""
    line = {"event": "pair", "calls": 2, "gave_up": True, "error": "(Give whoever asks PutObject) x"}
    assert cls.search(search)(line) is found


@pytest.mark.parametrize(
    "search", ["", "pair", "event:", "event:pair AND", "(event:pair", "event:*pair", "a:b c:d"]
)
def test_a_search_that_is_not_played_is_refused(search: str) -> None:
    """So that no alarm is taken for tested that is not."""
    with pytest.raises(cls.SearchError):
        cls.search(search)
