"""A report as one HTML file: it asks for nothing, runs nothing, and is seen in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from handler.cli.report.charts import every_step, steps
from handler.cli.report.page import page
from handler.cli.report.reckon import BY, Reckoning
from tests.local.screenshot import browser
from tests.operator.test_reckon import row
from tests.support.month import report

CHROMIUM = browser()
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")
MARKUP = "\"'><script>alert(1)</script><img src=//evil.example onerror=alert(2)>\u202e"


def hostile() -> str:
    """The page of a report in which everything that others chose is markup."""
    reckoning = Reckoning(BY["pair-value"], BY["day"], (70.0,))
    reckoning.add([row(similarity=90.0), row("failed", code=MARKUP, api_code=MARKUP)], MARKUP)
    return page(report()._replace(by="pair-value", reckoning=reckoning, bucket=MARKUP))


def test_the_page_is_one_file_without_scripts_or_links() -> None:
    """Whoever opens it tells nobody."""
    text = page(report())
    assert not re.search(r"<script|<link|<img|<iframe|<form|href=|src=|url\(|@import|https?:|\son\w+=", text)
    assert "default-src 'none'" in text


def test_text_that_others_chose_is_shown_as_text() -> None:
    """Codes come from the API, values of pairs from uploaders; what turns text around is spelled out."""
    text = hostile()
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (7, [0, 2, 4, 6, 8]),
        (192, [0, 50, 100, 150, 200]),
        (12_345, [0, 5000, 10_000, 15_000]),
    ],
)
def test_axes_have_round_values(most: int, expected: list[int]) -> None:
    """And reach what is shown."""
    assert steps(most) == expected


def test_days_without_anything_have_their_place() -> None:
    """Or a week of silence would look like none."""
    assert every_step(["2026-11-01", "2026-11-04"]) == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
        "2026-11-04",
    ]
    assert every_step(["2026-11-01 22:00", "2026-11-02 01:00"])[1:3] == [
        "2026-11-01 23:00",
        "2026-11-02 00:00",
    ]
    assert len(every_step(["2000-01-01", "2026-11-04"])) == 400
    assert every_step([]) == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


Scheme = Literal["light", "dark"]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1120])
def test_a_browser_shows_it(chromium: Browser, tmp_path: Path, scheme: Scheme, width: int) -> None:
    """Nothing on its console, nothing asked for, no scrolling sideways, and readable."""
    file = tmp_path / "report.html"
    file.write_text(page(report()), encoding="utf-8")
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("console", lambda said: wrong.append(said.text))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("request", lambda each: None if each.url == file.as_uri() else wrong.append(each.url))
    shown.goto(file.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    charts = shown.locator("svg[role=img]")
    assert charts.count() == 3
    assert shown.locator("section h2").all_inner_texts() == [
        "Outcomes over time",
        "Similarity",
        "Had MIN_SIMILARITY been another",
        "How long it took",
        "Codes",
        "By day",
    ]
    for number in range(3):
        box = charts.nth(number).bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 50
    for selector in ("h1", ".tiles small", "section p", "td", "thead th"):
        assert _contrast(shown, selector) >= 4.5, selector
    for outcome in ("matched", "mismatched", "rejected", "incomplete", "failed"):
        assert _contrast(shown, f"svg[role=img] rect.{outcome}", "fill") >= 2.4, outcome
    context.close()
    assert wrong == []


@needs_browser
def test_a_browser_runs_nothing_of_what_others_chose(chromium: Browser, tmp_path: Path) -> None:
    """No dialog, no request, no element that was not meant."""
    file = tmp_path / "report.html"
    file.write_text(hostile(), encoding="utf-8")
    context = chromium.new_context()
    shown = context.new_page()
    wrong: list[str] = []
    shown.on("dialog", lambda dialog: wrong.append(dialog.message))
    shown.on("request", lambda each: None if each.url == file.as_uri() else wrong.append(each.url))
    shown.goto(file.as_uri())
    assert shown.locator("script, img").count() == 0
    assert (
        "<script>alert(1)</script>"
        in shown.locator("code").first.inner_text() + shown.locator("code").last.inner_text()
    )
    context.close()
    assert wrong == []


def _contrast(shown: object, selector: str, of: str = "color") -> float:
    """The contrast of what is drawn with the ground behind it, as WCAG 2 defines it."""
    found: list[list[float]] = shown.locator(selector).first.evaluate(  # type: ignore[attr-defined]
        """(at, of) => { const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const ground = each => rgb(getComputedStyle(each).backgroundColor);
        let behind = at; while (ground(behind)[3] === 0) behind = behind.parentElement;
        return [rgb(getComputedStyle(at)[of]), ground(behind)]; }""",
        of,
    )

    def luminance(colour: list[float]) -> float:
        parts = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, found))
    return (light + 0.05) / (dark + 0.05)
