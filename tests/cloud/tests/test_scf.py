"""The function platform of the local cloud: what it promises to the tests that use it."""

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.clock import Clock
from tests.cloud.cos_sign import Account
from tests.cloud.faults import Faults
from tests.cloud.function import DAILY
from tests.cloud.proxy import Proxy
from tests.cloud.scf import Function, Invocation, Scf, bundle
from tests.support.project import PROJECT


class Bucket:
    """Where the platform hears of uploads: stands in for the local COS."""

    def __init__(self) -> None:
        self.on_event: list[Callable[[dict[str, Any]], None]] = []

    def upload(self, key: str, name: str = "cos:ObjectCreated:Put") -> None:
        event = upload_event(key, name)
        for callback in self.on_event:
            callback(event)


def upload_event(key: str, name: str = "cos:ObjectCreated:Put") -> dict[str, Any]:
    return {
        "Records": [
            {
                "cos": {
                    "cosBucket": {"appid": "1250000000", "name": "faces", "region": "sg"},
                    "cosObject": {"key": f"/1250000000/faces/{key}", "size": 3},
                },
                "event": {"eventName": name, "eventTime": 1795348800, "reqid": 0},
            }
        ]
    }


class World:
    """The platform with everything it hangs on, and a folder for functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.faults = Faults()
        self.proxy = Proxy([], self.faults, self.clock)
        self.proxy.start()
        self.bucket = Bucket()
        self.accounts: dict[str, Account] = {}
        self.scf = Scf(self.proxy, self.clock, self.accounts, self.bucket)

    def deploy(self, source: str, **settings: Any) -> Scf:
        """Deploy a function whose index.py is `source`."""
        name = settings.get("name", "livepair")
        code = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        code.mkdir()
        (code / "index.py").write_text(textwrap.dedent(source))
        self.scf.deploy(Function(code=code, **settings))
        return self.scf

    def close(self) -> None:
        self.scf.stop()
        self.proxy.stop()
        self.clock.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


ECHO = """
    def main_handler(event, context):
        return event
"""

GATE = """
    import os, pathlib, time
    def main_handler(event, context):
        (pathlib.Path(os.environ["GATE"]) / f"in-{event['n']}").touch()
        while not (pathlib.Path(os.environ["GATE"]) / "open").exists():
            time.sleep(0.005)
        return event["n"]
