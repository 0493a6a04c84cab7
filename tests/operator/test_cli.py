"""`python -m handler`: what an operator sees of a deployment, and can do about it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import requests

from handler.cli import deployment
from tests.cloud import Cloud, faults, samples
from tests.cloud.faceid import COMPARE, Answer
from tests.support import deployed
from tests.support.harness import BUCKET, IMAGE, LIVE, Livepair, SkippingClock
from tests.support.operator import Operator
from tests.support.project import PROJECT

# --- its own settings ---------------------------------------------------------------------------------


def test_the_function_imports_nothing_of_it() -> None:
    """Neither the commands nor the libraries of the terminal cost a cold start."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, handler.index; print(*sorted(sys.modules))"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "handler.flow.advance" in found
    assert not {"handler.cli", "click", "rich", "yaml", "dotenv"}.intersection(found)


def test_missing_settings_are_named_all_at_once(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, without a traceback."""
    for name in ("BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    said = operator.error("list")
    assert all(f"{name} is not set" in said for name in ("BUCKET", "WEBHOOK_URL", "WEBHOOK_SECRET"))


def test_missing_credentials_are_asked_for(livepair: Livepair, operator: Operator) -> None:
    """By the names under which they are looked for."""
    livepair.run()
    del operator.variables["TENCENT_SECRET_KEY"]
    assert "TENCENT_SECRET_ID and TENCENT_SECRET_KEY" in operator.error("list")


def test_what_a_head_refuses_has_the_request_id_that_tencent_asks_for(
    livepair: Livepair, operator: Operator
) -> None:
    """The answer to a HEAD has no body: it stands in the headers."""
    livepair.run()
    operator.use(
        livepair.cloud.temporary_credentials(allowed=lambda operation: operation.name != "HeadObject")
    )
    said = operator.error("show", "uploads/ada/live.gz")
    assert re.search(r"\(403, request id \w{8,}=*\)\. Give whoever asks .* name/cos:HeadObject", said)


def test_an_env_file_and_serverless_yml_are_read(
    operator: Operator, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the deployment reads them: what stands in the environment counts first, then .env, then the file."""
    settings = cloud.environment()
    for name in (*settings, "TENCENTCLOUD_REGION"):
        monkeypatch.delenv(name, raising=False)
    (operator.folder / "serverless.yml").write_text(deployed.by_default(), encoding="utf-8")
    lines = [f"{name}={value}" for name, value in settings.items()]
    (operator.folder / ".env").write_text("\n".join([*lines, "REGION=ap-singapore"]))
    assert operator.json("list")["counts"]["waiting"] == 0
    operator.variables["LIVE_KEY"] = "no-placeholder"
    assert "LIVE_KEY: 'no-placeholder' holds no placeholder" in operator.error("list")


def test_a_file_that_is_no_deployment_is_named(livepair: Livepair, operator: Operator) -> None:
    """And what it needs."""
    (operator.folder / "serverless.yml").write_text("component: scf")
    assert "serverless.yml cannot be read (KeyError); it needs inputs" in operator.error("list")


def test_a_refused_permission_is_named(livepair: Livepair, operator: Operator, cloud: Cloud) -> None:
    """In one line: the action, the resource, and who needs it."""
    operator.use(cloud.temporary_credentials(allowed=lambda operation: operation.name != "GetBucket"))
    said = operator.error("list")
    assert "name/cos:GetBucket" in said
    assert "faces-1250000000/livepair/agenda/" in said


def test_a_file_that_is_asked_for_has_to_be_there(livepair: Livepair, operator: Operator) -> None:
    """Or the command would work on another deployment than the one that is meant."""
    for option in ("--env-file", "--config"):
        said = operator(option, "elsewhere", "list")
        assert said.exit_code == 2
        assert f"{option}: elsewhere is not there" in said.stderr


@pytest.mark.parametrize("name", [".env", "serverless.yml"])
def test_a_file_that_is_no_text_is_named(livepair: Livepair, operator: Operator, name: str) -> None:
    """In one line, by doctor too."""
    (operator.folder / name).write_bytes(b"A=\xff\n")
    assert f"{name} cannot be read" in operator.error("list")
    assert f"{name} cannot be read" in operator.json("doctor", status=1)["checks"][0]["found"]


# --- list and show ------------------------------------------------------------------------------------


def one_of_each(livepair: Livepair) -> None:
    """A pair that waits, one that is throttled, one that is undelivered, one that is dead."""
    livepair.put("uploads/waits/live.gz", samples.live(seed=1))
    livepair.run()
    livepair.throttled_pairs(1)
    livepair.cloud.consumer.answer(500, times=2)
    livepair.put("uploads/undelivered/image.jpg", samples.image())
    livepair.put("uploads/undelivered/live.gz", samples.live(seed=2))
    assert livepair.run() == ["matched"]
    livepair.cloud.consumer.answer(410, times=1)
    livepair.put("uploads/dead/image.jpg", samples.image())
    livepair.put("uploads/dead/live.gz", samples.live(seed=3, sim=1.0))
    assert livepair.run() == ["mismatched"]


def test_list_tells_what_is_under_way(livepair: Livepair, operator: Operator) -> None:
    """Each pair once, with its state, what it waits for, and since when."""
    one_of_each(livepair)
    livepair.cloud.clock.advance(120)
    found = operator.json("list")
    assert found["counts"] == {"waiting": 1, "running": 1, "undelivered": 1, "dead": 1, "unreadable": 0}
    items = {item["state"]: item for item in found["items"]}
    assert [items[state]["pair"] for state in ("waiting", "running", "undelivered", "dead")] == [
        "waits",
        "0",
        "undelivered",
        "dead",
    ]
    assert items["waiting"]["detail"] == "live was uploaded"
    assert items["running"]["detail"].startswith("RequestLimitExceeded, tried 1 time; next try from ")
    assert items["undelivered"]["detail"].startswith("matched, answered 500 (attempt 2, ")
    assert items["dead"]["detail"] == "answered 410"
    assert all(item["since"] for item in items.values())
    shown = operator.fine("list")
    assert "undelivered" in shown
    assert "2 min" in shown


def test_list_of_nothing_says_so(livepair: Livepair, operator: Operator) -> None:
    """And settled pairs are nothing."""
    assert livepair.pair() == ["matched"]
    assert "Nothing is under way." in operator.fine("list")


def test_list_survives_an_entry_that_cannot_be_read(livepair: Livepair, operator: Operator) -> None:
    """It is shown as such."""
    livepair.cloud.cos.bucket(BUCKET).put("livepair/agenda/20261122T1200Z/look-x", b"{", silent=True)
    assert operator.json("list")["counts"]["unreadable"] == 1


def test_list_survives_a_dead_letter_that_cannot_be_read(livepair: Livepair, operator: Operator) -> None:
    """It is counted, without an age."""
    livepair.cloud.consumer.answer(410, times=1)
    livepair.pair()
    for number, at in enumerate(('"yesterday"', '"2026-11-22T12:00:00"', "7")):
        key = f"livepair/dead/43/{number:032}"
        livepair.cloud.cos.bucket(BUCKET).put(key, f'{{"at": {at}}}'.encode(), silent=True)
    assert operator.json("list")["counts"]["dead"] == 4


def test_list_shows_a_pair_that_waits_beside_its_dead_letter(livepair: Livepair, operator: Operator) -> None:
    """They are two verifications: what was given up does not hide what is under way."""
    livepair.cloud.consumer.answer(410, times=1)
    livepair.pair()
    livepair.cloud.cos.bucket(BUCKET).delete(IMAGE)
    livepair.cloud.clock.advance(60)
    livepair.put(LIVE, samples.live(seed=4))
    livepair.run()
    counts = operator.json("list")["counts"]
    assert (counts["waiting"], counts["dead"]) == (1, 1)


def test_list_and_show_tell_where_work_keeps_failing(livepair: Livepair, operator: Operator) -> None:
    """How often, and when it is tried again."""
    livepair.throttled_pairs(1)
    refused = faults.refuse(403, "AccessDenied")
    livepair.cloud.faults.add("GetObject", key="*/claims/*", source="livepair", then=refused, times=None)
    for _ in range(3):
        livepair.due()
    (item,) = operator.json("list")["items"]
    assert item["failures"] == 3
    assert ("; failed 3 times, again at " + item["due"].replace("T", " ")) in item["detail"]
    last = operator.json("show", "uploads/0/live.gz")["events"][-1]
    assert (last["what"], last["detail"]) == ("take over", "failed 3 times")


def test_show_tells_the_story_in_order(livepair: Livepair, operator: Operator) -> None:
    """By a key, a verification's ID or its message's: uploads, claims, outcome, delivery, what is to come."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.cloud.consumer.answer(500, times=2)
    assert livepair.pair() == ["failed"]
    which = livepair.record()["verification"]
    stories = [operator.json("show", each) for each in (LIVE, IMAGE, which, f"msg_{which}")]
    assert stories[0] == stories[1] == stories[2] == stories[3]
    assert stories[0]["pair"] == {"id": "42"}
    events = stories[0]["events"]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert {event["what"] for event in events} == {"uploaded", "claim 1", "decided: failed", "deliver"}
    assert events[-1]["what"] == "deliver"
    shown = operator.fine("show", which)
    assert "FailedOperation.BrandNew" in shown
    assert "attempt 3" in shown


def test_show_of_what_is_unknown_says_what_to_give(livepair: Livepair, operator: Operator) -> None:
    """A key of another template, an ID without a record, a pair without anything."""
    assert "uploads/{id}/live.gz" in operator.error("show", "other/key")
    assert "no record of the verification" in operator.error("show", "0" * 32)
    assert "Nothing is stored about it" in operator.fine("show", "uploads/nobody/live.gz")


def test_an_image_that_serves_many_shows_who_waits_for_it(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Its live packages by name."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    livepair.put("uploads/ada/1/live.gz", samples.live())
    livepair.run()
    shown = operator.fine("show", "faces/ada.jpg")
    assert "waits for it" in shown
    assert "ada/1" in shown


def test_a_pair_is_meant_by_its_id(livepair: Livepair, operator: Operator) -> None:
    """Each command that takes a pair takes what its operator holds, and costs with the pair alone."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    verification = livepair.messages[0]["data"]["verification_id"]
    told = operator.json("show", LIVE)
    livepair.forget()
    assert [operator.json("show", given) for given in ("42", "id=42")] == [told] * 2
    assert operator.json("redeliver", "42")["redelivered"] == [verification]
    assert not [each for each in livepair.cloud.log if each.key.endswith("records/")]
    assert operator.json("show", f"msg_{verification}")["events"]
    assert operator.json("retry", "42")["run"] == 2
    livepair.cloud.clock.advance(3600)
    assert len(operator.json("forget", "42", "--yes", status=1)["erased"]) > 3  # a sweep may be at work on it
    livepair.cloud.clock.advance(3600)
    assert operator.json("forget", "42", "--yes")["left"] == []
    assert "nothing was decided about the pair id=43" in operator.error("retry", "43")


def test_a_pair_of_several_values_is_meant_by_all_of_them(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Named, bare in LIVE_KEY's order, or as `list` prints them; of fewer it is said what they could be."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    for attempt in "12":
        livepair.put(f"uploads/ada lee/{attempt}/live.gz", samples.live())
    livepair.run()
    for given in (("user=ada lee", "attempt=2"), ("ada lee", "2"), ("ada lee/2",), ("ada%20lee/2",)):
        assert operator.json("show", *given)["pair"] == {"user": "ada lee", "attempt": "2"}
    for given in (("ada lee",), ("user=ada lee",)):
        said = operator.error("forget", *given, "--yes")
        assert "could be user=ada lee attempt=1 or user=ada lee attempt=2: give all values" in said
    assert "nor a pair's user=… attempt=…" in operator.error("show", "bob")
    assert "serves many pairs" in operator.error("redeliver", "faces/ada lee.jpg")


def test_what_could_be_several_is_named_and_not_guessed(livepair: Livepair, operator: Operator) -> None:
    """A pair's id that is a verification's ID too, and one that reads like another's in `list`."""
    livepair.pair()
    verification = livepair.messages[0]["data"]["verification_id"]
    livepair.put(f"uploads/{verification}/live.gz", samples.live())
    livepair.run()
    said = operator.error("show", verification)
    assert f"could be the verification msg_{verification} or the pair id={verification}: give that" in said
    assert operator.json("show", f"id={verification}")["pair"] == {"id": verification}
    assert operator.json("show", f"msg_{verification}")["pair"] == {"id": "42"}
    for name in ("a b", "a%20b"):
        livepair.put(f"uploads/{name}/live.gz", samples.live())
    assert "could be the pair id=a%20b or the pair id=a b" in operator.error("show", "a%20b")
    assert operator.json("show", "a b")["pair"] == {"id": "a b"}


def test_a_verification_that_is_not_decided_is_found(livepair: Livepair, operator: Operator) -> None:
    """By the ID that `list` shows of it."""
    livepair.cloud.faceid.script(*[Answer(error="FailedOperation.DownLoadError")] * 2)
    livepair.pair()
    (item,) = operator.json("list")["items"]
    assert "claim 1" in {event["what"] for event in operator.json("show", item["verification"])["events"]}


def test_text_that_uploaders_chose_cannot_command_a_terminal(livepair: Livepair, operator: Operator) -> None:
    """Neither escape sequences nor the markup of the table's library."""
    key = "uploads/\x9b31m\u202e[red]evil\r\n/live.gz"
    livepair.put(key, samples.live())
    livepair.run()
    for shown in (operator.fine(*each) for each in (("list",), ("show", key), ("list", "--json"))):
        assert not {"\x9b", "\r", "\u202e"}.intersection(shown)
    assert "\\x9b31m\\u202e[red]evil\\r\\n" in operator.fine("show", key)


def test_list_and_show_tell_the_webhooks_last_answer(livepair: Livepair, operator: Operator) -> None:
    """Which attempt got it, when, and when the next is made; also of one that a sweep made."""
    livepair.cloud.consumer.answer(500, times=2)
    livepair.cloud.consumer.answer(503, times=None)
    livepair.pair()
    (item,) = operator.json("list")["items"]
    assert item["last"] == {"attempt": 2, "at": item["last"]["at"], "error": "answered 500"}
    assert (item["state"], item["failures"]) == ("undelivered", 0)
    assert item["last"]["at"] < item["due"]
    assert "answered 500 (attempt 2, 20" in operator.fine("list")
    (due,) = [event for event in operator.json("show", "42")["events"] if event["what"] == "deliver"]
    assert due["detail"].startswith("attempt 3, after answered 500 (attempt 2, 20")
    livepair.sweep(6)
    (item,) = operator.json("list")["items"]
    assert (item["last"]["attempt"], item["last"]["error"]) == (3, "answered 503")
    assert len(livepair.state("agenda/")) == 1


class AtWork(SkippingClock):
    """A clock whose owner waits while the function handles what was uploaded."""

    def __init__(self, livepair: Livepair) -> None:
        super().__init__(livepair.cloud.clock)
        self.livepair = livepair

    def sleep(self, seconds: float) -> None:
        self.livepair.run()
        super().sleep(seconds)


def test_verify_tells_the_webhooks_last_answer(
    livepair: Livepair, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it waits, and when the next attempt is; and why a delivery was given up."""
    monkeypatch.setattr(deployment, "_clock", AtWork(livepair))
    livepair.cloud.consumer.answer(500, times=2)
    said = operator("verify", "--smoke", "--timeout", "60").stderr
    assert "not taken by the webhook yet: answered 500 (attempt 2, 20" in said
    assert "), attempt 3 is due at 20" in said
    livepair.cloud.consumer.answer(410)
    said = operator("verify", "--smoke").stdout
    assert "The webhook did not take the message: answered 410 (attempt 1, 20" in said


# --- redeliver, retry, reconcile ----------------------------------------------------------------------


def test_redeliver_posts_the_same_message_again(livepair: Livepair, operator: Operator) -> None:
    """Same id, same bytes; once for each time it is asked for, and marked delivered again."""
    assert livepair.pair() == ["matched"]
    which = livepair.record()["verification"]
    assert operator.json("redeliver", which) == {"redelivered": [which], "unreadable": []}
    operator.fine("redeliver", f"msg_{which}")
    assert livepair.record()["delivered_at"] is None
    assert operator.json("list")["items"][0]["detail"] == "matched, 0 attempts so far"
    assert livepair.record()["attempts"] == 0
    assert livepair.sweep(1) == ["matched"]
    assert livepair.sweep(1) == []
    first, second = livepair.cloud.consumer.attempts
    assert (first.id, first.body) == (second.id, second.body)
    assert livepair.record()["delivered_at"]
    assert livepair.record()["attempts"] == 1
    assert livepair.state("agenda/") == []
    assert len(livepair.asked) == 1


def test_a_redelivery_that_ended_half_way_is_on_the_agenda(livepair: Livepair, operator: Operator) -> None:
    """A record that counts as untold always has an entry, so a sweep tells it."""
    assert livepair.pair() == ["matched"]
    which = livepair.record()["verification"]
    entries = livepair.cloud.faults.add(
        "PutObject", key="livepair/agenda/*", then=faults.refuse(403, "AccessDenied"), skip=1, times=None
    )
    operator.error("redeliver", which)
    livepair.cloud.faults.remove(entries)
    assert livepair.record()["delivered_at"] is None
    assert livepair.finish() == ["matched"]
    assert len(livepair.cloud.consumer.attempts) == 2


def test_redeliver_begins_the_schedule_anew(livepair: Livepair, operator: Operator) -> None:
    """Also of what is not told yet: its attempts are counted from now, and no other is made beside them."""
    livepair.cloud.consumer.answer(500, times=None)
    assert livepair.pair() == ["matched"]
    for _ in range(3):
        livepair.due()
    which = livepair.record()["verification"]
    (entry,) = livepair.state("agenda/")
    assert entry.split("-")[2] == "6"
    asked_at = livepair.cloud.clock.now()
    operator.fine("redeliver", which)
    told_from = datetime.fromisoformat(livepair.record()["told_from"])
    assert timedelta(0) <= told_from - asked_at < timedelta(minutes=1)
    posted = len(livepair.cloud.consumer.attempts)
    livepair.sweep(1)
    (entry,) = livepair.state("agenda/")
    assert entry.split("-")[2] == "3"  # the time of the second went by until the sweep
    livepair.finish()
    assert len(livepair.cloud.consumer.attempts) - posted == 9
    assert len(livepair.state("dead/")) == 1


@pytest.mark.parametrize("chosen", [("--dead",), ("--since", "1h")])
def test_redeliver_names_what_it_cannot_read_and_goes_on(
    livepair: Livepair, operator: Operator, chosen: tuple[str, ...]
) -> None:
    """One record that somebody spoilt keeps no other from its delivery; the command fails after the rest."""
    livepair.cloud.consumer.answer(410, times=2)
    livepair.throttled_pairs(2)
    livepair.finish()
    spoilt, kept = livepair.state("records/")
    bucket = livepair.cloud.cos.bucket(BUCKET)
    bucket.put(f"livepair/{spoilt}", b"{", silent=True)
    said = operator("redeliver", *chosen, "--yes")
    assert said.exit_code == 1
    assert f"the state object livepair/{spoilt} cannot be read" in said.stderr
    assert "1 message to be posted" in said.stdout
    told = operator.json("redeliver", "--since", "1h", "--yes", status=1)
    which = livepair.record(kept)["verification"]
    assert told == {"redelivered": [which], "unreadable": [f"livepair/{spoilt}"]}
    livepair.finish()
    assert livepair.cloud.consumer.accepted == {f"msg_{which}"}


def test_redeliver_leaves_a_letter_that_outlived_its_cause(livepair: Livepair, operator: Operator) -> None:
    """Where it was killed before: what is delivered since is neither dead nor posted again."""
    livepair.cloud.consumer.answer(410, times=1)
    livepair.pair()
    (letter,) = livepair.state("dead/")
    data = livepair.cloud.cos.bucket(BUCKET).get(f"livepair/{letter}").data
    operator.fine("redeliver", "--dead", "--yes")
    livepair.finish()
    livepair.cloud.cos.bucket(BUCKET).put(f"livepair/{letter}", data, silent=True)
    assert operator.json("list")["counts"]["dead"] == 0
    assert operator.json("redeliver", "--dead", "--yes")["redelivered"] == []


def test_redeliver_takes_dead_letters_out_again(livepair: Livepair, operator: Operator) -> None:
    """All of them; one that fails again is tried on the schedule from its start."""
    livepair.cloud.consumer.answer(410, times=2)
    livepair.throttled_pairs(2)
    livepair.finish()
    assert len(livepair.state("dead/")) == 2
    assert operator("redeliver", "--dead", answer="n\n").exit_code == 1
    assert len(livepair.state("dead/")) == 2
    livepair.cloud.consumer.answer(500, times=1, headers={"Retry-After": "60"})
    assert len(operator.json("redeliver", "--dead", "--yes")["redelivered"]) == 2
    assert livepair.state("dead/") == []
    livepair.finish()
    assert len(livepair.cloud.consumer.accepted) == 2
    assert livepair.state("dead/") == []
    assert operator.json("redeliver", "--dead", "--yes") == {"redelivered": [], "unreadable": []}


def test_redeliver_since_replays_what_was_decided_since(livepair: Livepair, operator: Operator) -> None:
    """And nothing older, also where its record was marked since."""
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(7200)
    livepair.put("uploads/43/image.jpg", samples.image())
    livepair.put("uploads/43/live.gz", samples.live(seed=2))
    livepair.run()
    assert len(operator.json("redeliver", "--since", "1h", "--yes")["redelivered"]) == 1
    assert len(operator.json("redeliver", "--since", "3h", "--yes")["redelivered"]) == 2
    assert len(operator.json("redeliver", "--since", "1h", "--yes")["redelivered"]) == 1
    assert "'yesterday' is no moment" in operator.error("redeliver", "--since", "yesterday")


@pytest.mark.parametrize("chosen", [("--dead",), ("--since", "1h")])
def test_redeliver_goes_on_where_its_limit_ended(
    livepair: Livepair, operator: Operator, chosen: tuple[str, ...]
) -> None:
    """So many at a time; no more is read than a few beside them."""
    livepair.cloud.consumer.answer(410, times=40)
    for number in range(40):
        livepair.put_pair(samples.live(seed=number), name=number)
    livepair.run()
    done: set[str] = set()
    for _ in range(3):
        livepair.cloud.clock.advance(60)
        livepair.forget()
        some = operator.json("redeliver", *chosen, "--limit", "10", "--yes")["redelivered"]
        reads = [
            each for each in livepair.cloud.log if each.operation == "GetObject" and "/records/" in each.key
        ]
        assert (len(some), len(reads)) == (10, 16 + 10)
        done.update(some)
    assert len(done) == 30


def test_the_key_of_an_upload_stands_for_its_pairs_last_record(
    livepair: Livepair, operator: Operator
) -> None:
    """So a command costs with the pair, however many records there are: an ID does not say where it lies."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    assert "nothing was decided" in operator.error("retry", "uploads/43/live.gz")
    assert "neither a verification's ID" in operator.error("redeliver", "other/key")
    livepair.forget()
    assert operator.json("retry", LIVE)["run"] == 2
    lists = [each.key for each in livepair.cloud.log if each.operation == "GetBucket"]
    assert len(lists) == 2
    livepair.run()
    assert livepair.sweep(1) == ["matched"]
    last = livepair.messages[-1]["data"]["verification_id"]
    assert operator.json("redeliver", IMAGE)["redelivered"] == [last]


def test_redeliver_brings_nothing_back_that_was_erased(livepair: Livepair, operator: Operator) -> None:
    """Also where that happens while it asks."""
    livepair.pair()
    key = f"livepair/{livepair.state('records/')[0]}"

    def erase() -> None:
        livepair.cloud.cos.bucket(BUCKET).delete(key)

    livepair.cloud.faults.add("GetObject", key=key, then=faults.run_after(erase))
    assert operator.json("redeliver", "--since", "1h", "--yes") == {"redelivered": [], "unreadable": []}
    assert livepair.state("records/") == livepair.state("agenda/") == []


def test_redeliver_asks_for_one_choice(livepair: Livepair, operator: Operator) -> None:
    """Not none, not two."""
    assert operator("redeliver").exit_code == operator("redeliver", "--dead", "--since", "1h").exit_code == 2


def test_retry_starts_one_more_run(livepair: Livepair, operator: Operator) -> None:
    """Of what failed; asked for twice it is one; its own id, record and message."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    which = livepair.record()["verification"]
    assert operator.json("retry", which) == {"verification": which, "run": 2}
    operator.fine("retry", which)
    assert livepair.finish() == ["matched"]
    assert [message["data"]["run"] for message in livepair.messages] == [1, 2]
    assert "was tried again already" in operator.error("retry", which)


def test_retry_judges_what_the_limit_held_up(configured: Callable[..., Livepair], operator: Operator) -> None:
    """A human looked at it: MAX_VERDICTS leaves this run alone, also where its call has to be repeated."""
    livepair = configured(MAX_VERDICTS="1")
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    livepair.put(LIVE, samples.live(seed=2))
    assert livepair.run() == ["rejected"]
    held_up = livepair.messages[-1]["data"]
    assert held_up["reason"]["code"] == "Livepair.TooManyVerdicts"
    livepair.cloud.faceid.script(Answer(error="RequestLimitExceeded"), Answer(error="RequestLimitExceeded"))
    operator.fine("retry", held_up["verification_id"])
    assert livepair.finish() == ["matched"]
    assert [message["data"]["run"] for message in livepair.messages] == [1, 1, 2]
    livepair.put(LIVE, samples.live(seed=3))
    assert livepair.run() == ["rejected"]


def test_retry_of_an_incomplete_pair_waits_again(livepair: Livepair, operator: Operator) -> None:
    """Its half is told incomplete once more, or judged if its partner came."""
    livepair.put(LIVE, samples.live())
    livepair.run()
    assert livepair.finish() == ["incomplete"]
    which = livepair.record()["verification"]
    operator.fine("retry", which)
    assert livepair.finish() == ["incomplete"]
    assert [message["data"]["run"] for message in livepair.messages] == [1, 2]


def test_retry_refuses_half_a_pair_that_was_judged_since(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Its other half came late, and was deleted with the verdict: another run could only wait for it."""
    livepair = configured(DELETE_UPLOADS="live")
    livepair.put(IMAGE, samples.image())
    livepair.run()
    livepair.finish()
    incomplete = livepair.record()["verification"]
    livepair.put(LIVE, samples.live())
    assert livepair.run() == ["matched"]
    assert "upload both again" in operator("retry", incomplete).stderr
    assert livepair.state("agenda/") == []


def test_retry_refuses_what_has_a_verdict_or_is_gone(livepair: Livepair, operator: Operator) -> None:
    """With what to do instead."""
    assert livepair.pair() == ["matched"]
    which = livepair.record()["verification"]
    assert "ended as matched: only failed and incomplete ones" in operator.error("retry", which)
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    livepair.cloud.clock.advance(60)
    assert livepair.pair(samples.live(seed=5)) == ["failed"]
    livepair.put("uploads/43/image.jpg", b"")
    livepair.put("uploads/43/live.gz", samples.live())
    assert livepair.run() == ["rejected"]
    rejected = livepair.messages[-1]["data"]["verification_id"]
    assert "ended as rejected" in operator.error("retry", rejected)
    failed = next(m["data"]["verification_id"] for m in livepair.messages if m["data"]["outcome"] == "failed")
    livepair.cloud.cos.bucket(BUCKET).delete(LIVE)
    assert f"{LIVE} is gone" in operator.error("retry", failed)


def test_retry_wants_both_uploads_as_they_were_judged(livepair: Livepair, operator: Operator) -> None:
    """What replaced one has an outcome of its own, and half of what is left would be told incomplete."""
    livepair.cloud.faceid.script(Answer(error="FailedOperation.BrandNew"))
    assert livepair.pair() == ["failed"]
    which = livepair.record()["verification"]
    livepair.put(IMAGE, samples.image(seed=2))
    assert f"{IMAGE} was replaced since" in operator.error("retry", which)
    livepair.cloud.cos.bucket(BUCKET).delete(IMAGE)
    assert f"{IMAGE} is gone" in operator.error("retry", which)
    assert livepair.state("agenda/") == []


@pytest.mark.parametrize(
    "since", ["1990-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "99999d"]
)
def test_a_moment_that_no_state_object_holds_is_refused(
    livepair: Livepair, operator: Operator, since: str
) -> None:
    """The function would take the agenda's entry for a corrupt one, and throw it away."""
    assert "is out of reach" in operator.error("reconcile", "--since", since)
    assert "in the future" in operator.error("reconcile", "--since", "2099-01-01")
    assert "is out of reach" in operator.error("redeliver", "--since", since)


def test_reconcile_finds_what_no_event_told(livepair: Livepair, operator: Operator) -> None:
    """Since a moment; one walk at a time."""
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    livepair.drop(2)
    livepair.cloud.clock.advance(3600)
    assert operator.json("reconcile", "--since", "30m")["since"]
    assert "a reconcile is under way" in operator.error("reconcile")
    assert livepair.finish() == []
    operator.fine("reconcile", "--since", "all")
    assert livepair.finish() == ["matched"]
    since = datetime.fromisoformat(operator.json("reconcile")["since"].replace("Z", "+00:00"))
    ago = livepair.cloud.clock.now() - since  # a day before the last one began
    assert timedelta(days=1) <= ago < timedelta(days=1, hours=1)


# --- links --------------------------------------------------------------------------------------------


def test_links_let_their_holder_upload_one_pair(livepair: Livepair, operator: Operator) -> None:
    """Both halves by one PUT each, nothing else, and only for their time; the pair is judged then."""
    made = operator.json("links", "7", "--seconds", "60")
    assert (made["pair"], made["live"]["key"]) == ({"id": "7"}, "uploads/7/live.gz")
    assert made["headers"] == {"x-cos-forbid-overwrite": "true"}
    with requests.Session() as device:
        device.proxies = {"http": livepair.cloud.url}

        def put(role: str, data: bytes, headers: dict[str, str]) -> int:
            return device.put(made[role]["put"], data=data, headers=headers, timeout=10).status_code

        for role, data in (("image", samples.image()), ("live", samples.live())):
            assert put(role, data, {}) == 403
            assert put(role, data, made["headers"]) == 200
            assert put(role, b"another", made["headers"]) == 409
            assert device.get(made[role]["put"], headers=made["headers"], timeout=10).status_code == 403
        assert livepair.run() == ["matched"]
        late = operator.json("links", "8", "--seconds", "60")
        livepair.cloud.clock.advance(3600)
        made = late
        assert put("live", b"late", made["headers"]) == 403


def test_links_are_printed_as_commands_that_work(livepair: Livepair, operator: Operator) -> None:
    """With the header that the device has to send."""
    printed = operator.fine("links", "7")
    assert printed.count("curl -x http://127.0.0.1:") == 2
    assert printed.count(" -H 'x-cos-forbid-overwrite: true' -T FILE 'http") == 2


def test_links_want_every_placeholder(configured: Callable[..., Livepair], operator: Operator) -> None:
    """Named, where there are several."""
    configured(LIVE_KEY="uploads/{user}-{attempt}.gz", IMAGE_KEY="uploads/{user}-{attempt}.jpg")
    assert "attempt=… is missing" in operator.error("links", "user=ada")
    assert "write user=… attempt=…" in operator.error("links", "7")
    assert "does not read back" in operator.error("links", "user=ada", "attempt=1-2")
    assert "holds no /" in operator.error("links", "user=a/b", "attempt=1")
    assert "COS allows 850" in operator.error("links", f"user={'日' * 280}", "attempt=1")
    assert "is not UTF-8" in operator.error("links", "user=\udcff", "attempt=1")
    assert operator.json("links", "user=ada", "attempt=1")["image"]["key"] == "uploads/ada-1.jpg"


# --- what no command prints ---------------------------------------------------------------------------


def test_no_command_prints_a_secret_or_a_signed_link(livepair: Livepair, operator: Operator) -> None:
    """Whatever it shows, and whatever it fails with; `links` alone prints links, which it is for."""
    one_of_each(livepair)
    which = livepair.messages[0]["data"]["verification_id"]
    operator.variables["WEBHOOK_URL"] = f"{livepair.cloud.consumer.url}/secret-of-the-path?key=secret-key"
    operator("doctor")
    for each in (("list",), ("show", LIVE), ("show", which), ("redeliver", which), ("retry", which)):
        operator(*each)
        operator(*each, "--json")
    operator.variables["TENCENT_SECRET_KEY"] = "wrong-secret-key-of-nobody"
    operator("list")
    operator("doctor")
    operator("forget", LIVE, "--yes")
    said = "".join(operator.said)
    secrets = ("fake-secret", "fake-token", "wrong-secret-key", "whsec_", "q-signature", "q-ak", "v1,")
    assert [secret for secret in (*secrets, "secret-of-the-path", "secret-key") if secret in said] == []
    assert any("secret-of-the-path" in attempt.path for attempt in livepair.cloud.consumer.attempts)
    assert COMPARE in {logged.operation for logged in livepair.cloud.log}
