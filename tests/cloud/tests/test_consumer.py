"""The webhook consumer of the local cloud."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import urllib3
from standardwebhooks import Webhook

from tests.cloud.clock import Clock
from tests.cloud.consumer import SECRET, Attempt, Behaviour, Consumer

OTHER = "whsec_" + "b3RoZXItZmFrZS1zZWNyZXQtb2YtdGhlLWNsb3VkISE="


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    consumer = Consumer()
    consumer.start()
    yield consumer
    consumer.stop()


def post(
    consumer: Consumer,
    id: str = "msg_1",
    body: dict[str, Any] | bytes | None = None,
    *,
    secret: str = SECRET,
    at: datetime | None = None,
    timeout: float = 10,
    preload: bool = True,
    host: str | None = None,
) -> urllib3.BaseHTTPResponse:
    """Send a rightly signed message, as any sender would."""
    data = body if isinstance(body, bytes) else json.dumps(body or {"type": "webhook.test"}).encode()
    at = at or datetime.now(timezone.utc)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, at, data.decode()),
        **({"host": host} if host else {}),
    }
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "POST",
            consumer.url,
            body=data,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=timeout,
            preload_content=preload,
        )
        if not preload:
            answer.close()
        return answer


@pytest.mark.parametrize("host", ["evil.example:{}", "evil.example", "127.0.0.1", "localhost.evil:{}"])
def test_a_name_that_points_to_this_machine_gets_nothing(consumer: Consumer, host: str) -> None:
    """A page may let its own name point here: what comes under it is neither kept nor answered."""
    port = consumer.url.split(":")[2].partition("/")[0]
    assert post(consumer, host=host.format(port)).status == 421
    assert consumer.attempts == []
    assert post(consumer, host=f"localhost:{port}").status == 204


def test_a_genuine_message_is_kept(consumer: Consumer) -> None:
    """The signature is checked over the raw body; headers and bytes are there to look at."""
    assert post(consumer, "msg_1", b'{"a":  1}').status == 204
    (attempt,) = consumer.attempts
    assert (attempt.verified, attempt.error, attempt.status) == (True, None, 204)
    assert attempt.body == b'{"a":  1}'
    assert attempt.headers["webhook-id"] == attempt.id == "msg_1"
    assert consumer.messages == {"msg_1": {"a": 1}}
    assert consumer.accepted == {"msg_1"}


def test_a_forged_message_is_refused_and_not_counted(consumer: Consumer) -> None:
    """Wrong secret, no signature, a malformed one: 401, and nothing is believed."""
    assert post(consumer, secret=OTHER).status == 401
    with urllib3.PoolManager() as pool:
        assert pool.request("POST", consumer.url, body=b"{}").status == 401
        headers = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1"}
        assert pool.request("POST", consumer.url, body=b"\xff", headers=headers).status == 401
        assert pool.request("GET", consumer.url).status == 405
    assert consumer.messages == {}
    assert len(consumer.attempts) == 3
    assert all(each.error for each in consumer.attempts)


def test_several_secrets_are_accepted_while_rotating(consumer: Consumer) -> None:
    """A message that any one of them signed is genuine."""
    consumer.secrets.append(OTHER)
    assert post(consumer, "msg_1").status == 204
    assert post(consumer, "msg_2", secret=OTHER).status == 204


def test_an_old_message_is_refused_by_the_clouds_clock(consumer: Consumer) -> None:
    """Five minutes of tolerance, on the clock that tests move."""
    clock = Clock()
    try:
        signed_at = datetime.now(timezone.utc)
        clock.advance(3600)
        assert post(consumer, at=signed_at).status == 401
        assert post(consumer).status == 204
        assert consumer.attempts[-1].at > signed_at + timedelta(minutes=59)
    finally:
        clock.close()


def test_repeats_are_dropped_by_id_and_conflicts_are_told(consumer: Consumer) -> None:
    """The first body of an id stands; other bytes under the same id are a conflict."""
    post(consumer, "msg_1", {"n": 1})
    post(consumer, "msg_1", {"n": 1})
    assert consumer.conflicts == []
    post(consumer, "msg_1", {"n": 2})
    post(consumer, "msg_2", {"n": 2})
    assert consumer.messages == {"msg_1": {"n": 1}, "msg_2": {"n": 2}}
    assert [each.body for each in consumer.conflicts] == [b'{"n": 2}']
    assert len(consumer.attempts) == 4


def test_scripts_are_used_up_in_order(consumer: Consumer) -> None:
    """Two refusals, one with Retry-After, then all is well again."""
    consumer.answer(500)
    consumer.answer(503, {"Retry-After": "7"})
    answers = [post(consumer) for _ in range(3)]
    assert [each.status for each in answers] == [500, 503, 204]
    assert answers[1].headers["Retry-After"] == "7"
    assert [each.status for each in consumer.attempts] == [500, 503, 204]


def test_a_script_can_pick_its_messages(consumer: Consumer) -> None:
    """`when` looks at the body; the others are answered as ever."""
    script = consumer.answer(410, times=None, when=lambda message: message.get("n") == 2)
    assert post(consumer, "a", {"n": 1}).status == 204
    assert post(consumer, "b", {"n": 2}).status == 410
    assert post(consumer, "c", {"n": 2}).status == 410
    assert script.hits == 2
    consumer.behave()
    assert post(consumer, "d", {"n": 2}).status == 204
    assert consumer.accepted == {"a", "d"}


def test_a_redirect_names_its_target(consumer: Consumer) -> None:
    """Whether it is followed is the sender's affair."""
    consumer.redirect("http://127.0.0.1:1/elsewhere", 307)
    answer = post(consumer)
    assert (answer.status, answer.headers["Location"]) == (307, "http://127.0.0.1:1/elsewhere")


