"""An instance between and within its invocations: credentials, connections, threads, and the real thing."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from handler import index
from handler.edges.bucket import CosError
from handler.edges.cos import Credentials
from handler.edges.faceid import FaceidClient, Resource
from handler.edges.wire import Wire
from tests.cloud import Cloud, samples
from tests.cloud.cos_sign import Account
from tests.cloud.faceid import COMPARE, UPLOAD_URL
from tests.cloud.faults import Action, Gate, Operation, cut_before, hold, hold_answer, refuse
from tests.cloud.proxy import Request
from tests.cloud.scf import Invocation
from tests.support.harness import IMAGE, LIVE, Livepair, lines

Configured = Callable[..., Livepair]

CREDENTIALS = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")


def printed(invocation: Invocation, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, invocation.log) if line["event"] == event]


# --- credentials -------------------------------------------------------------------------------------


class Seen:
    """Every request of the function: its operation, who signed it, and the connection it came by."""

    def __init__(self, livepair: Livepair) -> None:
        self.signers: set[str] = set()
        self.connections: dict[str, set[Any]] = {}
        livepair.cloud.faults.add("*", source="livepair", then=self._see, times=None)

    def _see(self, request: Request, operation: Operation) -> Action | None:
        sent = request.headers.get("Authorization") or request.raw_query
        for part in sent.replace("Credential=", "q-ak=").replace(" ", "&").split("&"):
            if part.startswith("q-ak="):
                self.signers.add(part.removeprefix("q-ak=").partition("/")[0])
        transport = request._http.transport
        assert transport is not None
        self.connections.setdefault(operation.service, set()).add(transport.get_extra_info("peername"))
        return None


def test_credentials_are_read_at_every_invocation(livepair: Livepair) -> None:
    """A warm instance whose role's credentials were rotated: the old ones sign nothing any more."""
    seen = Seen(livepair)
    for number in range(3):
        before = set(livepair.cloud.accounts)
        livepair.put_pair(name=str(number))
        livepair.drop()
        assert livepair.run() == ["matched"]
        (fresh,) = set(livepair.cloud.accounts) - before
        # The best frame's link is the API's own.
        assert seen.signers - {"AKIDlocalcloudfaceid"} == {fresh}
        del livepair.cloud.accounts[fresh]
        seen.signers.clear()


