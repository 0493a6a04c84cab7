"""What people get wrong first: Base64 text in place of bytes, and a live package that is not gzipped."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from handler.cli.first_bytes import Kind, kind_of, what_is_wrong
from handler.rules.pairing import Role
from tests.cloud import Cloud, samples
from tests.support.harness import Livepair
from tests.support.operator import Operator

GZIP, JPEG = samples.live(), samples.image()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
BITMAP = b"BM6\x00\x0c\x00" + bytes(10)
NOT_GZIPPED = b'{"video": "..."}'


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (GZIP, "gzip"),
        (JPEG, "JPEG"),
        (PNG, "PNG"),
        *((base64.b64encode(each), "Base64") for each in (GZIP, JPEG, PNG, bytes(30))),
        (base64.urlsafe_b64encode(b"\xff" * 30), "Base64"),
        (base64.encodebytes(JPEG), "Base64"),
        (b"data:image/jpeg;base64,/9j/", "Base64"),
        (b'"/9j/4AAQSkZJRgABAQ', "Base64"),
        (b"\xef\xbb\xbf/9j/4AAQSkZJRgABAQ", "Base64"),
        (b"iVBORw0KGgo=", "Base64"),
        (NOT_GZIPPED, "unknown"),
        (b"\x00\x00\x00\x18ftypmp42", "unknown"),
        (b"<html><body>", "unknown"),
        (b"two words 1234567", "unknown"),
        (b"short", "unknown"),
        (b"\x1f", "unknown"),
        (b"", "unknown"),
    ],
)
def test_the_first_bytes_tell_what_an_upload_is(first: bytes, kind: Kind) -> None:
    """Sixteen of them do; what follows changes nothing."""
    assert kind_of(first) == kind_of(first[:16]) == kind


@pytest.mark.parametrize(
    ("role", "first", "found", "do", "certain"),
    [
        ("image", base64.b64encode(JPEG), "is Base64 text of a JPEG image", "decode the Base64", True),
        ("image", base64.b64encode(PNG), "is Base64 text of a PNG image", "decode the Base64", True),
        ("image", b"data:image/jpeg;base64,/9j/", "is Base64 text", "decode the Base64", True),
        ("image", GZIP, "is gzipped", "were exchanged", True),
        ("image", BITMAP, "is neither JPEG nor PNG: it begins with 42 4d 36 00", "JPEG or a PNG", False),
        ("live", base64.b64encode(GZIP), "is Base64 text of a gzip file", "decode the Base64", True),
        ("live", NOT_GZIPPED, "is not gzipped: it begins with 7b 22 76 69", "gzip the live package", True),
        ("live", JPEG, "is a JPEG image", "were exchanged", True),
    ],
)
def test_what_is_wrong_comes_with_what_to_do(
    role: Role, first: bytes, found: str, do: str, certain: bool
) -> None:
    """Only the image's format is uncertain: no page lists what the API takes."""
    wrong = what_is_wrong(role, first)
    assert wrong is not None
    assert (wrong.found, wrong.certain) == (found, certain)
    assert do in wrong.do


def test_what_is_right_is_left_alone() -> None:
    """A gzipped live package, and an image in either format."""
    assert what_is_wrong("live", GZIP) is what_is_wrong("image", JPEG) is what_is_wrong("image", PNG) is None


# --- verify -------------------------------------------------------------------------------------------


def files(operator: Operator, live: bytes, image: bytes) -> tuple[str, str]:
    for name, data in (("live", live), ("image", image)):
        (operator.folder / name).write_bytes(data)
    return "live", "image"


@pytest.mark.parametrize(
    ("live", "image", "said"),
    [
        (NOT_GZIPPED, JPEG, "live is not gzipped: it begins with 7b 22 76 69; gzip the live package"),
        (GZIP, base64.b64encode(JPEG), "image is Base64 text of a JPEG image; decode the Base64 first"),
        (JPEG, GZIP, "live is a JPEG image; see whether live package and image were exchanged"),
    ],
)
def test_verify_uploads_nothing_that_cannot_be_right(
    livepair: Livepair, operator: Operator, live: bytes, image: bytes, said: str
) -> None:
    """It says what to do, before anything is billed."""
    assert said in operator.error("verify", *files(operator, live, image))
    assert livepair.events == []