"""


def statuses(scf: Scf) -> list[str]:
    return [invocation.status for invocation in scf.invocations]


def test_a_function_is_given_the_event_and_its_result_comes_back(world: World) -> None:
    """An invocation hands over the event as it is and tells what was returned."""
    scf = world.deploy(ECHO)
    invocation = scf.invoke({"käse": [1, None, "\0"]})
    assert (invocation.status, invocation.result) == ("ok", {"käse": [1, None, "\0"]})
    assert invocation.kind == "other"


@pytest.mark.parametrize(
    ("loading", "name", "file"), [("path", "", "{code}/index.py"), ("name", "index", "./index.py")]
)
def test_the_entry_file_is_loaded_in_one_of_two_ways(
    world: World, loading: str, name: str, file: str
) -> None:
    """As the emulator has it, by path and under no name; as Python 3.10 there has it, the module `index`."""
    scf = world.deploy(
        """
        import os, sys
        import helper
        HERE = sys.modules.get("index")
        def main_handler(event, context):
            index = HERE is not None and HERE.main_handler is main_handler
            file = main_handler.__code__.co_filename
            return [__name__, file, index, sys.path[0] == os.getcwd(), helper.VALUE, sys.argv[1:]]
        """,
        loading=loading,
    )
    code = scf._functions["livepair"].code
    (code / "helper.py").write_text("VALUE = 7")
    expected = [name, file.format(code=code), bool(name), True, 7, []]
    assert scf.invoke({}).result == expected
    assert not (code / "__pycache__").exists()


def test_nothing_of_the_local_cloud_can_be_imported_by_a_function(world: World) -> None:
    """The platform's own modules are not on a function's path."""
    scf = world.deploy("""
        import importlib.util
        def main_handler(event, context):
            return [importlib.util.find_spec(each) for each in ("scf", "instance", "tests")]
    """)
    assert scf.invoke({}).result == [None] * 3


def test_a_function_sees_a_clean_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaks from the tests' process; the platform's and the user's variables are there."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SECRET_OF_THE_HOST", "leaked")
    scf = world.deploy(
        """
        import os
        def main_handler(event, context):
            return dict(os.environ)
        """,
        environment={"BUCKET": "faces-1250000000"},
    )
    environment = scf.invoke({}).result
    assert "HTTP_PROXY" not in environment
    assert "SECRET_OF_THE_HOST" not in environment
    assert environment["BUCKET"] == "faces-1250000000"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["TENCENTCLOUD_REGION"] == "ap-singapore"
    assert environment["LOCAL_CLOUD"].startswith("http://127.0.0.1:")
    assert environment["LOCAL_CLOUD"] != world.proxy.url


def test_credentials_are_new_for_every_invocation_and_absent_while_loading(world: World) -> None:
    """Who reads them at import gets none; who keeps them has those of an earlier invocation."""
    scf = world.deploy("""
        import os
        AT_IMPORT = os.environ.get("TENCENTCLOUD_SECRETID")
        def main_handler(event, context):
            names = ("SECRETID", "SECRETKEY", "SESSIONTOKEN")
            return [AT_IMPORT, *(os.environ["TENCENTCLOUD_" + name] for name in names)]
    """)
    first, second = scf.invoke({}).result, scf.invoke({}).result
    assert first[0] is second[0] is None
    assert first[1] != second[1]
    account = world.accounts[second[1]]
    assert (account.secret_key, account.token) == (second[2], second[3])
    assert account.expires is not None
    assert account.expires > world.clock.now()


def test_the_context_is_a_dict_with_the_documented_fields(world: World) -> None:
    """No remaining-time call, no retry counter: only these."""
    scf = world.deploy(
        """
        def main_handler(event, context):
            return context
        """,
        timeout=7,
        memory=128,
    )
    invocation = scf.invoke({})
    context = invocation.result
    assert sorted(context) == [
        "environ",
        "environment",
        "function_name",
        "function_version",
        "memory_limit_in_mb",
        "namespace",
        "request_id",
        "tencentcloud_appid",
        "tencentcloud_region",
        "tencentcloud_uin",
        "time_limit_in_ms",
    ]
    assert context["time_limit_in_ms"] == 7000
    assert context["memory_limit_in_mb"] == 128
    assert context["request_id"] == invocation.request_id
    assert isinstance(json.loads(context["environment"]), dict)


def test_an_idle_instance_is_used_again(world: World) -> None:
    """The second invocation is warm: same process, same module state."""
    scf = world.deploy("""
        import os
        SEEN = []
        def main_handler(event, context):
            SEEN.append(event["n"])
            return [os.getpid(), SEEN]
    """)
    first, second = scf.invoke({"n": 1}), scf.invoke({"n": 2})
    assert (first.cold, second.cold) == (True, False)
    assert first.result[0] == second.result[0]
    assert second.result[1] == [1, 2]
    scf.recycle()
    assert scf.invoke({"n": 3}).cold


def test_events_at_once_get_an_instance_each(world: World, tmp_path: Path) -> None:
    """An instance serves one event at a time; while it is busy another one starts."""
    gate = tmp_path / "gate"
    gate.mkdir()
    scf = world.deploy(GATE, environment={"GATE": str(gate)})
    for n in range(4):
        scf.invoke_async({"n": n})
    scf.wait_for(lambda: len(list(gate.glob("in-*"))) == 4)
    (gate / "open").touch()
    scf.wait_idle()
    assert {each.result for each in scf.invocations} == {0, 1, 2, 3}
    assert len({each.instance for each in scf.invocations}) == 4


def test_no_more_instances_than_allowed(world: World, tmp_path: Path) -> None:
    """What comes above max_instances waits in the queue."""
    gate = tmp_path / "gate"
    gate.mkdir()
    scf = world.deploy(GATE, environment={"GATE": str(gate)}, max_instances=2)
    for n in range(5):
        scf.invoke_async({"n": n})
    scf.wait_for(lambda: len(list(gate.glob("in-*"))) == 2)
    assert len(scf.instances) == 2
    (gate / "open").touch()
    scf.wait_idle()
    assert sorted(each.result for each in scf.invocations) == [0, 1, 2, 3, 4]
    assert len({each.instance for each in scf.invocations}) == 2


def test_an_exception_is_reported_and_leaves_the_instance_alive(world: World) -> None:
    """A raised exception is an error with its traceback; the next event is served warm."""
    scf = world.deploy("""
        def main_handler(event, context):
            if event.get("bad"):
                raise KeyError("so nicht")
            return "ok"
    """)
    failed = scf.invoke({"bad": True})
    assert failed.status == "error"
    assert failed.error is not None
    assert "KeyError: 'so nicht'" in failed.error
    after = scf.invoke({})
    assert (after.result, after.cold) == ("ok", False)


@pytest.mark.parametrize("returned", ["{1, 2}", "b'bytes'", "object()"])
def test_what_json_cannot_say_cannot_be_returned(world: World, returned: str) -> None:
    """A return value that is not JSON-serialisable fails the invocation."""
    scf = world.deploy(f"""
        def main_handler(event, context):
            return {returned}
    """)
    assert scf.invoke({}).status == "error"


def test_code_that_cannot_be_loaded_fails_the_invocation(world: World) -> None:
    """A faulty import is reported as what it is."""
    scf = world.deploy("import no_such_module_anywhere\n")
    invocation = scf.invoke({})
    assert invocation.status == "error"
    assert "no_such_module_anywhere" in (invocation.error or "")
    assert scf.instances == []


def test_a_failed_event_is_tried_three_times_a_minute_apart(world: World) -> None:
    """Two retries on the cloud's clock, with the same request id; then the event is dropped."""
    scf = world.deploy("""
        def main_handler(event, context):
            raise RuntimeError(context["request_id"])
    """)
    request_id = scf.invoke_async({})
    scf.wait_idle()
    assert [each.attempt for each in scf.invocations] == [1]
    world.clock.advance(55)
    scf.wait_idle()
    assert [each.attempt for each in scf.invocations] == [1]
    world.clock.advance(5)
    scf.wait_idle()
    assert [each.attempt for each in scf.invocations] == [1, 2]
    assert scf.retries == 1
    world.clock.advance(60)
    scf.wait_idle()
    world.clock.advance(600)
    scf.wait_idle()
    assert [each.attempt for each in scf.invocations] == [1, 2, 3]
    assert {each.request_id for each in scf.invocations} == {request_id}
    assert all(request_id in (each.error or "") for each in scf.invocations)
    assert scf.retries == 0


