"""`report`: it counts what the bucket tells, reads only what is new, and keeps and exports nobody's name."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handler.cli.deployment import Problem
from handler.cli.report.export import cell, verify
from tests.cloud import samples
from tests.support.harness import STATE, Livepair
from tests.support.operator import Operator

DARK = "FailedOperation.ActionLightDark"
FORMULA = "=cmd|' !A0"
MARKUP = "<script>alert(1)<!-- &"


@pytest.fixture
def history(livepair: Livepair) -> Livepair:
    """Seven verifications of six pairs: one retake, one half alone, one dead message."""
    livepair.put_pair(samples.live(sim=96.3, seed=1), name="amy")
    livepair.put_pair(samples.live(error=DARK, seed=2), name="bob")
    livepair.run()
    livepair.put("uploads/bob/live.gz", samples.live(sim=72.5, seed=3))
    livepair.put_pair(samples.live(sim=66.0, seed=4), name="cem")
    livepair.put_pair(samples.live(error="FailedOperation.New", seed=5), name="dan")
    livepair.run()
    livepair.cloud.consumer.answer(410, times=1)
    livepair.put_pair(samples.live(result="FailedOperation.LivessDetectFake", seed=6), name="eve")
    livepair.put("uploads/fay/live.gz", samples.live(seed=7))
    livepair.run()
    livepair.sweep_on(120)
    livepair.cloud.clock.advance(60)
    livepair.forget()
    return livepair


def records_read(livepair: Livepair) -> int:
    """GETs of records since the last `forget`."""
    return sum(
        logged.operation == "GetObject" and "/records/" in f"/{logged.key}" for logged in livepair.cloud.log
    )


def id_of(record_key: str) -> str:
    return record_key.rpartition("/")[2].removesuffix(".json")


def cached(operator: Operator) -> Path:
    """The one file of the cache."""
    (found,) = (operator.folder / "cache" / "livepair").iterdir()
    return found


# --- what it tells ----------------------------------------------------------------------------------------


def test_everything_that_was_decided_is_counted(history: Livepair, operator: Operator) -> None:
    """Outcomes, pass rates, codes, similarities, thresholds, messages, calls and money."""
    told = operator.json("report", "--price", "0.15 USD")
    assert told["verifications"] == 7
    assert told["outcomes"] == {"matched": 2, "mismatched": 1, "rejected": 2, "incomplete": 1, "failed": 1}
    assert (told["judged"], told["pass_rate"]) == (5, 0.4)
    assert told["pairs"] == {"count": 6, "judged": 4, "passed": 2, "pass_rate": 0.5, "retakes": 1}
    codes = {each["code"]: each["count"] for each in told["codes"]}
    assert codes == {
        "Success": 2,
        "Livepair.BelowMinSimilarity": 1,
        DARK: 1,
        "FailedOperation.LivessDetectFake": 1,
        "FailedOperation.New": 1,
        "Livepair.ImageMissing": 1,
    }
    bins = {each["from"]: each["count"] for each in told["similarity"]["bins"] if each["count"]}
    assert bins == {65: 1, 70: 1, 95: 1}
    changes = {each["threshold"]: each["change"] for each in told["thresholds"]}
    assert changes == {60: 1, 65: 1, 70: 0, 75: -1, 80: -1}
    assert {each["of"] for each in told["thresholds"]} == {3}
    assert told["deliveries"] == {
        "delivered": 6,
        "first_attempt": 6,
        "first_attempt_share": 1.0,
        "dead": 1,
        "waiting": 0,
    }
    assert told["seconds"]["upload_to_decided"]["count"] == 6
    assert told["seconds"]["decided_to_delivered"]["count"] == 6
    assert (told["calls"], told["billed"], told["billed_at_most"]) == (len(history.calls), 3, 3)
    assert told["money"] == {"price": "0.15", "currency": "USD", "billed": "0.45", "billed_at_most": "0.45"}


def test_people_see_the_same_as_tables(history: Livepair, operator: Operator) -> None:
    """The figures in words, and what the thresholds rest on."""
    shown = operator.fine("report", "--price", "USD 0.15", "--thresholds", "72.5,80")
    assert "7: 2 matched, 1 mismatched, 2 rejected, 1 incomplete, 1 failed" in shown
    assert "40.0 % (2 of 5 judged)" in shown
    assert "50.0 % (2 of 4 pairs, 1 retake)" in shown
    assert "0.45 USD" in shown
    assert "72.5" in shown
    assert "This rests on 3 comparisons, decided with MIN_SIMILARITY 70." in shown


def test_nothing_decided_is_said(livepair: Livepair, operator: Operator) -> None:
    """No division by nothing, in any form."""
    livepair.run()
    assert "none" in operator.fine("report", "--html", "empty.html")
    assert "Nothing was decided" in (operator.folder / "empty.html").read_text()


def test_a_time_has_a_begin_and_an_end(history: Livepair, operator: Operator) -> None:
    """Decided at `--since` or later and before `--until`; an end before the begin is refused."""
    assert operator.json("report", "--since", "30m")["verifications"] == 0
    assert operator.json("report", "--since", "70m")["verifications"] == 1  # the one that waited an hour
    assert operator.json("report", "--until", "70m")["verifications"] == 6
    assert "--until is not later" in operator.error("report", "--since", "1h", "--until", "2h")


def test_groups_are_by_what_is_asked(history: Livepair, operator: Operator) -> None:
    """Of values of pairs the largest first; whose values they are can be said, and has to be right."""
    told = operator.json("report", "--by", "pair-value")["by"]["pair-value"]
    assert [(each["name"], each["pass_rate"]) for each in told][:2] == [("bob", 0.5), ("amy", 1.0)]
    assert len(operator.json("report", "--by", "code")["by"]["code"]) == 6
    assert len(operator.json("report", "--by", "hour")["by"]["hour"]) == 2
    assert "no placeholder 'x'; it has id" in operator.error(
        "report", "--by", "pair-value", "--placeholder", "x"
    )


def test_values_too_long_for_a_key_are_found_in_the_record(livepair: Livepair, operator: Operator) -> None:
    """The state's key has only a digest of them."""
    name = "x" * 450
    livepair.put_pair(name=name)
    livepair.run()
    for _ in range(2):
        told = operator.json("report", "--by", "pair-value")["by"]["pair-value"]
        assert [each["name"] for each in told] == [name]
        livepair.cloud.clock.advance(60)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--thresholds", "60,x"),
        ("--thresholds", "101"),
        ("--thresholds", ""),
        ("--price", "cheap"),
        ("--price", "-1"),
        ("--limit", "0"),
        ("--verify", "x", "--csv", "y"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    livepair: Livepair, operator: Operator, arguments: tuple[str, ...]
) -> None:
    """Before anything is read."""
    livepair.forget()
    assert operator("report", *arguments).exit_code == 2
    assert livepair.cloud.log == []


