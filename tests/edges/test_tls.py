"""TLS, as the function speaks it to everybody but a local cloud: whom it trusts, and how often it asks."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from handler.edges import connections
from handler.edges.webhook import Delivery, WebhookClient
from handler.edges.wire import Wire
from tests.cloud.consumer import SECRET

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made by openssl")


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    made, key = folder / f"{host}.pem", folder / f"{host}.key"
    name = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    ends = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2", "-nodes"]
    into = ["-keyout", str(key), "-out", str(made)]
    subprocess.run([str(OPENSSL), "req", "-x509", *ends, *name, *into], check=True, capture_output=True)
    return made, key


class Answers(BaseRequestHandler):
    """Takes one request and answers 204."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


class Server(ThreadingTCPServer):
    """Speaks TLS with a certificate; who does not trust it is no news."""

    daemon_threads = True

    def __init__(self, made: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}/"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of trusted certificates, empty at first; what was read of it is forgotten around the test."""
    path = tmp_path / "trusted.pem"
    monkeypatch.setattr(connections, "DEFAULT_CA_BUNDLE_PATH", str(path))
    connections._trust.cache_clear()
    yield path
    connections._trust.cache_clear()


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[dict[str, tuple[Server, Path]]]:
    """Servers on `localhost`, one of them with another host's certificate."""
    servers = {}
    for host in ("localhost", "elsewhere.example"):
        made, key = certificate(tmp_path, host)
        servers[host] = (Server(made, key), made)
        threading.Thread(target=servers[host][0].serve_forever, args=(0.02,), daemon=True).start()
    yield servers
    for server, _ in servers.values():
        server.shutdown()
        server.server_close()


def post(server: Server) -> Delivery:
    client = WebhookClient(Wire(None), server.url, (SECRET,))
    return client.post("msg_1", "{}", datetime.now(timezone.utc), 10)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    peers: dict[str, tuple[Server, Path]], bundle: Path
) -> None:
    """Also where another is trusted."""
    bundle.write_bytes(peers["elsewhere.example"][1].read_bytes())
    said = post(peers["localhost"][0])
    assert not said.ok
    assert said.error == "no connection or no answer: SSLError"


def test_a_certificate_of_another_host_is_refused(
    peers: dict[str, tuple[Server, Path]], bundle: Path
) -> None:
    """However trusted."""
    bundle.write_bytes(peers["elsewhere.example"][1].read_bytes())
    assert not post(peers["elsewhere.example"][0]).ok


def test_the_trusted_certificates_are_read_once(peers: dict[str, tuple[Server, Path]], bundle: Path) -> None:
    """Not for each connection: that would take longer than the handshake."""
    server, made = peers["localhost"]
    bundle.write_bytes(made.read_bytes())
    assert post(server).ok
    bundle.unlink()
    assert post(server).ok
    shared = Wire(None)
    with shared.limit("test", 10):
        # One SDK names the file for each of its requests.
        assert shared.session().get(server.url, verify=str(bundle)).ok


def test_an_sdk_cannot_switch_verification_off(peers: dict[str, tuple[Server, Path]], bundle: Path) -> None:
    """Whatever it passes to its session."""
    bundle.write_bytes(peers["elsewhere.example"][1].read_bytes())
    shared = Wire(None)
    with shared.limit("test", 10), pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        shared.session().get(peers["localhost"][0].url, verify=False)
