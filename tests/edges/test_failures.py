"""What is made of an Error in the API's answer, whatever its code is; and how our own errors read."""

from __future__ import annotations

import pytest

from handler.edges.answers import _failure
from handler.edges.bucket import HEAD, CosError, Forbidden
from handler.rules.codes import code_row
from handler.state.objects import CorruptState

FO = "FailedOperation."


@pytest.mark.parametrize(
    "code", ["Success", " Success\n", "", " ", None, 0, 7, True, ["Success"], {"Code": "x"}]
)
def test_an_error_without_a_usable_code_is_an_answer_that_cannot_be_read(code: object) -> None:
    """Above all no error is a Success; it is transient, and the API may have judged."""
    answer = _failure(code, "as it came", "req-1", ())
    assert (answer.code, answer.message) == (
        "Livepair.UnreadableAnswer",
        "an Error without a code of its own",
    )
    assert answer.executed
    assert answer.similarity is None
    assert answer.request_id == "req-1"
    assert code_row(answer.code).klass == "transient"


@pytest.mark.parametrize("code", ["FailedOperation.ImageBlur", "success", "None", "BrandNew"])
def test_an_error_with_a_code_is_passed_through(code: str) -> None:
    """With the API's words beside it."""
    answer = _failure(code, "as it came", None, ())
    assert (answer.code, answer.message, answer.executed) == (code, "as it came", True)


@pytest.mark.parametrize(
    "code",
    ["RequestLimitExceeded", "RequestLimitExceeded.IPLimitExceeded", FO + "RequestLimitExceeded"],
)
def test_a_throttled_call_was_not_executed(code: str) -> None:
    """So it costs nothing to ask again. A code that only looks so may have cost something."""
    assert not _failure(code, "", None, ()).executed
    assert _failure(code + "X", "", None, ()).executed is (code.count(".") == 0 or code.startswith(FO))


EVIL = "uploads/\x1b]0;x\x07\x9b2J\u202e\n/live.gz"


@pytest.mark.parametrize(
    "error",
    [
        CosError("head", "faces-1250000000", EVIL, 400, "InvalidURI"),
        *(
            Forbidden(HEAD, "faces-1250000000", EVIL, 403, code)
            for code in ("AccessDenied", "InvalidObjectState", "x")
        ),
        CorruptState(EVIL, EVIL),
        CorruptState("livepair/x", EVIL * 1000),
    ],
    ids=lambda error: str(error)[:30],
)
def test_no_key_in_an_error_can_command_a_terminal(error: Exception) -> None:
    """Uploaders choose keys, and the platform prints an error's text as it is."""
    assert str(error).isprintable()
    assert len(str(error)) < 2000