# --- what it reads ----------------------------------------------------------------------------------------


def test_the_next_report_reads_only_what_is_new(history: Livepair, operator: Operator) -> None:
    """LIST tells that a record is as it was; the same counts come of both."""
    first = operator.json("report")
    assert (first["records"]["read"], records_read(history)) == (7, 7)
    history.put_pair(samples.live(seed=8), name="gus")
    history.run()
    history.cloud.clock.advance(60)
    history.forget()
    second = operator.json("report")
    assert (second["records"]["from_cache"], records_read(history)) == (7, 1)
    assert second["verifications"] == 8
    anew = operator.json("report", "--no-cache")
    assert {**anew, "records": 0, "made_at": 0, "since": 0, "until": 0} == {
        **second, "records": 0, "made_at": 0, "since": 0, "until": 0
    }  # fmt: skip


def test_a_record_that_was_marked_since_is_read_anew(history: Livepair, operator: Operator) -> None:
    """What was dead is delivered now."""
    assert operator.json("report")["deliveries"]["dead"] == 1
    operator.fine("redeliver", "--dead", "--yes")
    history.finish()
    history.cloud.clock.advance(60)
    history.forget()
    told = operator.json("report")
    assert (told["deliveries"]["dead"], told["deliveries"]["delivered"]) == (0, 7)
    assert records_read(history) == 1


def test_what_is_very_new_is_not_kept(livepair: Livepair, operator: Operator) -> None:
    """GET may still show what was there before the ETag that LIST shows."""
    livepair.put_pair()
    livepair.run()
    operator.fine("report")
    livepair.forget()
    operator.fine("report")
    assert records_read(livepair) == 1


def test_old_records_are_not_read(history: Livepair, operator: Operator) -> None:
    """Nothing is decided after its record was written."""
    operator.fine("report", "--since", "30m")
    assert records_read(history) == 0