@pytest.mark.parametrize("settings", [{"retries": 0}, {"async_run": True}])
def test_a_function_can_have_no_retries(world: World, settings: dict[str, Any]) -> None:
    """By its own configuration, or in the other mode of running: then the event is dropped at once."""
    scf = world.deploy("def main_handler(event, context): raise ValueError('no')", **settings)
    scf.invoke_async({"n": 1})
    scf.wait_idle()
    assert scf.retries == 0
    assert statuses(scf) == ["error"]


def test_a_synchronous_invocation_is_not_retried(world: World) -> None:
    """Who invokes synchronously is told of the failure instead."""
    scf = world.deploy("def main_handler(event, context): raise RuntimeError\n")
    scf.invoke({})
    world.clock.advance(61)
    scf.wait_idle()
    assert len(scf.invocations) == 1


def test_the_time_limit_kills_the_instance(world: World) -> None:
    """Too slow is "Invocation timed out", what was printed is kept, and the next start is cold."""
    scf = world.deploy(
        """
        import time
        def main_handler(event, context):
            print("started")
            if event.get("slow"):
                time.sleep(60)
        """,
        timeout=0.3,
    )
    slow = scf.invoke({"slow": True})
    assert slow.status == "timeout"
    assert "Invocation timed out" in (slow.error or "")
    assert slow.log == ["started"]
    assert scf.instances == []
    after = scf.invoke({})
    assert (after.status, after.cold) == ("ok", True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_memory_limit_kills_the_instance(world: World) -> None:
    """More memory than deployed for is fatal, even where it was given back at once."""
    scf = world.deploy(
        """
        def main_handler(event, context):
            return len(bytes(b"x") * event["mb"] * 1024 * 1024)
        """,
        memory=128,
    )
    assert scf.invoke({"mb": 10}).ok
    assert scf.invoke({"mb": 200}).status == "memory"
    assert scf.instances == []


@pytest.mark.parametrize("way", ["os._exit(3)", "sys.exit(3)"])
def test_exit_ends_the_instance(world: World, way: str) -> None:
    """A function that ends its process fails the invocation, and is retried like any failure."""
    scf = world.deploy(f"""
        import os, sys
        def main_handler(event, context):
            print("last words")
            {way}
    """)
    scf.invoke_async({})
    scf.wait_idle()
    (invocation,) = scf.invocations
    assert invocation.status == "exit"
    assert "with code 3" in (invocation.error or "")
    assert invocation.log == ["last words"]
    assert scf.retries == 1


def test_a_killed_instance_fails_its_invocation_and_the_retry_starts_cold(
    world: World, tmp_path: Path
) -> None:
    """SIGKILL in the middle of an event: the event comes again on a new instance."""
    gate = tmp_path / "gate"
    gate.mkdir()
    scf = world.deploy(GATE, environment={"GATE": str(gate)})
    scf.invoke_async({"n": 0})
    scf.wait_for(lambda: (gate / "in-0").exists())
    (name,) = scf.instances
    scf.kill(name)
    scf.wait_idle()
    assert statuses(scf) == ["exit"]
    (gate / "open").touch()
    world.clock.advance(60)
    scf.wait_idle()
    assert statuses(scf) == ["exit", "ok"]
    assert [each.cold for each in scf.invocations] == [True, True]
    scf.kill(name)


def test_an_idle_instance_that_is_killed_is_not_used_again(world: World) -> None:
    """The next event starts cold."""
    scf = world.deploy(ECHO)
    scf.invoke({})
    scf.kill(scf.instances[0])
    assert scf.invoke({"n": 1}).result == {"n": 1}
    assert [each.cold for each in scf.invocations] == [True, True]
    assert len(scf.instances) == 1


def test_log_lines_belong_to_their_invocation_in_order(world: World) -> None:
    """stdout and stderr, a last line without its end, and what was printed while loading."""
    scf = world.deploy("""
        import os, sys
        print("loading")
        def main_handler(event, context):
            print("one", event["n"])
            print("two", file=sys.stderr)
            os.write(1, b"raw\\n")
            print("three", end="")
    """)
    first, second = scf.invoke({"n": 1}), scf.invoke({"n": 2})
    assert first.log == ["loading", "one 1", "two", "raw", "three"]
    assert second.log == ["one 2", "two", "raw", "three"]
    assert scf.logs() == first.log + second.log


def test_the_root_logger_prints_from_debug_upwards(world: World) -> None:
    """As the published runtime has it: whoever does not take care prints secrets."""
    scf = world.deploy("""
        import logging
        def main_handler(event, context):
            logging.getLogger("some.library").debug("secret")
    """)
    assert scf.invoke({}).log == ["secret"]


def test_the_instances_clock_is_the_clouds(world: World) -> None:
    """Also for what is loaded cold later, for a warm instance, and for one in mid-event."""
    source = """
        import datetime, os, pathlib, time
        AT_IMPORT = time.time()
        def main_handler(event, context):
            before = time.time()
            if event.get("wait"):
                pathlib.Path(event["wait"]).touch()
                end = time.monotonic() + 30
                while time.time() < before + 1800 and time.monotonic() < end:
                    time.sleep(0.005)
            return [AT_IMPORT, before, time.time()]
    """
    scf = world.deploy(source)
    start = world.clock.timestamp()
    assert scf.invoke({}).result[0] == pytest.approx(start, abs=60)
    world.clock.advance(3600)
    assert scf.invoke({}).result[1] == pytest.approx(start + 3600, abs=60)
    waiting = world.folder / "waiting"
    scf.invoke_async({"wait": str(waiting)})
    scf.wait_for(waiting.exists)
    world.clock.advance(7200)
    scf.wait_idle()
    assert scf.invocations[-1].result[2] == pytest.approx(start + 10800, abs=60)
    scf.recycle()
    assert scf.invoke({}).result[0] == pytest.approx(start + 10800, abs=60)


def test_the_environment_is_checked_when_deploying(world: World) -> None:
    """All faults in one error: reserved names, size, limits."""
    with pytest.raises(ValueError, match=r"SCF_X.*4 KB.*timeout.*memory.*dot") as error:
        world.deploy(
            ECHO,
            environment={"SCF_X": "1", "LONG": "x" * 5000},
            timeout=901,
            memory=100,
            suffix="gz",
        )
    assert "TENCENTCLOUD_" in str(error.value)


def test_an_asynchronous_event_may_have_128_kb(world: World) -> None:
    """One byte more is refused by the platform."""
    scf = world.deploy("def main_handler(event, context): return len(event['x'])\n")
    frame = len(json.dumps({"x": ""}))
    scf.invoke_async({"x": "y" * (128 * 1024 - frame)})
    scf.wait_idle()
    assert scf.invocations[0].result == 128 * 1024 - frame
    with pytest.raises(ValueError, match="128 KB"):
        scf.invoke_async({"x": "y" * (128 * 1024 - frame + 1)})


def test_work_left_in_threads_does_not_go_on(world: World) -> None:
    """A frozen instance does nothing until its next event; `freeze=False` lets threads run."""
    source = """
        import pathlib, threading, time
        def later(path):
            time.sleep(0.5)
            pathlib.Path(path).touch()
        def main_handler(event, context):
            threading.Thread(target=later, args=(event["path"],), daemon=True).start()
    """
    frozen = world.folder / "frozen"
    running = world.folder / "running"
    world.deploy(source, name="frozen")
    world.deploy(source, name="running", freeze=False)
    world.scf.invoke({"path": str(frozen)}, "frozen")
    world.scf.invoke({"path": str(running)}, "running")
    world.scf.wait_for(running.exists)
    assert not frozen.exists()


def test_the_cos_trigger_filters_by_bucket_prefix_suffix_and_kind(world: World) -> None:
    """Only created objects under the prefix with the suffix wake the function."""
    scf = world.deploy(ECHO, bucket="faces-1250000000", prefix="uploads/", suffix=".gz")
    world.deploy(ECHO, name="other", bucket="others-1250000000")
    world.bucket.upload("uploads/1/live.gz")
    world.bucket.upload("uploads/1/image.jpg")
    world.bucket.upload("elsewhere/live.gz")
    world.bucket.upload("uploads/2/live.gz", "cos:ObjectRemove:Delete")
    world.bucket.upload("uploads/3/live.gz", "cos: ObjectCreated:CompleteMultipartUpload")
    scf.wait_idle()
    keys = [each.event["Records"][0]["cos"]["cosObject"]["key"] for each in scf.invocations]
    assert sorted(keys) == [f"/1250000000/faces/uploads/{n}/live.gz" for n in (1, 3)]
    assert {each.kind for each in scf.invocations} == {"cos"}


def keys_of(invocations: list[Invocation]) -> list[str]:
    return [
        record["cos"]["cosObject"]["key"].rpartition("/")[2]
        for each in invocations
        for record in each.event["Records"]
    ]


def test_events_can_be_duplicated_and_dropped(world: World) -> None:
    """By count and by key; a duplicate has a request id of its own."""
    scf = world.deploy(ECHO, bucket="faces-1250000000")
    scf.duplicate(3, key="*/b")
    scf.drop(key="*/c")
    for key in ("a", "b", "c", "b", "c"):
        world.bucket.upload(f"uploads/{key}")
    scf.wait_idle()
    assert sorted(keys_of(scf.invocations)) == ["a", "b", "b", "b", "b", "c"]
    assert len({each.request_id for each in scf.invocations}) == 6


def test_events_can_be_held_and_released_in_another_order(world: World) -> None:
    """Held events reach nobody; `release` delivers them as told, or merged into one event."""
    scf = world.deploy(ECHO, bucket="faces-1250000000", max_instances=1)
    scf.hold()
    for key in "abc":
        world.bucket.upload(key)
    scf.wait_idle()
    assert scf.invocations == []
    assert len(scf.held) == 3
    scf.release(lambda events: reversed(events))
    scf.wait_idle()
    assert keys_of(scf.invocations) == ["c", "b", "a"]
    scf.hold()
    for key in "de":
        world.bucket.upload(key)
    scf.release(merge=True)
    world.bucket.upload("f")
    scf.wait_idle()
    assert keys_of(scf.invocations[3:]) == ["d", "e", "f"]
    assert len(scf.invocations) == 5


def test_the_timer_fires_at_second_0_of_each_minute(world: World) -> None:
    """Each minute that passes brings one Timer event with that minute's time."""
    scf = world.deploy(ECHO, timer=True, timer_message="reconcile")
    world.deploy(ECHO, name="without")
    scf.advance_minutes(3)
    events = [each.event for each in scf.invocations]
    assert [sorted(event) for event in events] == [["Message", "Time", "TriggerName", "Type"]] * 3
    minutes = [event["Time"] for event in events]
    assert all(minute.endswith(":00Z") for minute in minutes)
    assert len(set(minutes)) == 3
    assert minutes[-1] == world.clock.now().strftime("%Y-%m-%dT%H:%M:00Z")
    assert {event["Message"] for event in events} == {"reconcile"}
    assert {each.kind for each in scf.invocations} == {"timer"}


def test_the_background_timer_fires_by_itself(world: World) -> None:
    """Once started, entering a minute is enough, and retries run when they are due."""
    scf = world.deploy(
        """
        def main_handler(event, context):
            if event["Type"] == "Failing":
                raise RuntimeError
        """,
        timer=True,
    )
    scf.start_timer()
    scf.invoke_async({"Type": "Failing"})
    scf.wait_idle()
    world.clock.advance(61)
    scf.wait_for(lambda: any(each.kind == "timer" for each in scf.invocations))
    scf.wait_for(lambda: any(each.attempt == 2 for each in scf.invocations))


def test_a_retry_that_falls_due_by_itself_is_not_waited_for_in_vain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody moves the clock and no timer runs: who waits for the platform starts what is due."""
    monkeypatch.setattr("tests.cloud.scf.RETRY_AFTER", 0.05)
    scf = world.deploy("def main_handler(event, context): raise RuntimeError\n")
    scf.invoke_async({})
    while len(scf.invocations) < 3:
        scf.wait_idle(timeout=10)
    assert [each.attempt for each in scf.invocations] == [1, 2, 3]


def test_a_function_has_the_triggers_it_was_deployed_with(world: World) -> None:
    """Named and described as the platform's API tells of them."""
    scf = world.deploy(
        ECHO,
        bucket="faces-1250000000",
        prefix="uploads/",
        suffix=".gz",
        timer=True,
        timer_message="sweep",
        reconcile=DAILY,
    )
    assert [(each.type, each.name, each.desc, each.argument) for each in scf.triggers()] == [
        (
            "cos",
            "faces-1250000000.cos.ap-singapore.myqcloud.com",
            '{"event":"cos:ObjectCreated:*","filter":{"Prefix":"uploads/","Suffix":".gz"}}',
            "",
        ),
        ("timer", "livepair-sweep", '{"cron":"0 * * * * * *"}', "sweep"),
        ("timer", "livepair-reconcile", '{"cron":"30 17 3 * * * *"}', "reconcile"),
    ]
    for nonsense in ("daily", "0 */0 * * * * *", "0 17 3 * * *"):
        with pytest.raises(ValueError, match="no cron expression"):
            world.deploy(ECHO, reconcile=nonsense)


def test_a_daily_timer_fires_once_a_day(world: World) -> None:
    """At 03:17 in the time of China, with its own name and message."""
    scf = world.deploy(ECHO, reconcile=DAILY)
    now = world.clock.now()
    before = now.replace(hour=19, minute=16, second=0, microsecond=0)
    world.clock.advance((before - now).total_seconds() % 86400)
    scf.advance_minutes(3)
    (fired,) = scf.invocations
    assert (fired.event["TriggerName"], fired.event["Message"]) == ("livepair-reconcile", "reconcile")
    assert fired.event["Time"].endswith("T19:17:00Z")
    scf.fire("livepair-reconcile")
    scf.wait_idle()
    assert [each.event["Message"] for each in scf.invocations] == ["reconcile", "reconcile"]


def test_a_trigger_that_is_switched_off_or_removed_wakes_nobody(world: World) -> None:
    """Neither uploads nor minutes do; deploying anew brings all of them back."""
    scf = world.deploy(ECHO, bucket="faces-1250000000", timer=True)
    cos, timer = (each.name for each in scf.triggers())
    scf.switch_trigger(cos, False)
    scf.remove_trigger(timer)
    world.bucket.upload("uploads/1/live.gz")
    scf.advance_minutes(1)
    assert [(each.name, each.enabled) for each in scf.triggers()] == [(cos, False)]
    assert scf.invocations == []
    scf.switch_trigger(cos, True)
    world.bucket.upload("uploads/2/live.gz")
    scf.wait_idle()
    assert [each.kind for each in scf.invocations] == ["cos"]
    with pytest.raises(KeyError):
        scf.switch_trigger(timer, True)
    world.deploy(ECHO, bucket="faces-1250000000", timer=True)
    assert [each.name for each in scf.triggers()] == [cos, timer]


def test_waiting_in_vain_says_what_is_still_there(world: World, tmp_path: Path) -> None:
    """The error names the invocation that runs, its event, and what it printed last."""
    gate = tmp_path / "gate"
    gate.mkdir()
    scf = world.deploy("print('hello')\n" + textwrap.dedent(GATE), environment={"GATE": str(gate)})
    scf.invoke_async({"n": 5})
    scf.wait_for(lambda: (gate / "in-5").exists() and scf.logs() == ["hello"])
    with pytest.raises(TimeoutError, match=r'(?s)running: other.*"n": 5.*hello'):
        scf.wait_idle(0.0)
    (gate / "open").touch()
    scf.wait_idle()


def test_deploying_again_replaces_the_code(world: World) -> None:
    """The next invocation runs the new code, on a new instance."""
    world.deploy("def main_handler(event, context): return 1\n")
    assert world.scf.invoke({}).result == 1
    world.deploy("def main_handler(event, context): return 2\n")
    assert world.scf.invoke({}).result == 2
    assert len(world.scf.instances) == 1


def test_a_bundle_has_the_entry_file_at_its_root(world: World, tmp_path: Path) -> None:
    """index.py at the root imports absolutely from handler/ beside it, in a read-only folder."""
    package = tmp_path / "project" / "handler"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "words.py").write_text("WORD = 'found'")
    (package / "index.py").write_text(
        "from handler.words import WORD\ndef main_handler(event, context): return WORD\n"
    )
    folder = bundle(tmp_path / "project", tmp_path / "bundle")
    assert not (folder / "handler" / "__pycache__").exists()
    for path in [folder, folder / "handler"]:
        path.chmod(0o555)
    world.scf.deploy(Function(code=folder))
    assert world.scf.invoke({}).result == "found"


