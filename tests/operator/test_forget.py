"""`forget`: nothing is left of a pair, and nothing comes back of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.cloud import Cloud, faults, samples
from tests.cloud.cos_store import Versioning
from tests.cloud.faceid import COMPARE
from tests.cloud.proxy import Request
from tests.support import deployed
from tests.support.harness import BUCKET, IMAGE, LIVE, STATE, Livepair, beside
from tests.support.operator import Operator

AT_MOST = 900 + 120
"""Seconds after which nothing comes back: the longest time limit, clocks that differ, and a whole minute."""


def everything(cloud: Cloud) -> list[str]:
    """Every key about a person that there is, or was, in any bucket."""
    buckets = list(cloud.cos.buckets.values())
    stored = [each.key for bucket in buckets for each, _ in bucket.all_versions("")]
    started = [upload.key for bucket in buckets for upload in bucket.started_uploads()]
    # What an instance asks COS with is about nobody.
    return [key for key in (*stored, *started) if not key.endswith("/create-only")]


def test_forget_erases_a_pair_and_nothing_else(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Uploads, all verifications, best frames, dead letters, agenda, unfinished uploads; it asks first."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.cloud.consumer.answer(410, times=1)
    livepair.pair()
    livepair.cloud.clock.advance(60)
    livepair.cloud.consumer.answer(500, times=3)
    livepair.pair(samples.live(seed=2))
    livepair.sweep(7)
    livepair.cloud.clock.advance(AT_MOST)
    livepair.cloud.uploader.create_multipart_upload(Bucket=BUCKET, Key=LIVE)
    which = livepair.messages[0]["data"]["verification_id"]
    assert livepair.state("nothing") == []
    mine = sorted(set(everything(livepair.cloud)))
    livepair.put("uploads/421/image.jpg", samples.image())
    livepair.put("uploads/421/live.gz", samples.live(seed=3))
    livepair.run()
    livepair.put(f"{LIVE}.old", b"another's")
    livepair.cloud.uploader.create_multipart_upload(Bucket=BUCKET, Key=f"{IMAGE}.old")
    others = sorted(set(everything(livepair.cloud)) - set(mine))
    assert {f"{LIVE}.old", f"{IMAGE}.old"} <= set(others)
    assert operator("forget", which, answer="n\n").exit_code == 1
    assert len(set(everything(livepair.cloud))) == len(mine) + len(others)
    told = operator.json("forget", which, "--yes")
    assert sorted(told["erased"]) == sorted(
        f"{STATE if key.startswith('livepair/') else BUCKET}/{key}" for key in mine
    )
    assert told["left"] == []
    assert sorted(set(everything(livepair.cloud))) == others
    assert livepair.sweep(60) == []


def test_forget_erases_every_version(configured: Callable[..., Livepair], operator: Operator) -> None:
    """Also of uploads that were replaced or deleted, and of delete markers."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.cloud.cos.bucket(BUCKET).versioning = "Enabled"
    livepair.cloud.cos.bucket(STATE).versioning = "Enabled"
    livepair.pair()
    livepair.pair(samples.live(seed=2))
    livepair.cloud.cos.bucket(BUCKET).delete(IMAGE)
    livepair.cloud.cos.bucket(STATE).versioning = "Suspended"
    assert operator.json("forget", LIVE, "--yes")["left"] == []
    # What was taken off the agenda leaves delete markers, whose names tell of nobody.
    assert [key for key in everything(livepair.cloud) if "agenda/" not in key] == []
    kept = [each for each, _ in livepair.cloud.cos.bucket(STATE).all_versions("") if "agenda/" in each.key]
    assert kept
    assert all(each.deleted for each in kept)