def test_a_limit_reads_the_newest(history: Livepair, operator: Operator) -> None:
    """And says how many it left out; the cache keeps what it knows of those."""
    operator.fine("report")
    told = operator.json("report", "--limit", "2")
    assert (told["verifications"], told["records"]["left_out"]) == (2, 5)
    assert told["outcomes"]["incomplete"] == 1  # decided last
    assert "5 older records left out" in operator("report", "--limit", "2").stderr
    history.forget()
    operator.fine("report")
    assert records_read(history) == 0


def test_a_record_that_cannot_be_read_is_named_and_holds_nothing_up(
    history: Livepair, operator: Operator
) -> None:
    """It counts nowhere, and the status is 1."""
    broken = history.state("records/cem/")[0]
    history.bucket.put(f"livepair/{broken}", b"{}")
    told = operator.json("report", status=1)
    assert (told["verifications"], told["records"]["unreadable"]) == (6, 1)
    assert broken in told["records"]["why"][0]
    assert broken in operator("report").stderr


def test_state_in_a_bucket_of_its_own_is_found(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Under the prefix that it has there."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.pair()
    assert operator.json("report")["outcomes"]["matched"] == 1


# --- what it keeps ----------------------------------------------------------------------------------------


def test_the_cache_names_nobody(history: Livepair, operator: Operator) -> None:
    """No value of a pair, no key, no bucket, no MD5, no secret; only its owner may read it."""
    operator.fine("report", "--by", "pair-value")
    held = cached(operator).read_bytes()
    md5 = history.messages[0]["data"]["live"]["md5"]
    assert id_of(history.state("records/amy/")[0]).encode() in held  # or this looks at the wrong file
    for text in ("amy", "bob", "uploads/", "faces-", md5, *_secrets(operator)):
        assert text.encode() not in held
    assert stat.S_IMODE(cached(operator).stat().st_mode) == 0o600
    assert stat.S_IMODE(cached(operator).parent.stat().st_mode) == 0o700


def _secrets(operator: Operator) -> tuple[str, ...]:
    return (operator.variables["TENCENT_SECRET_ID"], operator.variables["TENCENT_SECRET_KEY"], "whsec_")


def test_forget_erases_from_the_cache_too(history: Livepair, operator: Operator) -> None:
    """At once, with the pages of the file that held it."""
    operator.fine("report")
    which = id_of(history.state("records/amy/")[0])
    assert which.encode() in cached(operator).read_bytes()
    history.cloud.clock.advance(2000)
    operator.fine("forget", which, "--yes")
    assert which.encode() not in cached(operator).read_bytes()


def test_what_was_erased_elsewhere_is_gone_with_the_next_report(
    history: Livepair, operator: Operator
) -> None:
    """By a lifecycle rule, or by `forget` on another machine."""
    operator.fine("report")
    (key,) = history.state("records/amy/")
    which = id_of(key)
    history.bucket.delete(f"livepair/{key}")
    assert operator.json("report", "--since", "1s")["verifications"] == 0
    assert which.encode() not in cached(operator).read_bytes()


def test_no_cache_leaves_nothing_behind(history: Livepair, operator: Operator) -> None:
    """Neither a file nor a folder."""
    operator.fine("report", "--no-cache")
    assert not (operator.folder / "cache").exists()


@pytest.mark.parametrize("broken", ["nonsense", "readable", "link", "other"])
def test_a_cache_that_cannot_be_trusted_is_made_anew(
    history: Livepair, operator: Operator, broken: str
) -> None:
    """One that is no database, that others may write, that is a link, or that is of another version."""
    expected = operator.json("report")["outcomes"]
    file = cached(operator)
    if broken == "nonsense":
        file.write_bytes(b"no database at all" * 500)
    elif broken == "readable":
        file.chmod(0o666)
    elif broken == "link":
        file.rename(operator.folder / "elsewhere")
        file.symlink_to(operator.folder / "elsewhere")
    else:
        held = bytearray(file.read_bytes())
        held[60:64] = (99).to_bytes(4, "big")  # where the header has user_version
        file.write_bytes(held)
    history.forget()
    assert operator.json("report")["outcomes"] == expected
    assert records_read(history) == 7
    assert stat.S_IMODE(file.stat(follow_symlinks=False).st_mode) == 0o600


# --- what it exports --------------------------------------------------------------------------------------


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_exports_leave_out_keys_and_values(history: Livepair, operator: Operator) -> None:
    """They come with --with-pair only, and then whatever the cache holds."""
    operator.fine("report", "--csv", "a.csv", "--ndjson", "a.ndjson", "--html", "a.html")
    for name in ("a.csv", "a.ndjson", "a.html"):
        text = (operator.folder / name).read_text(encoding="utf-8")
        assert not any(secret in text for secret in ("amy", "bob", "uploads/"))
        assert stat.S_IMODE((operator.folder / name).stat().st_mode) == 0o600
    assert len(rows_of(operator.folder / "a.csv")) == 7
    operator.fine("report", "--csv", "b.csv", "--ndjson", "b.ndjson", "--with-pair")
    values = sorted(row["pair.id"] for row in rows_of(operator.folder / "b.csv"))
    assert values == ["amy", "bob", "bob", "cem", "dan", "eve", "fay"]
    keys = {line["live_key"] for line in lines_of(operator.folder / "b.ndjson")[1:-1]}
    assert "uploads/fay/live.gz" in keys


def test_text_that_others_chose_commands_no_spreadsheet(livepair: Livepair, operator: Operator) -> None:
    """Whoever uploads chooses the values of pairs; none of them is a formula."""
    livepair.put_pair(name=FORMULA)
    livepair.run()
    operator.fine("report", "--csv", "a.csv", "--with-pair")
    (row,) = rows_of(operator.folder / "a.csv")
    assert row["pair.id"] == f"'{FORMULA}"
    assert row["similarity"] == "96.3"  # what is a number stays one


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", " =", "＝", "＠"])
def test_no_cell_begins_like_a_formula(begin: str) -> None:
    """In any of the ways that spreadsheets read; and no control character is left in it."""
    assert cell(f"{begin}1+1").startswith("'")
    assert cell(f"a{begin}1").isprintable()
    assert cell(-1.5) == "-1.5"


def test_a_file_is_whole_or_as_it_was(history: Livepair, operator: Operator) -> None:
    """A report that fails leaves the one before, and no part of its own."""
    kept = operator.folder / "a.ndjson"
    kept.write_text("before")
    operator.use(history.cloud.temporary_credentials(allowed=lambda asked: asked.name == "GetBucket"))
    operator.error("report", "--ndjson", "a.ndjson")
    assert kept.read_text() == "before"
    assert [each.name for each in operator.folder.glob("*a.ndjson*")] + [
        each.name for each in operator.folder.glob(".a.*")
    ] == ["a.ndjson"]
    assert "cannot be written" in operator.error("report", "--csv", "nowhere/a.csv")


def test_a_chain_of_lines_is_verified(history: Livepair, operator: Operator) -> None:
    """Without a deployment; the hash of its last line is told by both."""
    made = operator.json("report", "--ndjson", "a.ndjson")["ndjson"]
    assert operator.json("report", "--verify", "a.ndjson") == {"rows": 7, "last": made["last"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:3] + lines[4:], "line 4 does not follow"),
        (lambda lines: lines[:-1], "its end is cut off"),
        (lambda lines: lines[1:], "is no livepair.report.1"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2 does not follow"),
        (lambda lines: [*lines[:2], lines[2].replace("matched", "Matched"), *lines[3:]], "line 4 does not"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3 does not follow"),
        (lambda lines: [*lines, lines[-1]], "line 10 comes after the end"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "line 9 is no whole line"),
        (lambda lines: [*lines[:2], "\n", *lines[2:]], "line 3 is no whole line"),
        (lambda lines: [*lines[:-1], lines[-1].replace('"rows": 7', '"rows": 8')], "tells 8 rows, 7"),
        (lambda lines: [], "its end is cut off"),
    ],
)
def test_a_chain_that_was_tampered_with_is_found(
    history: Livepair, operator: Operator, change: Callable[[list[str]], list[str]], said: str
) -> None:
    """Cut out, cut off, moved, changed, doubled, added to: and where."""
    operator.fine("report", "--ndjson", "a.ndjson")
    file = operator.folder / "a.ndjson"
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))
    with pytest.raises(Problem, match=said):
        verify(file)


def test_what_is_no_chain_is_said(operator: Operator) -> None:
    """In one line."""
    (operator.folder / "binary").write_bytes(b"\xff\xfe")
    assert "no UTF-8" in operator.error("report", "--verify", "binary")
    assert "cannot be read" in operator.error("report", "--verify", "nowhere")