def test_a_huge_body_is_sent(consumer: Consumer) -> None:
    """All of it, under a status that is an error."""
    consumer.huge(3_000_000)
    answer = post(consumer)
    assert (answer.status, len(answer.data)) == (500, 3_000_000)


def test_hanging_never_answers(consumer: Consumer) -> None:
    """The sender's own time limit ends it; the message has arrived all the same."""
    consumer.hang()
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        post(consumer, timeout=0.2)
    assert list(consumer.messages) == ["msg_1"]
    assert consumer.accepted == set()
    assert consumer.attempts[0].status is None


def test_cutting_closes_without_an_answer(consumer: Consumer) -> None:
    """The sender cannot know that the message has arrived."""
    consumer.cut()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        post(consumer)
    assert list(consumer.messages) == ["msg_1"]
    assert post(consumer).status == 204


def test_dripping_outlasts_a_time_limit_per_read(consumer: Consumer) -> None:
    """Each byte comes in time, the whole never: the status is there at once."""
    consumer.drip(0.05, size=100_000)
    assert post(consumer, preload=False).status == 200


def test_a_late_answer_comes_late(consumer: Consumer) -> None:
    """The delay is in real time: who waits gets the answer, who does not has none."""
    consumer.answer(200, body=b"late", delay=0.01)
    consumer.answer(200, body=b"too late", delay=60)
    assert post(consumer).data == b"late"
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        post(consumer, timeout=0.1)


def test_waiting_ends_when_the_condition_holds_or_says_what_came(consumer: Consumer) -> None:
    """No polling by the tests, and no riddles."""
    post(consumer, "msg_7")
    consumer.wait_for(lambda seen: "msg_7" in seen.messages)
    with pytest.raises(TimeoutError, match="msg_7"):
        consumer.wait_for(lambda seen: len(seen.messages) == 2, timeout=0.05)
    consumer.forget()
    assert consumer.attempts == []


def test_a_program_behind_it_answers_what_no_script_is_for(consumer: Consumer) -> None:
    """Its status and headers go back, 2xx is accepted, and a message that is not genuine never reaches it."""
    asked: list[str] = []

    async def program(attempt: Attempt) -> Behaviour:
        asked.append(attempt.id)
        return Behaviour(204 if attempt.id == "msg_2" else 503, {"Retry-After": "7"})

    consumer.program = program
    consumer.answer(500)
    answers = [post(consumer, "msg_0"), post(consumer, "msg_1"), post(consumer, "msg_2")]
    assert [answer.status for answer in answers] == [500, 503, 204]
    assert answers[1].headers["Retry-After"] == "7"
    assert post(consumer, "msg_3", secret=OTHER).status == 401
    assert (asked, consumer.accepted) == (["msg_1", "msg_2"], {"msg_2"})
    assert [attempt.status for attempt in consumer.attempts] == [500, 503, 204, 401]


def test_a_sender_from_outside_may_sign_by_another_clock(consumer: Consumer) -> None:
    """Within five minutes of it, with a secret of ours, and only where there is such a clock."""
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    assert post(consumer, at=hour_ago).status == 401
    consumer.other_clock = hour_ago.timestamp
    assert post(consumer, at=hour_ago).status == 204
    assert post(consumer, at=hour_ago - timedelta(minutes=6)).status == 401
    assert post(consumer, at=hour_ago, secret=OTHER).status == 401


def test_it_listens_where_it_is_asked_to_if_that_is_free() -> None:
    """Else on any port."""
    first = Consumer()
    first.start()
    port = int(first.url.split(":")[2].split("/")[0])
    second = Consumer(port=port)
    second.start()
    try:
        assert second.url != first.url
        first.stop()
        second.stop()
        third = Consumer(port=port)
        third.start()
        assert third.url == first.url
        third.stop()
    finally:
        first.stop()
        second.stop()
