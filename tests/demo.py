"""`make demo`: the main job, shown. Real uploads, the real function, a local Tencent Cloud, a real consumer.

Exits 0 only if every outcome, every number of API calls and every signature is what it should be.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import requests
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from handler.cli import deployment as operator
from handler.cli.output import Output
from handler.cli.report.facts import Report
from handler.cli.report.read import Period
from handler.cli.report.reckon import OUTCOMES, Reckoning
from handler.cli.report.run import Asked, make
from handler.cli.report.text import headlines
from tests.cloud import Cloud, samples
from tests.cloud.app import App
from tests.cloud.faults import Operation
from tests.cloud.scf import bundle
from tests.derive import samples as samples_of_messages
from tests.support.backend import Backend
from tests.support.project import PROJECT

FACES, ATTEMPTS, RELAY = "faces-1250000000", "attempts-1250000000", "relay-1250000000"
STATE = "state-1250000000"
PAIR_TIMEOUT = 3600
FROM_AN_APP = "an app, the whole way"
PATIENCE = 60.0  # real seconds without news after which the demo gives up
WARM = 2  # instances of each function that are started first, one for each half of a pair
FILE_WIDTH = 200  # columns of what is no terminal: nothing is wrapped

FUNCTIONS = {
    FACES: {"IMAGE_KEY": "uploads/{id}/image.jpg, uploads/{id}/image.png"},
    ATTEMPTS: {"LIVE_KEY": "uploads/{user}/{attempt}/live.gz", "IMAGE_KEY": "uploads/{user}/face.jpg"},
    RELAY: {"PASS_RESOURCES": "upload_url"},
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """How one bucket's function is deployed beside its settings: a state bucket, and what its role may."""

    state_bucket: str = STATE
    may: Callable[[Operation], bool] | None = None

    def settings(self) -> dict[str, str]:
        return {"STATE_BUCKET": self.state_bucket}

    def agenda(self, bucket: str) -> tuple[str, str]:
        """The bucket and the prefix of the agenda."""
        return self.state_bucket, f"livepair/{bucket}/agenda/"


SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")

PLAIN = {bucket: Deployment() for bucket in FUNCTIONS}


@dataclass(frozen=True, slots=True)
class Expected:
    """One outcome that has to arrive, for the pair with these placeholder values."""

    pair: tuple[str, ...]
    outcome: str
    code: str | None = None
    calls: int = 1


@dataclass(slots=True)
class Scenario:
    """Uploads, and what has to come of them."""

    shows: str
    bucket: str
    uploads: Callable[[Uploads], None]
    expected: list[Expected]
    began: float = 0.0
    arrived: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    took: dict[tuple[str, ...], float] = field(default_factory=dict)


class Uploads:
    """Puts objects with the real COS SDK, and remembers whose live package is whose."""

    def __init__(self, cloud: Cloud, bucket: str, app: App | None = None) -> None:
        self.cloud, self.bucket, self.app = cloud, bucket, app

    def put(self, key: str, data: bytes) -> None:
        self.cloud.uploader.put_object(Bucket=self.bucket, Key=key, Body=data)

    def pair(self, name: str, live: bytes, image: bytes, image_name: str = "image.jpg") -> None:
        """As the front page says: the backend places the image, the device has a link for one PUT."""
        self.put(f"uploads/{name}/{image_name}", image)
        self.cloud.upload_by_link(f"uploads/{name}/live.gz", live, self.bucket)

    def at_once(self, *objects: tuple[str, bytes]) -> None:
        threads = [threading.Thread(target=self.put, args=item) for item in objects]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def multipart(self, key: str, data: bytes) -> None:
        client, half = self.cloud.uploader, len(data) // 2
        upload = client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        parts = []
        for number, piece in enumerate((data[:half], data[half:]), 1):
            etag = client.upload_part(self.bucket, key, piece, number, upload)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        client.complete_multipart_upload(self.bucket, key, upload, {"Part": parts})