def test_no_older_version_of_an_upload_shows_while_it_is_erased(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """A sweep could take it for an upload, and have it judged."""
    livepair = configured(STATE_BUCKET=STATE)
    bucket = livepair.cloud.cos.bucket(BUCKET)
    bucket.versioning = "Enabled"
    livepair.pair()
    livepair.pair(samples.live(seed=2))
    newest = bucket.get(LIVE).etag
    shown: set[str | None] = set()

    def look() -> None:
        found = bucket.find(LIVE)
        shown.add(found.etag if found else None)

    livepair.cloud.faults.add("Delete*", then=faults.run_after(look), times=None)
    assert operator.json("forget", LIVE, "--yes")["left"] == []
    assert shown <= {newest, None}


def test_an_erasure_that_fails_half_way_leaves_no_older_version_showing(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """What marks an upload as deleted goes only after every version under it."""
    livepair = configured(STATE_BUCKET=STATE)
    bucket = livepair.cloud.cos.bucket(BUCKET)
    bucket.versioning = "Enabled"
    livepair.pair()
    livepair.pair(samples.live(seed=2))
    uploaded = {each.version_id for each, _ in bucket.all_versions("")}

    def keeps_uploads(request: Request, _: faults.Operation) -> faults.Action | None:
        named = request.parameter("versionId")
        return faults.refuse(403, "AccessDenied") if named in uploaded else None

    livepair.cloud.faults.add("DeleteObject", bucket=BUCKET, then=keeps_uploads, times=None)
    assert "name/cos:DeleteObject" in operator("forget", LIVE, "--yes").stderr
    assert uploaded <= {each.version_id for each, _ in bucket.all_versions("")}
    assert bucket.find(LIVE) is bucket.find(IMAGE) is None


def test_forget_fails_where_something_is_left(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Because somebody keeps writing it; what is left is named."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.pair()
    bucket = livepair.cloud.cos.bucket(BUCKET)

    def again() -> None:
        bucket.put(LIVE, b"again")

    livepair.cloud.faults.add("DeleteObject", key=LIVE, then=faults.run_after(again), times=None)
    told = operator.json("forget", LIVE, "--yes", status=1)
    assert told["left"] == [f"{BUCKET}/{LIVE}"]


def test_forget_looks_again_for_what_was_written_meanwhile(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """And erases that too."""
    livepair = configured()
    livepair.pair()
    bucket = livepair.cloud.cos.bucket(BUCKET)

    def again() -> None:
        bucket.put(LIVE, b"again", silent=True)

    livepair.cloud.faults.add("DeleteObject", key=LIVE, then=faults.run_after(again), times=1)
    assert operator.json("forget", LIVE, "--yes")["left"] == []
    assert everything(livepair.cloud) == []


def undelivered(livepair: Livepair) -> None:
    """A pair whose third attempt comes within minutes, its fourth within an hour."""
    livepair.cloud.consumer.answer(500, times=3)
    assert livepair.pair() == ["matched"]
    assert livepair.due() == ["matched"]


def test_what_nobody_is_at_work_on_is_erased_at_once(livepair: Livepair, operator: Operator) -> None:
    """An entry that was written long ago, and is not due yet, is in nobody's hand."""
    undelivered(livepair)
    livepair.cloud.clock.advance(AT_MOST)
    assert operator.json("forget", LIVE, "--yes")["busy_until"] is None
    assert everything(livepair.cloud) == []


@pytest.mark.parametrize("ago", [0, AT_MOST + 1800])
def test_whoever_wrote_an_entry_or_took_it_up_may_be_at_work(
    livepair: Livepair, operator: Operator, ago: float
) -> None:
    """It was written within the function's time limit, or it is due."""
    undelivered(livepair)
    livepair.cloud.clock.advance(ago)
    asked_at = livepair.cloud.clock.now()
    told = operator.json("forget", LIVE, "--yes", status=1)
    until = datetime.fromisoformat(told["busy_until"].replace("Z", "+00:00"))
    assert timedelta(seconds=900) < until - asked_at <= timedelta(seconds=AT_MOST)


def test_the_time_limit_is_the_deployed_one(livepair: Livepair, operator: Operator) -> None:
    """As serverless.yml sets it."""
    (operator.folder / "serverless.yml").write_text(deployed.by_default(), encoding="utf-8")
    undelivered(livepair)
    asked_at = livepair.cloud.clock.now()
    told = operator.json("forget", LIVE, "--yes", status=1)
    until = datetime.fromisoformat(told["busy_until"].replace("Z", "+00:00"))
    assert timedelta(seconds=90) < until - asked_at <= timedelta(seconds=90 + 120)


def test_a_settled_pair_is_in_nobodys_hand(livepair: Livepair, operator: Operator) -> None:
    """Though the lease of its claim runs: it is erased as soon as it is told."""
    assert livepair.pair() == ["matched"]
    claim = livepair.stored(livepair.state("claims/")[0])
    assert datetime.fromisoformat(claim["lease_until"]) > livepair.cloud.clock.now()
    assert operator.json("forget", LIVE, "--yes")["busy_until"] is None


def test_forget_knows_more_versions_than_a_list_shows(livepair: Livepair, operator: Operator) -> None:
    """And more objects: both come by the thousand."""
    bucket = livepair.cloud.cos.bucket(BUCKET)
    for number in range(1001):
        bucket.put(f"livepair/dead/42/{number:032}", b"", silent=True)
    assert "Erase 1001 objects" in operator("forget", LIVE, answer="n\n").stderr
    bucket.versioning = "Enabled"
    for _ in range(1001):
        bucket.put(LIVE, b"again", silent=True)
    assert "Erase 2002 objects" in operator("forget", LIVE, answer="n\n").stderr


def test_forget_of_an_image_that_serves_many_erases_all_its_pairs(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """One pair leaves the image to the others; the image's key stands for all of them, and nobody else."""
    livepair = configured(
        LIVE_KEY="uploads/{user}/{attempt}/live.gz",
        IMAGE_KEY="faces/{user}.jpg",
        STATE_BUCKET=STATE,
        DELETE_UPLOADS="live",
    )
    livepair.put("faces/ada.jpg", samples.image())
    livepair.put("faces/bob.jpg", samples.image())
    for number, name in enumerate(("ada/1", "ada/2", "bob/1")):
        livepair.put(f"uploads/{name}/live.gz", samples.live(seed=number))
    livepair.run()
    operator.fine("forget", "uploads/ada/1/live.gz", "--yes")
    assert "faces/ada.jpg" in everything(livepair.cloud)
    assert not any("ada/1" in key for key in everything(livepair.cloud))
    assert any("ada/2" in key for key in everything(livepair.cloud))
    operator.fine("forget", "faces/ada.jpg", "--yes")
    assert not any("ada" in key for key in everything(livepair.cloud))
    assert any("bob/1" in key for key in everything(livepair.cloud))
    assert "Nothing is stored about the image faces/ada.jpg" in operator.fine("forget", "faces/ada.jpg")


def test_forget_of_a_shared_image_knows_pairs_that_were_never_judged(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """By old versions, unfinished uploads, claims, best frames and marks, without a record of them."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    livepair.put("uploads/ada/1/live.gz", samples.live())
    livepair.run()
    livepair.cloud.cos.bucket(BUCKET).versioning = "Enabled"
    bucket = livepair.cloud.cos.bucket(BUCKET)
    bucket.put("uploads/ada/2/live.gz", samples.live(), silent=True)
    for number in (1, 2):
        bucket.delete(f"uploads/ada/{number}/live.gz")
    livepair.cloud.uploader.create_multipart_upload(Bucket=BUCKET, Key="uploads/ada/3/live.gz")
    which = "0" * 32
    for key in (f"best-frames/ada/4/{which}.jpg", f"claims/ada/%E6%97%A5/{which}/1", f"dead/ada/6/{which}"):
        bucket.put(f"livepair/{key}", b"{}", silent=True)
    others = f"livepair/best-frames/bob/1/{which}.jpg"
    bucket.put(others, b"", silent=True)
    operator("forget", "faces/ada.jpg", "--yes")
    assert [key for key in everything(livepair.cloud) if "agenda/" not in key] == [others]


def test_forget_of_a_live_package_takes_its_mark(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """That it waits for its image; the marks of others stay."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    for number in (1, 2):
        livepair.put(f"uploads/ada/{number}/live.gz", samples.live())
    livepair.run()
    livepair.cloud.clock.advance(AT_MOST)
    operator("forget", "uploads/ada/1/live.gz", "--yes")
    assert [key.partition("/ada/")[2] for key in livepair.state("waiting/")] == ["2"]


def test_forget_knows_pairs_by_their_digest(configured: Callable[..., Livepair], operator: Operator) -> None:
    """Values too long for a state key are known from the record."""
    livepair = configured(LIVE_KEY="uploads/{user}/{attempt}/live.gz", IMAGE_KEY="faces/{user}.jpg")
    attempt = "日" * 60
    livepair.put("faces/ada.jpg", samples.image())
    livepair.put(f"uploads/ada/{attempt}/live.gz", samples.live())
    assert livepair.run() == ["matched"]
    livepair.cloud.cos.bucket(BUCKET).delete(f"uploads/ada/{attempt}/live.gz")
    assert livepair.state("records/")[0].startswith("records/~")
    operator.fine("forget", "faces/ada.jpg", "--yes")
    assert everything(livepair.cloud) == []


def test_forget_takes_nothing_of_a_pair_whose_path_begins_alike(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """`ada` of one function is not `ada/1` of another that shares its state."""
    other = {"LIVE_KEY": "b/{user}/{attempt}.gz", "IMAGE_KEY": "b/{user}/{attempt}.jpg"}
    livepair = configured(**other)
    livepair.cloud.consumer.answer(410, times=1)
    livepair.put("b/ada/1.jpg", samples.image())
    livepair.put("b/ada/1.gz", samples.live())
    livepair.run()
    kept = sorted(everything(livepair.cloud))
    assert len(kept) == 6
    livepair.configure(LIVE_KEY="a/{id}.gz", IMAGE_KEY="a/{id}.jpg")
    livepair.put("a/ada.jpg", samples.image())
    livepair.put("a/ada.gz", samples.live())
    assert livepair.run() == ["matched"]
    operator.fine("forget", "a/ada.gz", "--yes")
    assert sorted(everything(livepair.cloud)) == kept


def walk_at(livepair: Livepair, operator: Operator, key: str) -> str:
    """Put a walk over all uploads on the agenda that has come to `key`. Returns its entry's key."""
    livepair.cloud.clock.advance(3600)
    operator.fine("reconcile", "--since", "all")
    (entry,) = livepair.state("agenda/")
    come_to(livepair, entry, key)
    return entry


def come_to(livepair: Livepair, entry: str, key: str) -> None:
    """Have the walk of an agenda's entry come to an upload."""
    told = livepair.stored(entry) | {"key": key}
    for bucket in livepair.cloud.cos.buckets.values():
        for stored in [each for each in bucket.keys("livepair/") if each.endswith(entry)]:
            bucket.put(stored, json.dumps(told).encode(), silent=True)


@pytest.mark.parametrize("came_to", [IMAGE, LIVE])
@pytest.mark.parametrize(
    ("others", "place"),
    [
        (["1", "41"], "uploads/41/live.gz"),
        ([], "uploads/"),
        (["42/43"], "uploads/"),  # of no template, and with the pair's own value
    ],
)
def test_a_walk_that_has_come_to_a_pair_names_it_no_more_and_leaves_nothing_out(
    livepair: Livepair, operator: Operator, came_to: str, others: list[str], place: str
) -> None:
    """It goes back to the upload before: what is behind is judged, and what it had passed is passed."""
    for name in (*others, "42", "5"):
        livepair.put_pair(samples.live(seed=len(name)), name=name)
    livepair.events.clear()
    entry = walk_at(livepair, operator, came_to)
    livepair.cloud.cos.bucket(BUCKET).put("uploads/5/late.txt", b"of no template", silent=True)
    assert "42" not in operator.json("forget", LIVE, "--yes")["left"]
    assert livepair.state("agenda/") == [entry]
    assert livepair.stored(entry)["key"] == place
    assert livepair.finish() == ["matched"]
    assert livepair.data["pair"] == {"id": "5"}


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_no_version_of_a_walk_names_a_pair_that_was_erased(
    configured: Callable[..., Livepair], operator: Operator, versioning: Versioning
) -> None:
    """Neither the one that stood before it was moved, nor older ones; the walk itself stays."""
    livepair = configured(STATE_BUCKET=STATE)
    livepair.put_pair(samples.live(seed=1), name="41")
    livepair.put_pair()
    livepair.events.clear()
    state = livepair.cloud.cos.bucket(STATE)
    state.versioning = "Enabled"
    walk_at(livepair, operator, IMAGE)
    state.versioning = versioning
    (entry,) = livepair.state("agenda/")
    come_to(livepair, entry, LIVE)
    assert operator.json("forget", LIVE, "--yes")["left"] == []
    assert livepair.stored(entry)["key"] == "uploads/41/live.gz"
    assert [each.key for each, _ in state.all_versions("") if b"uploads/42/" in each.data] == []


def test_a_walk_is_moved_also_where_all_else_was_erased_before(
    livepair: Livepair, operator: Operator
) -> None:
    """A `forget` that was killed between the two is run again."""
    entry = walk_at(livepair, operator, LIVE)
    told = operator.json("forget", LIVE, "--yes")
    assert (told["erased"], told["left"]) == ([], [])
    assert livepair.stored(entry)["key"] == "uploads/"
    operator.fine("forget", LIVE)  # nothing is stored about it


def test_a_forget_that_ended_half_way_is_taken_up_by_the_same_id(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """The record goes last: with it nobody would know what the ID stands for."""
    livepair = configured()
    assert livepair.pair() == ["matched"]
    which = livepair.record()["verification"]
    (frame,) = livepair.state("best-frames/")
    refused = faults.refuse(403, "AccessDenied")
    livepair.cloud.faults.add("DeleteObject", key=f"livepair/{frame}", then=refused, times=1)
    assert "name/cos:DeleteObject" in operator("forget", which, "--yes").stderr
    operator.fine("forget", which, "--yes")
    assert everything(livepair.cloud) == []


def test_forget_fails_while_an_instance_is_at_work(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """What it has in hand it may write after all was erased; asked again, that is erased too."""
    livepair = configured()
    gate = faults.Gate()
    livepair.cloud.faults.add(COMPARE, then=faults.hold(gate))
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    judged = beside(livepair, livepair.events.pop())
    gate.wait_reached()
    livepair.put("uploads/43/live.gz", samples.live())
    assert operator.json("forget", "uploads/43/live.gz", "--yes")["busy_until"] is None
    said = operator("forget", LIVE, "--yes")
    gate.release()
    judged.result()
    assert said.exit_code == 1
    assert "may write until" in said.stderr
    assert f"run `forget {LIVE}` again then" in said.stderr
    assert any("claims/" in key for key in everything(livepair.cloud))
    livepair.cloud.clock.advance(AT_MOST)
    assert operator.json("forget", LIVE, "--yes")["busy_until"] is None
    assert everything(livepair.cloud) == []


# --- while an instance is at work ---------------------------------------------------------------------


def multipart(livepair: Livepair, key: str, data: bytes) -> None:
    """Upload in parts, so that the ETag is no MD5 and the bytes have to be read."""
    uploader = livepair.cloud.uploader
    started = uploader.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    part = uploader.upload_part(BUCKET, key, data, 1, started)
    parts = {"Part": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    uploader.complete_multipart_upload(BUCKET, key, started, parts)


def telling_without_a_call(livepair: Livepair, gate: faults.Gate) -> object:
    """An empty image is rejected without a call; its record is about to be written."""
    livepair.cloud.faults.add("PutObject", key="livepair/records/*", then=faults.hold(gate))
    livepair.put(IMAGE, b"")
    livepair.put(LIVE, samples.live())
    return livepair.events.pop()


def hashing(livepair: Livepair, gate: faults.Gate) -> object:
    """A live package that came in parts is read through, before anything is claimed."""
    livepair.put(IMAGE, samples.image())
    multipart(livepair, LIVE, samples.live())
    livepair.cloud.faults.add("GetObject", key=LIVE, then=faults.hold(gate))
    return livepair.events.pop()


def delivering(livepair: Livepair, gate: faults.Gate) -> object:
    """A sweep has posted a message, and is about to mark its record as delivered."""
    livepair.cloud.consumer.answer(500, times=2)
    assert livepair.pair() == ["matched"]
    livepair.cloud.clock.advance(2 * 3600)
    livepair.cloud.faults.add("PutObject", key="livepair/records/*", then=faults.hold(gate))
    return {"Type": "Timer", "TriggerName": "sweep", "Time": "2026-11-22T12:00:00Z", "Message": ""}


AT_WORK = [telling_without_a_call, hashing, delivering]


@pytest.mark.parametrize("work", AT_WORK)
def test_forget_sees_an_instance_at_work(
    livepair: Livepair, operator: Operator, work: Callable[[Livepair, faults.Gate], object]
) -> None:
    """Whatever it has in hand: it says until when something may come back, also when asked again before.

    Asked again then, all that came back is erased.
    """
    gate = faults.Gate()
    event = work(livepair, gate)
    done = beside(livepair, event)
    gate.wait_reached()
    first = operator.json("forget", LIVE, "--yes", status=1)
    second = operator.json("forget", LIVE, "--yes", status=1)
    gate.release()
    done.result()
    assert (first["left"], second["left"]) == ([], [])
    assert first["busy_until"]
    assert first["busy_until"] == second["busy_until"]
    livepair.cloud.clock.advance(AT_MOST)
    assert operator.json("forget", LIVE, "--yes")["busy_until"] is None
    assert everything(livepair.cloud) == []


@pytest.mark.parametrize("work", AT_WORK)
def test_forget_can_wait_for_an_instance_at_work(
    livepair: Livepair, operator: Operator, work: Callable[[Livepair, faults.Gate], object]
) -> None:
    """Then it erases what came back, and nothing is left."""
    gate = faults.Gate()
    done = beside(livepair, work(livepair, gate))
    gate.wait_reached()

    def ends() -> None:
        if livepair.cloud.clock.now() > began + timedelta(seconds=60):
            livepair.cloud.clock.unsubscribe(ends)
            gate.release()
            done.result()

    began = livepair.cloud.clock.now()
    livepair.cloud.clock.subscribe(ends)
    said = operator("forget", LIVE, "--wait", "--yes")
    assert said.exit_code == 0
    assert said.stderr == ""
    assert "may write until" in said.stdout
    assert everything(livepair.cloud) == []


def test_waiting_ends_where_there_is_always_somebody_at_work(livepair: Livepair, operator: Operator) -> None:
    """It says so, as without waiting."""
    undelivered(livepair)
    (entry,) = livepair.state("agenda/")
    data = livepair.cloud.cos.bucket(BUCKET).get(f"livepair/{entry}").data

    def again() -> None:
        livepair.cloud.cos.bucket(BUCKET).put(f"livepair/{entry}", data, silent=True)

    livepair.cloud.clock.subscribe(again)
    assert operator.json("forget", LIVE, "--wait", "--yes", status=1)["busy_until"]


def test_what_shows_until_when_to_wait_ends_by_itself(livepair: Livepair, operator: Operator) -> None:
    """Where nobody asks again it is told by `list` and `show`, and a sweep takes it off."""
    undelivered(livepair)
    operator.json("forget", LIVE, "--yes", status=1)
    (item,) = operator.json("list")["items"]
    assert item["detail"] == "erased while an instance was at work: run `forget` again then"
    assert [event["what"] for event in operator.json("show", LIVE)["events"]] == ["erase again"]
    assert livepair.finish() == []
    assert "Nothing is stored about the pair id=42" in operator.fine("forget", LIVE)


def test_an_instance_that_saw_the_uploads_before_they_were_erased_is_seen(
    livepair: Livepair, operator: Operator
) -> None:
    """What it writes a moment later tells of it."""
    gate = faults.Gate()
    livepair.cloud.faults.add("PutObject", key="livepair/claims/*", then=faults.hold(gate))
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    judged = beside(livepair, livepair.events.pop())
    gate.wait_reached()
    livepair.cloud.clock.subscribe(gate.release)
    said = operator("forget", LIVE, "--yes")
    judged.result()
    assert said.exit_code == 1
    assert "may write until" in said.stderr
    livepair.finish()
    operator("forget", LIVE, "--yes")
    assert everything(livepair.cloud) == []


def test_forget_takes_the_note_that_an_upload_stays(
    configured: Callable[..., Livepair], operator: Operator
) -> None:
    """Where the other half was deleted; `show` tells of it before."""
    livepair = configured(DELETE_UPLOADS="live")
    assert livepair.pair() == ["matched"]
    assert len(livepair.state("settled/")) == 2
    livepair.finish()
    assert "stays" in [event["what"] for event in operator.json("show", IMAGE)["events"]]
    operator.fine("forget", IMAGE, "--yes")
    assert everything(livepair.cloud) == []


def test_forget_does_not_trust_a_list_that_lags(livepair: Livepair, operator: Operator) -> None:
    """A pair that was judged a moment ago is erased by its keys, though LIST does not show it yet."""
    livepair.cloud.cos.bucket(BUCKET).list_lag = 120
    livepair.put(LIVE, samples.live())
    livepair.run()
    livepair.put(IMAGE, samples.image())
    assert livepair.run() == ["matched"]
    assert operator.json("forget", LIVE, "--yes")["left"] == []
    assert everything(livepair.cloud) == []


def test_forget_sees_a_claim_that_a_list_does_not_show_yet(livepair: Livepair, operator: Operator) -> None:
    """By its key: the instance that took it is at work."""
    livepair.cloud.cos.bucket(BUCKET).list_lag = 120
    gate = faults.Gate()
    livepair.cloud.faults.add(COMPARE, then=faults.hold(gate))
    livepair.put(IMAGE, samples.image())
    livepair.put(LIVE, samples.live())
    judged = beside(livepair, livepair.events.pop())
    gate.wait_reached()
    said = operator("forget", LIVE, "--yes")
    gate.release()
    judged.result()
    assert said.exit_code == 1
    assert "may write until" in said.stderr


def test_forget_sees_a_delivery_that_a_list_does_not_show_yet(livepair: Livepair, operator: Operator) -> None:
    """Its entry derives from its record; it is erased too."""
    undelivered(livepair)
    livepair.cloud.cos.bucket(BUCKET).list_lag = 120
    told = operator.json("forget", LIVE, "--yes", status=1)
    assert told["left"] == []
    assert told["busy_until"]
    assert not any("deliver-" in key for key in everything(livepair.cloud))
