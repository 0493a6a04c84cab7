"""A peer on this machine that answers byte for byte what a test says."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Says:
    """What a peer sends: `data` at once, `drip` in single bytes, then `then` until the client goes.

    `waits` keeps silent until then. `keep` leaves the connection open for another request.
    """

    data: bytes = b""
    drip: bytes = b""
    then: bytes = b""
    waits: bool = False
    keep: bool = False


class Peer:
    """A server on a port of its own. It gives its answers in order, the last one for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: list[Says] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def says(self, *answers: Says) -> None:
        with self._lock:
            self._answers = list(answers)

    def wait_for_open(self, number: int) -> None:
        """Return once so many connections are open. Raises AssertionError after a while."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._open) == number, 10), len(self._open)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                self._changed.notify_all()
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        try:
            while self._request(connection):
                with self._lock:
                    answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                self._answer(connection, answer)
                if not answer.keep:
                    return
        except OSError:
            pass  # the client went first
        finally:
            with self._changed:
                connection.close()
                self._open.discard(connection)
                self._changed.notify_all()

    def _request(self, connection: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return False
            head += piece
            if head[:1] == b"\x16":
                return True  # somebody speaks TLS
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        left = int(found[1]) if found else 0
        head, _, body = head.partition(b"\r\n\r\n")
        while len(body) < left:
            piece = connection.recv(65536)
            if not piece:
                return False
            body += piece
        with self._lock:
            self.requests.append(head)
        return True

    @staticmethod
    def _answer(connection: socket.socket, answer: Says) -> None:
        def gone(seconds: float | None) -> bool:
            return bool(select.select([connection], [], [], seconds)[0])

        connection.sendall(answer.data)
        for at in range(len(answer.drip)):
            connection.sendall(answer.drip[at : at + 1])
            if gone(0.02):
                return
        while answer.then:
            connection.sendall(answer.then)
        if answer.waits:
            gone(None)


def http(status: int = 200, body: bytes = b"", /, length: str = "", **headers: str) -> bytes:
    """An answer that says to be `length` bytes long, else as long as it is."""
    lines = [f"HTTP/1.1 {status} Weather", f"Content-Length: {length or len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