def _scenarios() -> list[Scenario]:
    ok, seeds = samples.image(), iter(range(1, 1000))

    def live(**content: Any) -> bytes:
        return samples.live(seed=next(seeds), **content)

    def simple(
        shows: str, name: str, package: bytes, outcome: str, code: str | None, image: bytes = ok
    ) -> Scenario:
        return Scenario(
            shows, FACES, lambda up: up.pair(name, package, image), [Expected((name,), outcome, code)]
        )

    def live_first(up: Uploads) -> None:
        up.put("uploads/live-first/live.gz", live())
        up.put("uploads/live-first/image.jpg", ok)

    def both(up: Uploads) -> None:
        up.at_once(("uploads/both/live.gz", live()), ("uploads/both/image.jpg", ok))

    def in_parts(up: Uploads) -> None:
        up.put("uploads/parts/image.jpg", ok)
        up.multipart("uploads/parts/live.gz", live(pad=3_000_000))

    def attempts(up: Uploads) -> None:
        up.put("uploads/ada/face.jpg", ok)
        up.put("uploads/ada/1/live.gz", live(error="FailedOperation.SilentTooShort"))
        up.put("uploads/ada/2/live.gz", live(sim=41.5))
        up.put("uploads/ada/3/live.gz", live(sim=97.2))

    def oversized(up: Uploads) -> None:
        up.cloud.cos.bucket(FACES).put_synthetic("uploads/too-large/live.gz", 60_000_000)
        up.put("uploads/too-large/image.jpg", ok)

    def repeated(up: Uploads) -> None:
        up.cloud.scf.duplicate(3, key="*repeated/live.gz")
        up.pair("repeated", live(), ok)

    def from_an_app(up: Uploads) -> None:
        assert up.app is not None
        begun = up.app.begin(ok)
        filmed.expected[:] = [Expected((begun["id"],), "matched")]
        if up.app.upload(begun, up.app.film(begun)) != 200:
            raise RuntimeError("the app could not upload")

    filmed = Scenario(FROM_AN_APP, FACES, from_an_app, [Expected(("chosen by the backend",), "matched")])

    return [
        simple("image first", "image-first", live(), "matched", None),
        Scenario("live package first", FACES, live_first, [Expected(("live-first",), "matched")]),
        Scenario("both at once", FACES, both, [Expected(("both",), "matched")]),
        simple(
            "another person (low Sim)", "low-sim", live(sim=12.5), "mismatched", "Livepair.BelowMinSimilarity"
        ),
        simple(
            "another person (code)",
            "low-code",
            live(error="InternalError.CompareLowSimilarity"),
            "mismatched",
            "InternalError.CompareLowSimilarity",
        ),
        simple(
            "fake (Result of a 200)",
            "spoof",
            live(result="FailedOperation.LivessDetectFake"),
            "rejected",
            "FailedOperation.LivessDetectFake",
        ),
        simple(
            "too dark (Error)",
            "dark",
            live(error="FailedOperation.ActionLightDark"),
            "rejected",
            "FailedOperation.ActionLightDark",
        ),
        simple(
            "blurred image", "blur", live(), "rejected", "FailedOperation.ImageBlur", samples.image("blur")
        ),
        simple(
            "several faces",
            "faces",
            live(error="FailedOperation.SilentMultiFaceFail"),
            "rejected",
            "FailedOperation.SilentMultiFaceFail",
        ),
        Scenario("multipart upload", FACES, in_parts, [Expected(("parts",), "matched")]),
        simple("key with spaces and CJK", "张 三 100%", live(), "matched", None),
        Scenario(
            ".png, not .jpg",
            FACES,
            lambda up: up.pair("png", live(), samples.image(format="png"), "image.png"),
            [Expected(("png",), "matched")],
        ),
        Scenario(
            "one image, 3 attempts",
            ATTEMPTS,
            attempts,
            [
                Expected(("ada", "1"), "rejected", "FailedOperation.SilentTooShort"),
                Expected(("ada", "2"), "mismatched", "Livepair.BelowMinSimilarity"),
                Expected(("ada", "3"), "matched"),
            ],
        ),
        Scenario(
            "oversized upload",
            FACES,
            oversized,
            [Expected(("too-large",), "rejected", "Livepair.LiveTooLarge", calls=0)],
        ),
        Scenario("event repeated 3 times", FACES, repeated, [Expected(("repeated",), "matched")]),
        Scenario(
            "through the relay",
            RELAY,
            lambda up: up.pair("relayed", live(), ok),
            [Expected(("relayed",), "matched")],
        ),
        filmed,
        Scenario(
            "half a pair for an hour",
            FACES,
            lambda up: up.put("uploads/half/live.gz", live()),
            [Expected(("half",), "incomplete", "Livepair.ImageMissing", calls=0)],
        ),
    ]


