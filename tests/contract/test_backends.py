"""The two sample backends, from the app's first request to the words on its screen, with the real function.

examples/backend/backend.py is in Flask, examples/backend/backend.mjs in Express; both promise the same. Their
keys may do what handler/policy.backend.json allows, and nothing else.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from examples.texts.words import key_of
from handler.edges.webhook import Delivery, WebhookClient
from handler.edges.wire import Wire
from handler.rules.codes import CODES
from tests.cloud import Cloud, faults, samples
from tests.cloud.app import App
from tests.cloud.consumer import SECRET
from tests.cloud.faceid import COMPARE, SEQUENCE
from tests.support.backend import NEEDED, POLICY, Backend
from tests.support.harness import Livepair
from tests.support.messages import HIGH, PERSON, SUCCESS, told
from tests.support.nodejs import NODE, PACKAGES, needs_node
from tests.support.project import PROJECT

KINDS = ["python", pytest.param("node", marks=needs_node(*NEEDED))]
GIVEN_AWAY = re.compile(
    r"FailedOperation|InternalError|Livepair|[Ss]imilar|spoof|liveness|capture|categor|reason"
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def backend(kind: str, cloud: Cloud, tmp_path: Path) -> Iterator[Backend]:
    """Each backend in turn, running."""
    with Backend(kind, tmp_path, cloud) as running:
        yield running


@pytest.fixture
def app(backend: Backend, cloud: Cloud) -> Iterator[Callable[..., App]]:
    """Makes a person's app."""
    made: list[App] = []

    def make(person: str = "ann", languages: str = "en") -> App:
        made.append(App(backend.url, cloud.url, person, languages))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def livepair(backend: Backend, configured: Callable[..., Livepair]) -> Livepair:
    """The function, which posts to the backend."""
    return configured(WEBHOOK_URL=backend.webhook)


def judged(livepair: Livepair, app: App, **content: Any) -> dict[str, str]:
    """One attempt the whole way: what the app shows at its end."""
    begun = app.begin()
    assert app.upload(begun, app.film(begun, **content)) == 200
    livepair.run()
    return app.answer(begun["id"], wait=20)


def post(backend: Backend, message: dict[str, Any]) -> Delivery:
    """Post a message as the function does."""
    client = WebhookClient(Wire(None), backend.webhook, (SECRET,))
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return client.post(message["id"], body, datetime.now(timezone.utc), 10)


# --- the whole way -----------------------------------------------------------------------------------


