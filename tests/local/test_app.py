"""The phone of `make local`: an app with a backend of examples/, DeviceData to words on its screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.local.test_local import CHROMIUM, PATIENCE, Local, needs_browser
from tests.support.backend import EXAMPLES


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    running = Local(tmp_path_factory.mktemp("local"))
    yield running
    running.stop()


def words(language: str, key: str) -> str:
    texts = json.loads((EXAMPLES / "texts" / f"{language}.json").read_text(encoding="utf-8"))["texts"]
    return str(texts[key])


def film(local: Local, person: str, verdict: str = "matched", language: str = "en") -> dict[str, Any]:
    who = {"person": person, "language": language}
    return local.ask("POST", "/api/app", json={**who, "verdict": verdict})


def screen(local: Local, filmed: dict[str, Any], person: str, language: str = "en") -> dict[str, Any]:
    """What the screen shows once it shows words."""
    for _ in range(10):
        said = local.ask("GET", f"/api/app/{filmed['id']}", params={"person": person, "language": language})
        if said["status"] != "waiting":
            return said
    raise AssertionError("no words")


def test_the_page_learns_what_an_app_and_its_backend_do(local: Local) -> None:
    """Each step of the way, and words in the language of the phone; the pair is listed like any other."""
    filmed = film(local, "安", language="vi")
    names = ("startGetAuthConfigData", "POST /verifications", "startAuthByLightData", "PUT")
    assert [name in step for name, step in zip(names, filmed["steps"], strict=True)] == [True] * 4
    assert screen(local, filmed, "安", "vi") == {"status": "done", "words": words("vi", "done")}
    assert local.wait(filmed["id"])["outcome"] == "matched"
    about = local.ask("GET", "/api/app")
    assert "Bahasa Melayu" in [each["name"] for each in about["languages"]]
    assert film(local, "bo", "dark")["id"] != filmed["id"]


def test_a_fourth_attempt_is_refused_until_time_has_passed(local: Local) -> None:
    """The page shows the 429; after an hour of the cloud's the backend is on its time, and serves again."""
    for _ in range(3):
        film(local, "carl", "blurred")
    refused = film(local, "carl")
    assert "id" not in refused
    assert "429 too many attempts, again after" in refused["steps"][0]
    local.pass_time(60)
    filmed = film(local, "carl", "fake")
    assert screen(local, filmed, "carl")["words"] == words("en", "not_confirmed")


def test_what_the_phone_cannot_do_is_said(local: Local) -> None:
    """A verdict that is none, an attempt of somebody else."""
    local.ask("POST", "/api/app", 404, json={"person": "dee", "language": "en", "verdict": "live-only"})
    local.ask("GET", f"/api/app/{'0' * 32}", 404, params={"person": "dee", "language": "en"})


@needs_browser
def test_a_person_films_and_reads_on_the_page(local: Local) -> None:
    """By label and button, as a reader of the page does; the words are in the language that was chosen."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 360, "height": 740})
        wrong: list[str] = []
        page.on(
            "console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(local.url)
        page.get_by_text("From an app, the whole way").click()
        page.get_by_role("textbox", name="Person").fill("<b>eve")
        page.get_by_role("combobox", name="Language").select_option("th")
        page.get_by_role("combobox", name="Verdict").select_option("dark")
        page.get_by_role("button", name="Film").click()
        expect(page.locator("#app-screen")).to_have_text(words("th", "too_dark"))
        expect(page.locator("#app-screen")).to_have_attribute("lang", "th")
        expect(page.locator("#app-steps li")).to_have_count(4)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert wrong == []
        chromium.close()