def _collect(cloud: Cloud, scenarios: Iterable[Scenario]) -> int:
    """Sort what has arrived to the scenarios; returns how much has."""
    by_pair = {(s.bucket, e.pair): s for s in scenarios for e in s.expected}
    count = 0
    for message in cloud.consumer.messages.values():
        data = message["data"]
        bucket = (data["live"] or data["image"])["bucket"]
        pair = tuple(data["pair"].values())
        scenario = by_pair.get((bucket, pair))
        if scenario is None:
            continue
        count += 1
        if pair not in scenario.arrived:
            scenario.arrived[pair] = data
            scenario.took[pair] = time.monotonic() - scenario.began
    return count


def _calls(cloud: Cloud) -> Counter[str]:
    """Executed calls by the live package's MD5."""
    return Counter(
        call.params["LiveDataMd5"]
        for call in cloud.faceid.calls
        if "LiveDataMd5" in call.params and call.executed
    )


def _table(calls: Mapping[str, int], scenarios: list[Scenario]) -> Table:
    """What became of each upload, by the calls for each live package. 80 columns hold it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("uploads", "outcome", "why", "calls", "after"):
        table.add_column(
            name,
            no_wrap=name == "uploads",
            overflow="fold",
            justify="right" if name in ("calls", "after") else "left",
        )
    for scenario in scenarios:
        for number, expected in enumerate(scenario.expected):
            data = scenario.arrived.get(expected.pair)
            shows = scenario.shows if number == 0 else f"  attempt {number + 1}"
            if data is None:
                table.add_row(shows, "…" if scenario.began else "")
                continue
            live = data["live"]
            made = calls.get(live["md5"], 0) if live else 0
            colour = "red" if _fault(expected, data, made) else "green"
            similarity = "" if data["similarity"] is None else f" {data['similarity']:.1f}"
            table.add_row(
                shows,
                f"[{colour}]{data['outcome']}[/]{similarity}",
                data["reason"]["code"].rpartition(".")[2] if data["reason"] else "",
                str(made),
                f"{scenario.took[expected.pair]:.1f} s",
            )
    return table


def _fault(expected: Expected, data: dict[str, Any], calls: int) -> str | None:
    found = (data["outcome"], data["reason"] and data["reason"]["code"], calls)
    wanted = (expected.outcome, expected.code, expected.calls)
    told = data["api"]["calls"] if data["api"] else 0
    if found != wanted:
        return f"expected outcome, code and calls {wanted}, found {found}"
    return None if told == calls else f"the message tells {told} calls, the API saw {calls}"


def _faults(cloud: Cloud, scenarios: list[Scenario], deployed: Mapping[str, Deployment]) -> list[str]:
    """Everything that is not as it should be."""
    faults = []
    calls = _calls(cloud)
    for scenario in scenarios:
        for expected in scenario.expected:
            data = scenario.arrived.get(expected.pair)
            where = f"{scenario.shows} ({'/'.join(expected.pair)})"
            if data is None:
                faults.append(f"{where}: no outcome arrived")
                continue
            md5 = data["live"]["md5"] if data["live"] else None
            fault = _fault(expected, data, calls[md5] if md5 else 0)
            if fault:
                faults.append(f"{where}: {fault}")
    wanted = sum(len(scenario.expected) for scenario in scenarios)
    if len(cloud.consumer.messages) != wanted:
        faults.append(f"expected {wanted} messages, {len(cloud.consumer.messages)} arrived")
    executed = sum(e.calls for scenario in scenarios for e in scenario.expected)
    if sum(calls.values()) != executed:
        faults.append(f"expected {executed} calls of the API, it executed {sum(calls.values())}")
    unsigned = [attempt for attempt in cloud.consumer.attempts if not attempt.verified]
    faults += [f"a message was not verified: {attempt.error}" for attempt in unsigned]
    faults += [f"{attempt.id} came with other bytes" for attempt in cloud.consumer.conflicts]
    schema = json.loads((PROJECT / "events" / "message.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for message in cloud.consumer.messages.values():
        faults += [f"{message['id']}: {error.message}" for error in validator.iter_errors(message)]
    agendas = [deployment.agenda(bucket) for bucket, deployment in deployed.items()]
    left = [key for bucket, prefix in agendas for key in cloud.cos.bucket(bucket).keys(prefix)]
    if left:
        faults.append(f"{len(left)} entries stayed on the agenda: {left[:3]}")
    return faults


def main() -> int:
    """Exits 0 if all came as expected, 1 if not, 130 where Ctrl-C ended it."""
    console = Console(highlight=False)
    try:
        return _shown(console)
    except KeyboardInterrupt:
        console.print("Ended.")
        return 130


def _shown(console: Console) -> int:
    return play(console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH))


def play(console: Console, deployed: Mapping[str, Deployment] = PLAIN) -> int:
    """Show the main job. Returns 0 if all came as expected; else what did not is printed."""
    scenarios = _scenarios()
    total = sum(len(scenario.expected) for scenario in scenarios)
    alone = 0.0
    with (
        TemporaryDirectory(prefix="livepair-demo-") as folder,
        Cloud(bucket=FACES) as cloud,
        ExitStack() as running,
        console.status("Starting the local cloud …") as status,
    ):
        code = bundle(PROJECT, Path(folder) / "code")
        for bucket, settings in FUNCTIONS.items():
            deployment = deployed[bucket]
            for needed in (bucket, deployment.state_bucket):
                if needed not in cloud.cos.buckets:
                    cloud.cos.create_bucket(needed, cloud.region)
            timeout = {"PAIR_TIMEOUT": str(PAIR_TIMEOUT)}
            cloud.deploy(
                code,
                {**settings, **deployment.settings(), **timeout, "BUCKET": bucket},
                name=f"livepair-{bucket.split('-')[0]}",
                bucket=bucket,
                timeout=90,
                may=deployment.may,
            )
        backend = running.enter_context(Backend("python", Path(folder) / "app", cloud))
        app = running.enter_context(App(backend.url, cloud.url, languages="th"))
        for _ in range(WARM):
            cloud.scf.tick()
        cloud.scf.wait_idle()
        status.stop()
        with Live(console=console, refresh_per_second=8, transient=True) as shown:

            def show(doing: str) -> int:
                count = _collect(cloud, scenarios)
                if console.is_terminal:
                    table = _table(_calls(cloud), scenarios)
                    table.caption = f"{doing}   {count} of {total} outcomes"
                    table.caption_justify = "left"
                    shown.update(table)
                return count

            for scenario in scenarios:
                show(f"uploading: {scenario.shows} …")
                if not console.is_terminal:
                    console.print(f"uploading: {scenario.shows} …")
                scenario.began = time.monotonic()
                scenario.uploads(Uploads(cloud, scenario.bucket, app))
                if scenario is scenarios[0]:
                    alone = _wait_alone(cloud, scenario)
            _wait(cloud, show, total - 1, "waiting for the answers …")
            screen = _screen(cloud, scenarios, backend, app)
            for scenario in scenarios:
                scenario.began = scenario.began if scenario.arrived else time.monotonic()
            cloud.clock.advance(PAIR_TIMEOUT)
            _wait(cloud, show, total, "an hour passes …")
        cloud.scf.advance_minutes(2)
        _collect(cloud, scenarios)
        _show_message(console, cloud)
        console.print(_table(_calls(cloud), scenarios))
        console.print(
            f"{scenarios[0].shows} was alone: {alone:.1f} s from its upload to its verified message; the "
            "local API answers at once. The others came together, and share the cores of this machine.\n"
        )
        faults = _faults(cloud, scenarios, deployed)
        if screen["status"] != "done":
            faults.append(f"{FROM_AN_APP}: expected status done, found {screen}")
        for fault in faults:
            console.print(f"[red]✗[/] {fault}")
        if faults:
            console.print("The function's log:", *cloud.scf.logs()[-40:], sep="\n")
            return 1
        attempts = len(cloud.consumer.attempts)
        console.print(
            f"[green]✓[/] {total} outcomes as expected, {sum(_calls(cloud).values())} API calls, "
            f"{attempts} signatures verified, every message valid, nothing left on the agenda."
        )
        report = _report(cloud, deployed[FACES])
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in headlines(report):
            table.add_row(*row)
        console.print(f"\nWhat [bold]python -m handler report[/] says of {FACES}:", table)
        miscounted = _miscounted(report.reckoning, scenarios)
        if miscounted:
            console.print(f"[red]✗[/] {miscounted}")
            return 1
        console.print(f"\nThe app's screen, in Thai: {screen['words']}")
        console.print(
            "\nType next: [bold]make local[/], the same cloud with a page, where you upload, let things "
            "fail, and watch.\n\nWhere to look next:\n"
            "  how an app gets there     examples/backend/README.md\n"
            "  what your consumer gets   events/verification.matched.json\n"
            "  how an upload is handled  handler/README.md\n"
            "  what everything means     README.md"
        )
        return 0


def _report(cloud: Cloud, deployed: Deployment) -> Report:
    """What the operator's command reports of one bucket, with their own credentials."""
    own = cloud.credentials
    environ = {
        **cloud.environment(**FUNCTIONS[FACES], **deployed.settings(), LOCAL_CLOUD=cloud.url),
        "REGION": cloud.region,
        "TENCENT_SECRET_ID": own.secret_id,
        "TENCENT_SECRET_KEY": own.secret_key,
    }
    found = operator.Deployment(environ, {}, PROJECT)
    since = cloud.clock.now() - timedelta(days=1)
    return make(found, Output(as_json=False), Asked(Period(since, None), use_cache=False)).report