def test_expired_credentials_raise_and_heal_with_the_next_ones(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was promised, so the platform tries again; the next invocation's credentials work."""
    livepair.put_pair()
    livepair.drop()
    expired = livepair.cloud.temporary_credentials(seconds=-1)
    values = (expired.secret_id, expired.secret_key, expired.token or "")
    for name, value in zip(CREDENTIALS, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(CosError, match=r"ExpiredToken \(400\)"):
        index.main_handler(livepair.events[0], {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.state() == []
    assert livepair.run() == ["matched"]


def test_permanent_credentials_need_no_token(livepair: Livepair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty TENCENTCLOUD_SESSIONTOKEN is none."""
    livepair.cloud.accounts["fake-id"] = Account("fake-key")
    livepair.put_pair()
    for name, value in zip(CREDENTIALS, ("fake-id", "fake-key", ""), strict=True):
        monkeypatch.setenv(name, value)
    for event in livepair.events:
        index.main_handler(event, {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.data["outcome"] == "matched"


def test_credentials_are_not_kept_in_the_instance(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the platform gives none, a warm instance has none either."""
    livepair.put_pair()
    livepair.run()
    livepair.forget()
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with pytest.raises(Exception, match="gave no credentials"):
        index.main_handler({"Type": "Timer"}, {"request_id": "r", "time_limit_in_ms": 60_000})
    assert livepair.requests() == []


# --- cold, warm, connections -------------------------------------------------------------------------


def test_settings_are_read_at_the_cold_start_only(
    livepair: Livepair, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The first invocation says that it was cold, the next ones that they were not."""
    livepair.put_pair()
    livepair.run()
    monkeypatch.setenv("MIN_SIMILARITY", "99")
    livepair.put_pair(name="43")
    livepair.run()
    assert [message["data"]["outcome"] for message in livepair.messages] == ["matched", "matched"]
    livepair.restart()
    livepair.put_pair(name="44")
    livepair.run()
    assert livepair.messages[2]["data"]["outcome"] == "mismatched"
    cold = [line["cold"] for line in lines(capsys, "invocation")]
    assert cold == [True, False, False, False, True, False]


def test_wrong_settings_stay_wrong_until_they_are_mended(configured: Configured, monkeypatch: Any) -> None:
    """Every invocation fails, and the first one with settings that hold works: nothing half-made is kept."""
    livepair = configured(MIN_SIMILARITY="high")
    livepair.put_pair()
    for _ in range(2):
        with pytest.raises(Exception, match="MIN_SIMILARITY"):
            livepair.handle(livepair.events[0])
    monkeypatch.setenv("MIN_SIMILARITY", "70")
    assert livepair.run() == ["matched"]


def webhook_connections() -> int:
    """How many connections the instance's webhook client has opened."""
    assert index._instance is not None
    adapter = index._instance.webhook._session.get_adapter("http://")
    assert isinstance(adapter, HTTPAdapter)
    pools = adapter.poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())  # noqa: SIM118 # no mapping


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_connections_are_kept_between_warm_invocations(configured: Configured, mode: str) -> None:
    """What ran side by side once has its connections; later invocations open none."""
    livepair = configured(PASS_RESOURCES=mode)
    seen = Seen(livepair)
    for number in range(3):
        livepair.put_pair(name=f"warm-up-{number}")
        livepair.run()
    before = {service: set(found) for service, found in seen.connections.items()}
    assert webhook_connections() == 1
    for number in range(10):
        livepair.put_pair(name=str(number))
        assert livepair.run() == ["matched"]
        livepair.sweep()
    # Two requests side by side may or may not meet an idle second connection.
    opened = {service: len(found - before[service]) for service, found in seen.connections.items()}
    assert max(opened.values()) <= 1, opened
    assert webhook_connections() == 1


def test_connections_that_were_closed_meanwhile_cost_nothing(livepair: Livepair) -> None:
    """Peers hang up while an instance is frozen: the next invocation opens new ones and loses nothing."""
    livepair.put_pair()
    livepair.run()
    proxy = livepair.cloud.proxy

    async def hang_up() -> None:
        for transport in transports:
            transport.abort()

    transports: set[Any] = set()

    def see(request: Request, operation: Operation) -> Action | None:
        transports.add(request._http.transport)
        return None

    fault = livepair.cloud.faults.add("*", source="livepair", then=see, times=None)
    livepair.put_pair(name="43")
    livepair.run()
    livepair.cloud.faults.remove(fault)
    proxy.submit(hang_up()).result()
    livepair.put_pair(name="44")
    livepair.drop()
    assert livepair.run() == ["matched"]
    assert livepair.messages[2]["data"]["api"]["calls"] == 1


# --- where requests go -------------------------------------------------------------------------------

_connects: list[tuple[str, Any]] = []
_listening = threading.Event()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _listening.is_set():
        _connects.append((threading.current_thread().name, args[1]))


sys.addaudithook(_audit)


@pytest.fixture
def connects() -> Iterator[Callable[[], set[Any]]]:
    """The addresses that the function has connected to."""
    _connects.clear()
    _listening.set()
    yield lambda: {to for thread, to in _connects if thread not in ("local-cloud", "consumer")}
    _listening.clear()


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_everything_but_the_webhook_goes_through_the_local_cloud(
    configured: Configured, connects: Callable[[], set[Any]], mode: str
) -> None:
    """COS, the API, the relay and the best frame; no other address is ever spoken to."""
    livepair = configured(PASS_RESOURCES=mode)
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    proxy, consumer = livepair.url, livepair.cloud.consumer.url
    assert connects() == {
        ("127.0.0.1", int(url.split(":")[2].partition("/")[0])) for url in (proxy, consumer)
    }
    hosts = Counter(each.host for each in livepair.cloud.log if each.source == "livepair")
    expected = {
        "faces-1250000000.cos.ap-singapore.myqcloud.com",
        "faceid.tencentcloudapi.com",
        "faceid-bestframe-1250000001.cos.ap-singapore.myqcloud.com",
    }
    if mode == "upload_url":
        expected.add("faceid-upload-1250000001.cos.ap-singapore.myqcloud.com")
    assert set(hosts) == expected


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose environment would have everything go elsewhere, with credentials for everyone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:1")
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login netrc-user password netrc-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "none.pem"))


@pytest.mark.parametrize("no_proxy", ["", "*", "myqcloud.com,tencentcloudapi.com,127.0.0.1"])
@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
@pytest.mark.usefixtures("surroundings")
def test_proxies_and_netrc_of_the_environment_have_no_effect(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, no_proxy: str, mode: str
) -> None:
    """Neither on COS, nor on the API, nor on the webhook."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, no_proxy)
    livepair = configured(PASS_RESOURCES=mode)
    sent: list[str] = []

    def see(request: Request, operation: Operation) -> Action | None:
        sent.append(request.headers.get("Authorization", ""))
        return None

    livepair.cloud.faults.add("*", source="livepair", then=see, times=None)
    livepair.put_pair()
    assert livepair.run() == ["matched"]
    assert [each for each in sent if each.startswith("Basic")] == []
    (attempt,) = livepair.cloud.consumer.attempts
    assert "authorization" not in attempt.headers
    assert not [name for name in attempt.headers if name.startswith("proxy") or name == "via"]


@pytest.mark.usefixtures("surroundings")
def test_a_proxy_of_the_environment_does_not_get_the_api_calls_of_production(
    monkeypatch: pytest.MonkeyPatch, connects: Callable[[], set[Any]]
) -> None:
    """Without LOCAL_CLOUD, where the API is called directly; here on a closed port of this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    client = FaceidClient(Wire(None), "ap-singapore", "127.0.0.1:2")
    client.use(Credentials("fake-id", "fake-key", None))
    answer = client.compare(Resource("https://a", "0" * 32), Resource("https://b", "0" * 32), 5)
    assert answer.code == "ClientNetworkError"
    assert not answer.executed
    assert connects() == {("127.0.0.1", 2)}


# --- threads -----------------------------------------------------------------------------------------


def test_garbage_is_collected_again_once_everything_is_imported() -> None:
    """The collector rests while the entry file loads, and leaves alone what it loaded."""
    says = "import gc, handler.index; print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    done = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_all_work_ends_before_the_handler_returns(configured: Configured) -> None:
    """One of two requests made side by side fails at once, the other hangs: it is waited for."""
    livepair = configured()
    gate = Gate()
    livepair.cloud.faults.add("HeadObject", key=LIVE, then=refuse(403, "AccessDenied"), times=1)
    livepair.cloud.faults.add("HeadObject", key=IMAGE, then=hold(gate), times=1)
    livepair.put(LIVE, samples.live())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(livepair.handle, livepair.events.pop())
        gate.wait_reached()
        livepair.cloud.scf.wait_for(lambda: any(each.status == 403 for each in livepair.requests()))
        assert not future.done()
        gate.release()
        assert future.result(30) == {"outcomes": []}
    assert all(each.status is not None for each in livepair.requests())


@pytest.mark.parametrize("mode", ["presigned", "upload_url"])
def test_nothing_is_under_way_after_the_handler_returned(configured: Configured, mode: str) -> None:
    """After every invocation, those that fail too: each request has its answer, and none comes later."""
    livepair = configured(PASS_RESOURCES=mode)
    for fault, operation in (
        (refuse(503, "ServiceUnavailable"), "PutObject"),
        (refuse(403, "AccessDenied"), "PutObject"),
        (cut_before(), "GetObject"),
        (refuse(500, "X"), UPLOAD_URL),
    ):
        livepair.cloud.faults.add(operation, source="livepair", then=fault, times=3)
        livepair.put_pair()
        for event in livepair.events:
            with contextlib.suppress(CosError):
                livepair.handle(event)
            log = [each for each in livepair.cloud.log if each.source == "livepair"]
            assert all(each.status is not None or "cut_before" in each.faults for each in log)
        livepair.events.clear()
        livepair.sweep(5)


# --- the real thing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loading", ["name", "path"])
def test_the_entry_file_works_from_a_bundle(cloud: Cloud, code: Path, loading: str) -> None:
    """Loaded by name or by path, in a process of its own, woken by uploads and the timer alone."""
    cloud.deploy(code, loading=loading)
    cloud.upload(IMAGE, samples.image())
    cloud.scf.wait_idle()
    cloud.clock.advance(2)
    cloud.upload(LIVE, samples.live())
    cloud.scf.wait_idle()
    (message,) = cloud.consumer.messages.values()
    assert message["data"]["outcome"] == "matched"
    first, second = cloud.scf.invocations
    assert (first.ok, second.ok, first.cold, second.cold) == (True, True, True, False)
    assert (first.result, second.result) == ({"outcomes": []}, {"outcomes": ["matched"]})
    cloud.scf.advance_minutes(2)
    assert all(each.ok for each in cloud.scf.invocations)
    assert len(cloud.consumer.attempts) == 1


def test_a_sweep_of_a_real_instance_ends_what_was_left(cloud: Cloud, code: Path) -> None:
    """A webhook that was down and a pair that stays half: the timer brings both to their end."""
    cloud.deploy(code, {"PAIR_TIMEOUT": "120"})
    cloud.consumer.answer(503, times=2)
    cloud.upload("uploads/1/live.gz", samples.live())
    cloud.upload("uploads/1/image.jpg", samples.image())
    cloud.upload("uploads/2/live.gz", samples.live())
    cloud.scf.wait_idle(60)
    cloud.scf.recycle()
    cloud.scf.advance_minutes(10)
    assert all(each.ok for each in cloud.scf.invocations)
    told = {m["data"]["pair"]["id"]: m["data"]["outcome"] for m in cloud.consumer.messages.values()}
    assert told == {"1": "matched", "2": "incomplete"}
    assert cloud.consumer.accepted == set(cloud.consumer.messages)
    assert cloud.consumer.conflicts == []
    assert cloud.cos.bucket(cloud.bucket).keys("livepair/agenda/") == []


def test_the_log_tells_what_happened(cloud: Cloud, code: Path) -> None:
    """Pair, verification, outcome, how long each stage took, request ids, how many requests of each kind."""
    cloud.deploy(code)
    cloud.upload(IMAGE, samples.image())
    cloud.scf.wait_idle()
    cloud.upload(LIVE, samples.live())
    cloud.scf.wait_idle()
    invocation = cloud.scf.invocations[-1]
    (message,) = cloud.consumer.messages.values()
    (call,) = cloud.faceid.calls
    (pair,) = printed(invocation, "pair")
    assert pair["request_id"] == invocation.request_id
    assert pair["api_request_id"] == call.request_id
    assert pair["verification"] == message["data"]["verification_id"]
    assert (pair["pair"], pair["run"], pair["outcome"], pair["code"]) == ("42", 1, "matched", "Success")
    assert (pair["calls"], pair["delivery"], pair["webhook_status"]) == (1, 1, 204)
    stages = {name for name in pair if name.endswith("_ms")}
    assert stages >= {"look_up_ms", "claim_ms", "call_ms", "frame_ms", "record_ms", "webhook_ms"}
    assert all(isinstance(pair[name], float) and pair[name] >= 0 for name in stages)
    (end,) = printed(invocation, "invocation")
    assert (end["outcomes"], end["level"], end["request_id"]) == ("matched", "INFO", invocation.request_id)
    source = [each for each in cloud.log if each.source == invocation.instance and each.at >= invocation.at]
    count = Counter(each.service for each in source)
    assert end["cos_requests"] == count["cos"]
    assert end["api_requests"] == count["faceid"] == 1
    assert end["best_frame_requests"] == count["faceid-files"] == 1
    assert end["webhook_requests"] == 1
    assert end["duration_ms"] >= pair["call_ms"]


def test_an_invocation_that_fails_says_so_in_its_line(livepair: Livepair, capsys: Any) -> None:
    """With the error and the request that was refused."""
    livepair.cloud.faults.add("PutObject", then=refuse(503, "ServiceUnavailable"), times=None)
    livepair.put(LIVE, samples.live())
    with pytest.raises(CosError):
        livepair.run()
    (end,) = lines(capsys, "invocation")
    assert end["level"] == "ERROR"
    assert "could not write" in end["error"]
    assert "request id" in end["error"]


RACES = 4
"""Times 5 kinds; each is another pair in one cloud. The simulation tries many thousands."""


@pytest.mark.parametrize("order", ["together", "image first", "live first", "twice", "one second apart"])
def test_both_halves_at_once_are_one_call_and_one_message(cloud: Cloud, code: Path, order: str) -> None:
    """Two real instances see the pair complete at the same moment; four where events come twice.

    Then the bucket also tells two writers that they came first.
    """
    cloud.deploy(code)
    bucket = cloud.cos.bucket(cloud.bucket)
    bucket.two_winners = order == "twice"
    for number in range(RACES):
        cloud.scf.hold()
        bucket.put(f"uploads/{number}/image.jpg", samples.image(seed=number))
        if order == "one second apart":
            cloud.clock.advance(1)
        bucket.put(f"uploads/{number}/live.gz", samples.live(seed=number))
        gate = Gate()
        held = cloud.faults.add("HeadObject", key=f"uploads/{number}/*", then=hold_answer(gate), times=None)
        copies = 2 if order == "twice" else 1
        reverse = order == "live first"
        cloud.scf.release(
            lambda events, copies=copies, reverse=reverse: (  # type: ignore[misc]
                sorted(events * copies, key=_key, reverse=reverse)
            )
        )
        gate.wait_reached(2 * copies + 2 * copies)
        gate.release()
        cloud.faults.remove(held)
        cloud.scf.wait_idle()
    assert len({each.instance for each in cloud.scf.invocations}) >= 2
    assert all(each.ok for each in cloud.scf.invocations)
    compared = [call for call in cloud.faceid.calls if call.action == COMPARE]
    assert len(compared) == RACES
    assert len(cloud.consumer.attempts) == RACES
    told = [m["data"]["outcome"] for m in cloud.consumer.messages.values()]
    assert told == ["matched"] * RACES
    assert all(m["data"]["api"]["calls"] == 1 for m in cloud.consumer.messages.values())
    cloud.scf.advance_minutes(3)
    assert len(cloud.consumer.attempts) == RACES
    assert bucket.keys("livepair/agenda/") == []


def _key(event: dict[str, Any]) -> str:
    key: str = event["Records"][0]["cos"]["cosObject"]["key"]
    return key
