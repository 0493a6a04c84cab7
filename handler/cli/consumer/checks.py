"""What is tried on a consumer, what has to come of it, and why that matters: one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Literal, NamedTuple

from handler.cli.consumer.messages import FAKE_SECRET, OUTCOMES, Maker, Message
from handler.cli.consumer.posting import AS_EVER, How, Poster, Sent
from handler.rules.codes import Outcome

SLOW = 5.0
"""Seconds after which an answer comes late: the consumer does its work before it answers."""

Make = Callable[[Maker], list[Message]]
Status = Literal["ok", "warn", "fail"]


class Judged(NamedTuple):
    """What came of one trial. `why` says why it matters and what to do. `--json` prints these fields."""

    check: str
    status: Status
    found: str
    why: str = ""


class Trial(NamedTuple):
    """Messages that are posted one after the other, the last of them as `how` says.

    All are to be `taken`, by a 2xx, or none is. `why` says what is wrong with a consumer that does otherwise.
    """

    check: str
    make: Make
    why: str
    taken: bool = True
    how: How = AS_EVER


# --- the messages ---------------------------------------------------------------------------------------


def _told(outcome: Outcome, maker: Maker) -> list[Message]:
    return [maker.told(outcome)]


def _repeat(maker: Maker) -> list[Message]:
    return [maker.told("rejected")] * 2


def _older_last(maker: Maker) -> list[Message]:
    """Two messages about one pair; what was uploaded first is told last."""
    newer = maker.pair()
    older = maker.pair(dict(newer.pair.values)["id"], minutes_ago=9)
    return [maker.told("rejected", seen=newer), maker.told("incomplete", seen=older)]


def _unknown_type(maker: Maker) -> list[Message]:
    return [{**maker.test(), "type": "verification.of-next-year", "data": {"any": ["thing", None]}}]


def _unknown_fields(maker: Maker) -> list[Message]:
    message = deepcopy(maker.told("rejected"))
    data = message["data"]
    for part in (message, data, data["live"], data["image"], data["reason"], data["api"]):
        part["comes_later"] = {"any": ["thing", None]}
    data["live"]["metadata"] = {"attempt": "3"}
    return [message]


def _unknown_code(maker: Maker) -> list[Message]:
    return [maker.told("failed", "FailedOperation.OfNextYear")]


def _nulls(maker: Maker) -> list[Message]:
    """A live package that was never read through, and uploads that nobody could look at."""
    seen = maker.pair()
    unread = seen._replace(live=seen.live and seen.live._replace(md5=None))
    return [maker.told("rejected", "Livepair.LiveTooLarge", seen=unread), maker.unreadable()]


def _in_any_script(maker: Maker) -> list[Message]:
    name = '申请 0042/<b onclick="x">&amp;\'</b>/é\u202e🙂\\'
    return [maker.told("rejected", seen=maker.pair(name))]


def _genuine(maker: Maker) -> list[Message]:
    return [maker.told("matched")]


# --- what happens to them -------------------------------------------------------------------------------


def _unsigned(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("webhook-")}


def _changed(body: bytes) -> bytes:
    """The same with another similarity: what somebody in between would like to say."""
    return body.replace(b'"similarity":96.3', b'"similarity":99.9')


AGAIN = "it comes again for three days, and then nobody is told"
FORGED = "whoever knows the address could post a match of their own: verify before anything else"

TRIALS: tuple[Trial, ...] = (
    Trial("webhook.test", lambda maker: [maker.test()], f"`doctor` sends it; {AGAIN}"),
    *(Trial(f"verification.{outcome}", partial(_told, outcome), AGAIN) for outcome in OUTCOMES),
    Trial("a repeat", _repeat, "messages come at least once: answer 2xx to what you have, or it comes again"),
    Trial(
        "an older one after a newer",
        _older_last,
        "messages overtake each other: keep it or drop it, and answer 2xx",
    ),
    Trial(
        "two signatures",
        _genuine,
        "while the secret is changed every message is signed by both: one that holds is enough",
    ),
    Trial("an unknown type", _unknown_type, f"version 1 may gain types: answer 2xx, or {AGAIN}"),
    Trial("unknown fields", _unknown_fields, "version 1 may gain fields: take what you do not know"),
    Trial("an unknown code", _unknown_code, "the API gains codes: decide by category and advice"),
    Trial(
        "nulls",
        _nulls,
        "live, image, best_frame, api, similarity and an upload's md5 are null where there is none",
    ),
    Trial(
        "any script and markup",
        _in_any_script,
        "keys and pairs are chosen by others, in any script: verify and keep the bytes as they came",
    ),
    Trial(
        "a body in pieces",
        _genuine,
        "a body can come in pieces: read it to its end, then verify",
        how=How(slowly=True),
    ),
    Trial("a wrong signature", _genuine, FORGED, False, How(secrets=(FAKE_SECRET,))),
    Trial("no signature", _genuine, FORGED, False, How(headers=_unsigned)),
    Trial("changed bytes", _genuine, "the signature is over all of the body: verify it over what came", False,
          How(body=_changed)),
    Trial(
        "six minutes old",
        _genuine,
        "whoever recorded a message could post it again at any time: refuse what is five minutes off",
        False,
        How(ago=360),
    ),
)  # fmt: skip


def trials(secrets: tuple[str, ...]) -> Iterator[Trial]:
    """All trials; those that need the secrets know them."""
    for trial in TRIALS:
        if trial.check == "two signatures":
            trial = trial._replace(how=How(secrets=(FAKE_SECRET, *secrets)))
        yield trial


TOO_LATE = "livepair waits 15 s for a 2xx: answer first, and work afterwards"
NO_ANSWER = "livepair posts it again, for three days: does it run, and is this its address?"
NAME_THE_BUCKET = "if it refuses other buckets than its own, as it should, say which one that is: --bucket"

# --- what came of them ----------------------------------------------------------------------------------


def judge(poster: Poster, maker: Maker, secrets: tuple[str, ...], own_bucket: bool) -> Iterator[Judged]:
    """Make the trials one after the other. Where not even the first is answered, nothing else is tried."""
    for number, trial in enumerate(trials(secrets)):
        sents = _made(poster, trial, maker)
        judged = _judged(trial, sents, own_bucket)
        yield judged
        if number == 0 and (sents[-1].status is None or sents[-1].redirects):
            return
    if own_bucket:
        yield _other_bucket(poster, maker)


def _made(poster: Poster, trial: Trial, maker: Maker) -> list[Sent]:
    *before, last = trial.make(maker)
    return [*map(poster.post, before), poster.post(last, trial.how)]


def _judged(trial: Trial, sents: list[Sent], own_bucket: bool) -> Judged:
    failed = partial(Judged, trial.check, "fail")
    for sent in sents:
        if sent.status is None:
            return failed(sent.found, TOO_LATE if sent.late else NO_ANSWER)
        if sent.redirects:
            return failed(sent.found, "livepair follows no redirect: its target has to be the WEBHOOK_URL")
        if sent.status == 410:
            return failed(sent.found, "410 stops a message for good, also while you change the secret")
        if trial.taken and not sent.ok:
            return failed(sent.found, _why_refused(trial, sent, own_bucket))
    if not trial.taken and sents[-1].ok:
        return failed(sents[-1].found, trial.why)
    slowest = max(sent.seconds for sent in sents)
    if slowest > SLOW:
        late = f"answered after {slowest:.1f} s"
        return Judged(trial.check, "warn", late, "answer first, and work afterwards")
    return Judged(trial.check, "ok", sents[-1].found)


def _why_refused(trial: Trial, sent: Sent, own_bucket: bool) -> str:
    return NAME_THE_BUCKET if sent.status == 403 and not own_bucket else trial.why


def _other_bucket(poster: Poster, maker: Maker) -> Judged:
    """Whether what is signed for another bucket is refused. A consumer may also take it and drop it."""
    message = deepcopy(maker.told("matched"))
    for half in (message["data"]["live"], message["data"]["image"]):
        half["bucket"] = f"not-{half['bucket']}"
    sent = poster.post(message)
    if not sent.ok:
        return Judged("another bucket", "ok", sent.found)
    why = "see that it decides nothing: a trial that signs with the same secret could decide in production"
    return Judged("another bucket", "warn", sent.found, why)