def _miscounted(found: Reckoning, scenarios: list[Scenario]) -> str | None:
    """What the report counted otherwise than it happened."""
    there = [each for scenario in scenarios if scenario.bucket == FACES for each in scenario.expected]
    outcomes = Counter(each.outcome for each in there)
    wanted = [outcomes[each] for each in OUTCOMES], sum(each.calls for each in there)
    counted = [found.total.outcomes[each] for each in OUTCOMES], found.total.calls
    return None if counted == wanted else f"the report counted {counted}, expected {wanted}"


def _screen(cloud: Cloud, scenarios: Iterable[Scenario], backend: Backend, app: App) -> dict[str, str]:
    """What the app shows once its backend has got its message: the consumer's, with its signature."""
    (attempt_id,) = next(each.expected[0].pair for each in scenarios if each.shows == FROM_AN_APP)
    for attempt in cloud.consumer.attempts:
        if json.loads(attempt.body)["data"].get("pair") == {"id": attempt_id}:
            requests.post(backend.webhook, attempt.body, headers=attempt.headers, timeout=10)
    return app.answer(attempt_id, wait=20)


def _wait_alone(cloud: Cloud, scenario: Scenario) -> float:
    """Seconds until the only pair there is has been told; where it never is, the table says so."""
    with contextlib.suppress(TimeoutError):
        cloud.consumer.wait_for(lambda consumer: bool(consumer.messages), PATIENCE)
    took = time.monotonic() - scenario.began
    _collect(cloud, [scenario])
    return took


def _show_message(console: Console, cloud: Cloud) -> None:
    """The first message that was told, with the headers that sign it, never wrapped."""
    attempt = next((each for each in cloud.consumer.attempts if each.verified), None)
    if attempt is None:
        return
    signed = [f"{name}: {attempt.headers[name]}" for name in SIGNED]
    text = "\n".join((*signed, "", samples_of_messages.laid_out(json.loads(attempt.body))))
    console.print("\nOne of the messages, as your webhook gets it:\n", style="bold")
    console.print(text, markup=False, soft_wrap=True)


def _wait(cloud: Cloud, show: Callable[[str], int], wanted: int, doing: str) -> None:
    """Until so many outcomes have arrived; the timer fires whenever nothing else is going on."""
    until, last = time.monotonic() + PATIENCE, -1
    while (count := show(doing)) < wanted and time.monotonic() < until:
        if count > last:
            until, last = time.monotonic() + PATIENCE, count
        try:
            cloud.scf.wait_idle(timeout=0.3)
        except TimeoutError:
            continue
        if show(doing) < wanted:
            cloud.scf.advance_minutes(1, timeout=None)


if __name__ == "__main__":
    sys.exit(main())
