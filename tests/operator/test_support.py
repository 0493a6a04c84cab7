"""`support`: what Tencent's support asks for, in one zip, with nothing else in it."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import samples
from tests.support.harness import IMAGE, LIVE, Livepair
from tests.support.operator import Operator

TROUBLE = "FailedOperation.LivessSystemError"


def id_of(livepair: Livepair, number: int = -1) -> str:
    found: str = livepair.messages[number]["data"]["verification_id"]
    return found


def files_of(operator: Operator, which: str) -> dict[str, bytes]:
    with zipfile.ZipFile(operator.folder / f"support-{which}.zip") as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def case_in(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["verification.json"])
    return found


def test_the_zip_holds_what_tencent_asks_for(livepair: Livepair, operator: Operator) -> None:
    """Both uploads byte for byte, request ids, times, versions, searches, and a ticket in two languages."""
    live, image = samples.live(result="FailedOperation.LivessDetectFake"), samples.image()
    livepair.pair(live, image)
    which = id_of(livepair)
    told = operator.json("support", which, "--yes")
    files = files_of(operator, which)
    assert sorted(files) == sorted(told["holds"])
    assert (files["live.gz"], files["image.jpg"]) == (live, image)
    case = case_in(files)
    assert case["api_request_id"] == livepair.messages[0]["data"]["api"]["request_id"]
    assert case["api_code"] == "FailedOperation.LivessDetectFake"
    assert [each["function_request_id"] for each in case["asked"]] == ["request-1"]
    assert case["uploads"]["live"]["file"] == "live.gz"
    assert case["versions"]["livepair"]
    ticket = files["ticket.txt"].decode()
    assert ticket.count(case["api_request_id"]) == 4
    assert "Subject: DetectReflectLivenessAndCompare" in ticket
    assert "标题：DetectReflectLivenessAndCompare" in ticket
    assert f"verification:{which}" in files["log-searches.txt"].decode()


def test_its_searches_find_what_was_logged(
    livepair: Livepair, operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them matches a line that the function printed."""
    livepair.pair()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    operator.fine("support", id_of(livepair), "--yes")
    for search in files_of(operator, id_of(livepair))["log-searches.txt"].decode().splitlines():
        wanted = dict(part.split(":", 1) for part in search.split(" AND "))
        assert any(all(line.get(name) == value for name, value in wanted.items()) for line in printed), search


def test_every_try_is_told(livepair: Livepair, operator: Operator) -> None:
    """With the function's request id of each; those of the API's earlier calls stand in the log only."""
    livepair.pair(samples.live(error=TROUBLE))
    livepair.sweep_on(120, 5)
    which = id_of(livepair)
    operator.fine("support", which, "--yes")
    case = case_in(files_of(operator, which))
    assert case["calls"] == len(livepair.calls) > 1
    assert [each["claim"] for each in case["asked"]] == list(range(1, len(case["asked"]) + 1))
    assert case["asked"][0]["answered"] == TROUBLE
    assert len(case["log_searches"]) == len(case["asked"]) + 1


def test_an_uploads_key_stands_for_its_pairs_last_record(livepair: Livepair, operator: Operator) -> None:
    """And costs no list of all records."""
    livepair.pair()
    livepair.pair(samples.live(seed=2))
    operator.fine("support", LIVE, "--yes", "--out", "case.zip")
    with zipfile.ZipFile(operator.folder / "case.zip") as archive:
        assert json.loads(archive.read("verification.json"))["verification"] == id_of(livepair)


def test_it_asks_first_since_faces_leave(livepair: Livepair, operator: Operator) -> None:
    """Without a yes nothing is written, and nothing was read of the uploads."""
    livepair.pair()
    livepair.forget()
    result = operator("support", id_of(livepair), answer="n\n")
    assert result.exit_code == 1
    assert "faces leave your account" in result.stderr
    assert list(operator.folder.glob("*.zip")) == []
    assert not [
        each for each in livepair.cloud.log if each.operation == "GetObject" and "uploads/" in each.key
    ]
    assert operator("support", id_of(livepair), answer="y\n").exit_code == 0


