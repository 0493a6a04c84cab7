"""From a name to a connection: the look-up, all addresses and TLS share the seconds of one exchange."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from handler.edges import connections
from handler.edges.webhook import Delivery, WebhookClient
from handler.edges.wire import Wire
from tests.cloud.consumer import SECRET
from tests.support.peer import Peer, Says, http

SOON = 0.3
"""Seconds of an exchange that would take far longer."""

ENOUGH = 30.0
"""Seconds that are never used up."""


def post(client: WebhookClient, seconds: float = ENOUGH) -> Delivery:
    return client.post("msg_1", "{}", datetime.now(timezone.utc), seconds)


class Names:
    """The system's resolver, which knows what `known` says and never answers for a name that begins so."""

    SILENT = "silent"

    def __init__(self) -> None:
        self.known: dict[str, list[tuple[str, int]]] = {}
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()
        self._system = socket.getaddrinfo

    def __call__(
        self, host: str, port: int, family: int, kind: int, protocol: int, flags: int
    ) -> list[tuple[Any, ...]]:
        if flags & socket.AI_NUMERICHOST or not (host in self.known or host.startswith(self.SILENT)):
            return list(self._system(host, port, family, kind, protocol, flags))
        self.asked[host] += 1
        if host.startswith(self.SILENT):
            self.over.wait(1)
        return [(socket.AF_INET, kind, protocol, "", each) for each in self.known.get(host, ())]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Names that this test alone knows."""
    resolver = Names()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.over.set()


@pytest.fixture
def dead() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address: tuple[str, int] = server.getsockname()
        for _ in range(3):
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(address)
        yield address


def named(host: str) -> WebhookClient:
    return WebhookClient(Wire(None), f"http://{host}/", (SECRET,))


def test_a_name_that_nobody_answers_for_costs_its_seconds_and_no_more(names: Names) -> None:
    """The look-up has no bound of its own: it is left behind; who asks meanwhile waits for that one."""
    for _ in range(5):
        said = post(named("silent.example"), SOON / 10)
        assert (said.ok, said.timed_out, said.error) == (False, True, "no answer in time")
    assert names.asked == {"silent.example": 1}


def test_only_so_many_names_are_looked_up_at_once(names: Names) -> None:
    """What nobody can call off is bounded in number."""
    for number in range(connections.MOST_LOOKUPS + 3):
        assert post(named(f"silent{number}.example"), SOON / 10).timed_out
    assert sum(names.asked.values()) == connections.MOST_LOOKUPS


def test_dead_addresses_share_the_seconds_of_the_exchange(
    peer: Peer, names: Names, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty-one of them, each with its own wait, would hold an invocation until the platform kills it."""
    monkeypatch.setattr(connections, "CONNECT_SECONDS", SOON / 3)
    alive = ("127.0.0.1", int(peer.url.rpartition(":")[2]))
    peer.says(Says(http(204)))
    names.known["consumer.example"] = [dead] * 31 + [alive]
    said = post(named("consumer.example"), SOON)
    assert (said.ok, said.timed_out) == (False, True)
    names.known["consumer.example"] = [dead, alive]
    assert post(named("consumer.example")).ok
    assert peer.connections == 1  # the first time all seconds were over before its turn came


@pytest.mark.parametrize(
    "host", ["x" * 64 + ".example", "a..example", ".example", "a.example..", "[::1", "x y"]
)
def test_a_host_that_is_none_is_a_failure_like_another(host: str) -> None:
    """Labels of more than 63 characters, and of none: no exception of a library gets through."""
    said = post(named(host), SOON)
    assert (said.ok, said.status) == (False, None)
    assert said.error