def test_stopping_leaves_no_process_behind(world: World, tmp_path: Path) -> None:
    """Busy and frozen instances end with the platform, and nobody waits for ever."""
    gate = tmp_path / "gate"
    gate.mkdir()
    scf = world.deploy(GATE, environment={"GATE": str(gate)})
    world.deploy("import os\ndef main_handler(event, context): return os.getpid()\n", name="idle")
    idle = scf.invoke({}, "idle").result
    results: list[Invocation] = []
    waiter = threading.Thread(target=lambda: results.append(scf.invoke({"n": 1}, "livepair")))
    waiter.start()
    scf.wait_for(lambda: (gate / "in-1").exists())
    scf.stop()
    waiter.join()
    assert [each.status for each in results] == ["exit"]
    assert scf.instances == []
    with pytest.raises(ProcessLookupError):
        os.kill(idle, 0)
    with pytest.raises(RuntimeError, match="stopped"):
        scf.invoke({}, "idle")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal on a closing pipe")
def test_instances_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Even frozen ones, even where that process is killed."""
    (tmp_path / "index.py").write_text("import os\ndef main_handler(event, context): return os.getpid()\n")
    script = tmp_path / "platform_process.py"
    script.write_text(
        textwrap.dedent(f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(PROJECT)!r})
        from tests.cloud.tests.test_scf import Function, World
        (pathlib.Path({str(tmp_path)!r}) / "functions").mkdir()
        world = World(pathlib.Path({str(tmp_path)!r}) / "functions")
        world.scf.deploy(Function(code=pathlib.Path({str(tmp_path)!r})))
        print(world.scf.invoke({{}}).result, flush=True)
        time.sleep(60)
        """)
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as platform:
        assert platform.stdout is not None
        instance = int(platform.stdout.readline())
        descriptor = os.pidfd_open(instance)
        platform.send_signal(signal.SIGKILL)
    try:
        assert select.select([descriptor], [], [], 10)[0]
    finally:
        os.close(descriptor)