def test_only_its_owner_may_read_it(livepair: Livepair, operator: Operator) -> None:
    """Mode 0600, also what comes out of it."""
    livepair.pair()
    operator.fine("support", id_of(livepair), "--yes", "--out", "case.zip")
    assert stat.S_IMODE((operator.folder / "case.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(operator.folder / "case.zip") as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o600}


def test_it_names_neither_pair_nor_secret(livepair: Livepair, operator: Operator) -> None:
    """No key, no value of the pair, no credentials, no link."""
    livepair.put_pair(name="gretchen")
    livepair.run()
    operator.fine("support", id_of(livepair), "--yes")
    files = files_of(operator, id_of(livepair))
    secrets = ("gretchen", "uploads/", "whsec_", "http", operator.variables["TENCENT_SECRET_KEY"])
    for name, data in files.items():
        if name not in ("live.gz", "image.jpg"):
            assert not [each for each in secrets if each.encode() in data], name


def test_what_livepair_says_names_no_key_either(livepair: Livepair, operator: Operator) -> None:
    """Its own message about an upload that it may not read does."""
    livepair.deny("GetObject", "uploads/")
    livepair.put_pair(name="gretchen")
    livepair.run()
    livepair.sweep_on(26 * 60, 60)
    assert "gretchen" in livepair.messages[-1]["data"]["reason"]["message"]
    which = id_of(livepair)
    operator.fine("support", which, "--yes")
    files = files_of(operator, which)
    assert "(live)" in case_in(files)["said"]
    assert all(b"gretchen" not in data for name, data in files.items() if name.endswith((".txt", ".json")))


def test_an_archived_upload_is_said(livepair: Livepair, operator: Operator) -> None:
    """It can be restored, so what to do is said too."""
    livepair.pair()
    livepair.bucket.archive(LIVE)
    assert "restore it, then run this again" in operator("support", id_of(livepair), "--yes").stderr


def delete_live(livepair: Livepair) -> None:
    livepair.bucket.delete(LIVE)


def replace_live(livepair: Livepair) -> None:
    livepair.bucket.put(LIVE, samples.live(seed=9), silent=True)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (delete_live, "deleted, by a lifecycle rule or by somebody"),
        (replace_live, "replaced: what lies there"),
    ],
)
def test_what_is_missing_is_said(
    livepair: Livepair, operator: Operator, change: Callable[[Livepair], None], why: str
) -> None:
    """Other bytes under the key are another verification's, and are not given."""
    livepair.pair()
    change(livepair)
    result = operator("support", id_of(livepair), "--yes")
    assert result.exit_code == 0
    assert why in result.stderr
    files = files_of(operator, id_of(livepair))
    assert "live.gz" not in files
    assert why in case_in(files)["uploads"]["live"]["missing"]
    assert why in files["ticket.txt"].decode()


def test_what_delete_uploads_deleted_is_said(configured: Callable[..., Livepair], operator: Operator) -> None:
    """Then no face is left, and the question says so."""
    livepair = configured(DELETE_UPLOADS="both")
    livepair.pair()
    result = operator("support", id_of(livepair), answer="y\n")
    assert "so it shows no face" in result.stderr
    case = case_in(files_of(operator, id_of(livepair)))
    assert "as DELETE_UPLOADS says" in case["uploads"]["image"]["missing"]


def test_half_a_pair_has_its_half(livepair: Livepair, operator: Operator) -> None:
    """An incomplete verification has no call, and its other half never came."""
    livepair.put(IMAGE, samples.image(format="png"))
    livepair.run()
    livepair.sweep_on(120)
    operator.fine("support", id_of(livepair), "--yes")
    files = files_of(operator, id_of(livepair))
    assert "image.png" in files
    assert case_in(files)["uploads"]["live"]["missing"] == "it never came"
    assert "RequestId none" in files["ticket.txt"].decode()


def test_a_zip_is_whole_or_not_there(livepair: Livepair, operator: Operator, tmp_path: Path) -> None:
    """Where COS refuses the second upload, nothing of the first stays on the disk."""
    livepair.pair()
    operator.use(
        livepair.cloud.temporary_credentials(
            allowed=lambda asked: not (asked.name == "GetObject" and asked.key == IMAGE)
        )
    )
    before = sorted(each.name for each in operator.folder.iterdir())
    assert "name/cos:GetObject" in operator.error("support", id_of(livepair), "--yes")
    assert sorted(each.name for each in operator.folder.iterdir()) == before