def test_verify_gzips_on_request(livepair: Livepair, operator: Operator) -> None:
    """What is not gzipped; what is, stays as it is, and Base64 text is refused all the same."""
    seen: list[str] = []
    for live, stored in ((NOT_GZIPPED, gzip.compress(NOT_GZIPPED, mtime=0)), (GZIP, GZIP)):
        operator("verify", *files(operator, live, JPEG), "--gzip", "--timeout", "0")
        (key,) = (key for key in livepair.bucket.keys("uploads/") if key.endswith(".gz") and key not in seen)
        seen.append(key)
        assert livepair.bucket.get(key).data == stored
    said = operator.error("verify", *files(operator, base64.b64encode(GZIP), JPEG), "--gzip")
    assert "Base64 text of a gzip file" in said


def test_verify_uploads_whatever_it_is_told_to(livepair: Livepair, operator: Operator) -> None:
    """With --as-is; and an image in a format that the API may know comes with a warning only."""
    said = operator("verify", *files(operator, NOT_GZIPPED, JPEG), "--as-is", "--timeout", "0")
    assert "no outcome was told" in said.stderr
    said = operator("verify", *files(operator, GZIP, BITMAP), "--timeout", "0")
    assert "image is neither JPEG nor PNG" in said.stderr
    assert len(livepair.events) == 4


# --- show and doctor ----------------------------------------------------------------------------------


def test_show_says_what_the_first_bytes_tell_after_a_decode_error(
    livepair: Livepair, operator: Operator
) -> None:
    """By sixteen bytes of each upload that the API could make nothing of."""
    livepair.put_pair(NOT_GZIPPED)
    livepair.put_pair(GZIP, base64.b64encode(JPEG), name="43")
    assert livepair.run() == ["rejected", "rejected"]
    livepair.forget()
    found = operator.json("show", "uploads/42/live.gz")["events"]
    (wrong,) = (event["detail"] for event in found if event["what"] == "looks wrong")
    assert wrong.startswith("the live package is not gzipped: it begins with 7b 22 76 69; gzip the live")
    assert "the image is Base64 text of a JPEG image; decode" in operator.fine("show", "uploads/43/live.gz")


def test_show_looks_at_no_bytes_that_were_judged_or_replaced(livepair: Livepair, operator: Operator) -> None:
    """A verdict says that the API could read them; other bytes are another verification's."""
    livepair.put_pair(samples.live(sim=3.0))
    livepair.put_pair(NOT_GZIPPED, name="43")
    assert livepair.run() == ["mismatched", "rejected"]
    livepair.put("uploads/43/live.gz", b"not gzipped either")
    for name in ("42", "43"):
        events = operator.json("show", f"uploads/{name}/live.gz")["events"]
        assert "looks wrong" not in {event["what"] for event in events}


def test_doctor_looks_at_the_first_bytes_of_the_newest_uploads(
    livepair: Livepair, operator: Operator, cloud: Cloud
) -> None:
    """Of those that are of a pair; it warns, and says what to do."""
    livepair.put_pair(NOT_GZIPPED, base64.b64encode(JPEG))
    livepair.put_pair(GZIP, JPEG, name="43")
    livepair.put("uploads/notes.txt", b"two words")
    livepair.put("uploads/44/live.gz", b"")
    checks = operator("doctor", "--no-webhook", "--json")
    found = {
        check["found"]: (check["status"], check["do"])
        for check in json.loads(checks.stdout)["checks"]
        if check["name"] == "upload"
    }
    assert len(found) == 6
    warned = {text: do for text, (status, do) in found.items() if status == "warn"}
    assert set(warned) == {
        "uploads/42/live.gz: live, is not gzipped: it begins with 7b 22 76 69",
        "uploads/42/image.jpg: image, is Base64 text of a JPEG image",
    }
    assert all(warned.values())