def test_the_whole_way_from_device_data_to_words(
    livepair: Livepair, cloud: Cloud, app: Callable[..., App]
) -> None:
    """DeviceData as base64 where no trigger looks, its sequence, one link, one call, and words in Thai."""
    phone = app(languages="th-TH, en;q=0.5")
    before = datetime.now(timezone.utc)
    begun = phone.begin(samples.image(seed=7))
    assert set(begun) == {"id", "sequence", "upload"}
    ends = datetime.strptime(begun["upload"]["ends"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert timedelta(minutes=9) < ends - before < timedelta(minutes=11)
    assert begun["upload"]["headers"] == {"x-cos-forbid-overwrite": "true"}

    bucket = cloud.cos.bucket(cloud.bucket)
    passed = bucket.get(f"device-data/{begun['id']}").data
    assert base64.b64decode(passed).decode() == samples.device_data()
    (call,) = cloud.faceid.calls
    assert (call.action, call.region, call.code) == (SEQUENCE, cloud.region, "Success")
    assert call.params["DeviceDataMd5"] == hashlib.md5(passed).hexdigest()
    assert bucket.get(f"uploads/{begun['id']}/image.jpg").data == samples.image(seed=7)

    assert phone.answer(begun["id"]) == {"status": "waiting"}
    assert phone.upload(begun, phone.film(begun)) == 200
    assert livepair.run() == ["matched"]
    said = phone.poll(begun["id"], wait=20)
    texts = json.loads((PROJECT / "examples" / "texts" / "th.json").read_text(encoding="utf-8"))["texts"]
    assert said.json() == {"status": "done", "words": texts["done"]}
    assert (said.headers["content-language"], said.headers["cache-control"]) == ("th", "no-store")
    assert [each.action for each in cloud.faceid.calls] == [SEQUENCE, COMPARE]


def test_the_guide_asks_a_backend_without_an_sdk(livepair: Livepair, backend: Backend, cloud: Cloud) -> None:
    """Its lines, as printed but for the addresses."""
    guide = (PROJECT / "examples" / "backend" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from tests.*?)```", guide, re.DOTALL)
    for printed, real in (("http://127.0.0.1:8000", backend.url), ("http://127.0.0.1:8788", cloud.url)):
        assert printed in example
        example = example.replace(printed, real)
    shown: list[Any] = []
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(exec, example, {"print": shown.append})
        while wait([asked], timeout=0.05).not_done:
            livepair.run()
        asked.result()
    assert [shown[0], shown[1]["status"]] == [200, "done"]


LANGUAGES = {
    "zh-TW,zh;q=0.9": "zh-Hant",
    "zh-Hant-SG": "zh-Hant",
    "zh": "zh-Hans",
    "en;q=0.3, th-TH": "th",
    "fr, *;q=0.1": "en",
    "": "en",
}


def test_words_come_in_the_devices_language(backend: Backend, app: Callable[..., App]) -> None:
    """The first that it asks for and that is there, its script before its country; else English."""
    begun = app().begin()
    assert post(backend, message_about(begun["id"])).ok
    for languages, name in LANGUAGES.items():
        path = PROJECT / "examples" / "texts" / f"{name}.json"
        words = json.loads(path.read_text(encoding="utf-8"))["texts"]["done"]
        said = app(languages=languages).poll(begun["id"])
        assert (said.json()["words"], said.headers["content-language"]) == (words, name), languages


ENDS: dict[str, dict[str, Any]] = {
    "done": {},
    "not_confirmed": {"sim": 12.5},
    "film_again": {"error": "FailedOperation.ActionLightDark"},
    "another_photo": {"error": "FailedOperation.ImageBlur"},
    "later": {"error": "FailedOperation.SomethingNew"},
}


def test_each_end_has_its_status_and_gives_nothing_away(livepair: Livepair, app: Callable[..., App]) -> None:
    """The person reads what to do; similarity, spoof and liveness read the same to the byte."""
    for status, content in ENDS.items():
        said = judged(livepair, app(status), **content)
        assert said["status"] == status
        assert set(said) == {"status", "words"}
        assert not GIVEN_AWAY.search(json.dumps(said))
    hidden: list[dict[str, Any]] = [
        {"sim": 12.5},
        {"error": "FailedOperation.SilentThreshold"},
        {"result": "FailedOperation.LivessDetectFake"},
    ]
    shown = []
    for number, content in enumerate(hidden):
        phone = app(f"hidden {number}")
        begun = phone.begin()
        phone.upload(begun, phone.film(begun, **content))
        livepair.run()
        shown.append(phone.poll(begun["id"], wait=20).content)
    assert len(set(shown)) == 1


def test_who_films_twice_is_confirmed_twice(livepair: Livepair, app: Callable[..., App]) -> None:
    """Each attempt has a sequence of its own, so the second recording is no replay of the first."""
    assert [judged(livepair, app())["status"] for _ in range(2)] == ["done", "done"]


def test_a_recording_that_never_comes_is_to_be_filmed_again(
    livepair: Livepair, backend: Backend, app: Callable[..., App]
) -> None:
    """The image waits for it; then the person hears of it."""
    livepair.configure(WEBHOOK_URL=backend.webhook, PAIR_TIMEOUT="60")
    phone = app()
    begun = phone.begin()
    livepair.run()
    livepair.finish()
    assert phone.answer(begun["id"], wait=20)["status"] == "film_again"


# --- attempts ----------------------------------------------------------------------------------------


def test_too_many_attempts_are_refused_before_anything_is_asked(
    backend: Backend, cloud: Cloud, app: Callable[..., App]
) -> None:
    """Three in 15 minutes, and a new process knows them; whoever else asks is served."""
    for _ in range(3):
        app().begin()
    backend.stop()
    backend.start()
    calls, keys = len(cloud.faceid.calls), cloud.cos.bucket(cloud.bucket).keys()
    refused = app().ask()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
    assert len(cloud.faceid.calls) == calls
    assert cloud.cos.bucket(cloud.bucket).keys() == keys
    app("bob").begin()


def test_requests_at_once_count_each_other(app: Callable[..., App]) -> None:
    """Twenty taps on a button are three attempts."""
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda phone: phone.ask().status_code, [app() for _ in range(20)]))
    assert sorted(answers) == [201] * 3 + [429] * 17


def test_a_throttled_sequence_is_no_attempt_of_the_person(cloud: Cloud, app: Callable[..., App]) -> None:
    """503 with a time to come back, nothing that waits for a recording, and the attempt is given back."""
    cloud.faceid.limits[SEQUENCE] = 0
    for _ in range(4):
        answer = app().ask()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert not cloud.cos.bucket(cloud.bucket).keys("uploads/")
    cloud.faceid.limits[SEQUENCE] = 5
    app().begin()


@pytest.mark.parametrize("damage", ["MD5", "gone", "API"])
def test_a_sequence_that_does_not_come_whole_never_reaches_the_app(
    cloud: Cloud, app: Callable[..., App], damage: str, kind: str
) -> None:
    """Its MD5 is checked, and whatever fails on the way is 503."""
    if damage == "MD5":
        cloud.faceid.sequence_md5 = "0" * 32
    elif damage == "gone":
        cloud.faults.add(
            "GetObject", service="faceid-files", then=faults.refuse(403, "AccessDenied"), times=None
        )
    else:
        cloud.faults.add(SEQUENCE, then=faults.cut_before(), times=None)
    answer = app().ask()
    assert answer.status_code == 503
    assert "sequence" not in answer.text


def test_what_is_no_device_data_counts_as_an_attempt(
    backend: Backend, cloud: Cloud, app: Callable[..., App]
) -> None:
    """400: else whoever sends rubbish uses up the calls of everybody."""
    for rubbish in ("no JSON", "[]", ""):
        assert app().ask(device_data=rubbish).status_code == 400
    assert {call.code for call in cloud.faceid.calls} == {"InvalidParameterValue"}
    assert app().ask().status_code == 429


def test_what_is_missing_is_refused_and_counts_for_nothing(backend: Backend, app: Callable[..., App]) -> None:
    """No person, no image, an image that is not there, no base64."""
    phone = app()
    at = f"{backend.url}verifications"
    good = {"device_data": samples.device_data()}
    photo = base64.b64encode(samples.image()).decode()
    for body, status, said in (
        ({"image": photo}, 400, "no device_data"),
        ({"image": photo, "device_data": {}}, 400, "no device_data"),
        (good, 400, "no image"),
        ({**good, "image": "no base64!"}, 400, "no image"),
        ({**good, "image_id": "nobody.jpg"}, 404, "no such image"),
        ({**good, "image_id": "../backend.py"}, 404, "no such image"),
        ([], 400, "no device_data"),
    ):
        refused = phone._http.post(at, json=body)
        assert (refused.status_code, refused.text) == (status, f"{said}\n"), body
        assert refused.headers["content-type"].startswith("text/plain")
    for kind in ("application/json", "text/plain"):
        refused = phone._http.post(at, data="{no JSON", headers={"content-type": kind})
        assert refused.status_code == 400
        assert len(refused.text.splitlines()) == 1  # no page, and no traceback
    stranger = phone._http.post(at, json={**good, "image": photo}, headers={"X-Person": ""})
    assert stranger.status_code == 401
    (backend.images / "ann.jpg").write_bytes(samples.image(seed=3))
    assert phone._http.post(at, json={**good, "image_id": "ann.jpg"}).status_code == 201


# --- the link ----------------------------------------------------------------------------------------


def test_a_link_takes_one_recording(livepair: Livepair, cloud: Cloud, app: Callable[..., App]) -> None:
    """The second is 409: the first is judged, and nothing else is billed."""
    phone = app()
    begun = phone.begin()
    signed = parse_qs(urlsplit(begun["upload"]["url"]).query)["q-header-list"]
    assert "x-cos-forbid-overwrite" in signed[0].split(";")  # the keys' policy asks for it, too
    assert phone.upload(begun, phone.film(begun, sim=96.3)) == 200
    assert phone.upload(begun, phone.film(begun, seed=2)) == 409
    assert phone.upload({**begun, "upload": {**begun["upload"], "headers": {}}}, b"x") == 403
    livepair.run()
    assert phone.answer(begun["id"], wait=20)["status"] == "done"
    assert [call.action for call in cloud.faceid.calls] == [SEQUENCE, COMPARE]


# --- the webhook and the answer ----------------------------------------------------------------------


def message_about(attempt: str, rejected: bool = False, md5: str = "") -> dict[str, Any]:
    """A message about an attempt: a match, or a fake."""
    message: dict[str, Any] = told(PERSON[0] if rejected else HIGH, called=SUCCESS)
    text = json.dumps(message).replace(message["id"], f"msg_{attempt}")
    message = json.loads(text)
    message["data"]["pair"] = {"id": attempt}
    message["data"]["live"]["md5"] = md5 or hashlib.md5(attempt.encode()).hexdigest()
    return message


def test_a_message_that_is_repeated_changes_nothing(backend: Backend, app: Callable[..., App]) -> None:
    """2xx each time; one that is not genuine is refused, and then there is nothing to say."""
    phone = app()
    begun = phone.begin()
    message = message_about(begun["id"])
    forged = WebhookClient(Wire(None), backend.webhook, ("whsec_" + base64.b64encode(b"x" * 32).decode(),))
    assert forged.post(message["id"], json.dumps(message), datetime.now(timezone.utc), 10).status == 401
    assert phone.answer(begun["id"]) == {"status": "waiting"}
    for _ in range(3):
        assert post(backend, message).ok
    assert phone.answer(begun["id"])["status"] == "done"


def test_a_poll_that_waits_hears_of_a_message_that_comes_meanwhile(
    backend: Backend, app: Callable[..., App]
) -> None:
    """Before the answer it waits, after it answers at once; without `wait` it never waits."""
    phone, other = app(), app()
    begun = phone.begin()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.answer, begun["id"], 20)
        assert phone.answer(begun["id"]) == {"status": "waiting"}
        assert post(backend, message_about(begun["id"])).ok
        assert waiting.result()["status"] == "done"
    assert phone.answer(begun["id"], wait=20)["status"] == "done"
    assert phone.answer(begun["id"], wait=-5)["status"] == "done"


def test_an_answer_is_for_the_person_who_began(backend: Backend, app: Callable[..., App]) -> None:
    """Somebody else's attempt is not there, whatever is known of it; nor is one that nobody began."""
    begun = app().begin()
    assert post(backend, message_about(begun["id"])).ok
    assert app("bob").poll(begun["id"]).status_code == 404
    assert app().poll("0" * 32).status_code == 404
    assert app("").poll(begun["id"]).status_code == 401


def test_suspicion_outlives_the_attempt(backend: Backend, app: Callable[..., App]) -> None:
    """A person once taken for a fake is not confirmed by a later match, until a human has cleared that."""
    phone = app()
    first, second = phone.begin(), phone.begin()
    assert post(backend, message_about(first["id"], rejected=True)).ok
    assert post(backend, message_about(second["id"])).ok
    assert phone.answer(second["id"])["status"] == "not_confirmed"
    other = app("bob")
    third = other.begin()
    assert post(backend, message_about(third["id"])).ok
    assert other.answer(third["id"])["status"] == "done"
    backend.clear(first["id"])
    assert phone.answer(second["id"])["status"] == "done"


def test_a_recording_of_somebody_else_confirms_nobody(backend: Backend, app: Callable[..., App]) -> None:
    """The same bytes under another person's attempt are a replay."""
    ann, eve = app("ann"), app("eve")
    one, two = ann.begin(), eve.begin()
    stolen = hashlib.md5(b"one recording").hexdigest()
    later = message_about(two["id"], md5=stolen)
    later["data"]["live"]["uploaded_at"] = "2026-11-22T23:00:00Z"
    assert post(backend, message_about(one["id"], md5=stolen)).ok
    assert post(backend, later).ok
    assert (ann.answer(one["id"])["status"], eve.answer(two["id"])["status"]) == ("done", "not_confirmed")


@needs_node(*NEEDED)
def test_an_attempt_that_was_cut_off_spoils_no_other(cloud: Cloud, tmp_path: Path) -> None:
    """Killed while it writes, the Node backend starts again and knows what was answered before and after."""
    with Backend("node", tmp_path, cloud) as running, App(running.url, cloud.url) as phone:
        first = phone.begin()["id"]
        running.stop()
        with Path(f"{running.store}.attempts").open("a") as file:
            file.write('\n{"id": "cut off in the m')
        running.start()
        with App(running.url, cloud.url) as again:
            second = again.begin()["id"]
            running.stop()
            running.start()
        with App(running.url, cloud.url) as later:
            assert [later.answer(each) for each in (first, second)] == [{"status": "waiting"}] * 2
            assert later.ask().status_code == 201
            assert later.ask().status_code == 429


def test_the_other_host_of_the_api_can_be_named(kind: str, cloud: Cloud, tmp_path: Path) -> None:
    """For an account that the international one serves."""
    hosts = ("faceid.tencentcloudapi.com", "faceid.intl.tencentcloudapi.com")
    for number, settings in enumerate(({}, {"FACEID_ENDPOINT": hosts[1]})):
        with (
            Backend(kind, tmp_path / str(number), cloud, **settings) as running,
            App(running.url, cloud.url) as phone,
        ):
            phone.begin()
        assert cloud.faceid.calls[-1].host == hosts[number]


def test_it_does_not_start_without_its_settings_and_names_all_that_are_missing(
    kind: str, cloud: Cloud, tmp_path: Path
) -> None:
    """In one line, without a traceback."""
    needed = ("BUCKET", "REGION", "SECRET_ID", "SECRET_KEY", "WEBHOOK_SECRET")
    with pytest.raises(AssertionError):
        Backend(kind, tmp_path, cloud, **dict.fromkeys(needed, ""))
    assert (tmp_path / "log").read_text() == f"not set: {', '.join(needed)}\n"


# --- what its keys need ------------------------------------------------------------------------------

STATEMENTS = range(len(json.loads(POLICY)["statement"]))


@pytest.mark.parametrize("number", STATEMENTS)
def test_without_any_statement_of_its_policy_no_verification_begins(
    cloud: Cloud, tmp_path: Path, kind: str, number: int
) -> None:
    """Both backends need each of them: keys of their own that may do less get a person nowhere."""
    less = copy.deepcopy(json.loads(POLICY))
    del less["statement"][number]
    with Backend(kind, tmp_path, cloud, json.dumps(less)) as running, App(running.url, cloud.url) as phone:
        answer = phone.ask()
        if number:  # without the first, the link is made all the same: COS refuses what it is used for
            assert answer.status_code == 503
        else:
            assert phone.upload(answer.json(), samples.live()) == 403


# --- node says what python says ----------------------------------------------------------------------


@needs_node(*NEEDED)
def test_both_backends_choose_the_same_words(tmp_path: Path) -> None:
    """For a message about each code."""
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    for name in ("backend/backend.mjs", "consumers/consumer.mjs"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes((PROJECT / "examples" / name).read_bytes())
    (tmp_path / "texts").symlink_to(PROJECT / "examples" / "texts")
    messages = []
    for code, row in CODES.items():
        reason = {"code": code, "category": row.category, "message": "", "advice": row.advice}
        for missing in (False, True):
            data = {"live": None if missing else {}, "reason": reason if row.category else None}
            messages.append({"type": f"verification.{row.outcome}", "data": data})
    script = """
        import { readFileSync } from "node:fs";
        import { keyOf } from "./backend/backend.mjs";
        console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(keyOf)));
    """
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", script],
        input=json.dumps(messages),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [key_of(message) for message in messages]
    assert len({key_of(message) for message in messages}) == 12
