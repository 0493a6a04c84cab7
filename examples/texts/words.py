"""What to say to the person, from a message of livepair's webhook: one of a dozen keys.

Copy this file and the texts beside it. Each language is a file; `texts` has the same keys in all of them, and
`tags` names the language tags to offer it for.

Say nothing else. Whoever plays a mask or a screen to the camera would learn from a code, a category or a
similarity what gave it away. So the words for similarity, spoof and liveness are the same. Use them for a
recording that was played again, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAPTURE = {
    "ActionLightDark": "too_dark",
    "ActionLightStrong": "too_bright",
    "ActionNodetectFace": "face_not_seen",
    "ActionFaceLeft": "face_not_seen",
    "ActionFaceRight": "face_not_seen",
    "SilentFaceDetectFail": "face_not_seen",
    "SilentFaceWithMaskFail": "face_not_seen",
    "SilentMultiFaceFail": "several_faces",
    "SilentTooShort": "too_short",
    "ActionFaceFar": "too_far",
    "ActionFaceClose": "too_close",
}
"""What was wrong with the recording, by the code's last part. All else about it is `film_again`."""


def key_of(message: Mapping[str, Any]) -> str | None:
    """The key of the words for a message; None where there is nothing to say to anybody.

    That is so for `webhook.test` and for types that come later.
    """
    outcome = str(message["type"]).removeprefix("verification.")
    reason = message["data"].get("reason") or {}
    if outcome == "rejected" and reason["category"] == "capture":
        return CAPTURE.get(reason["code"].rpartition(".")[2], "film_again")
    if outcome == "rejected":
        return "another_photo" if reason["category"] == "image" else "not_confirmed"
    if outcome == "incomplete":
        # The image is the backend's to place: the person can do nothing about it.
        return "film_again" if message["data"]["live"] is None else "later"
    return {"matched": "done", "mismatched": "not_confirmed", "failed": "later"}.get(outcome)
