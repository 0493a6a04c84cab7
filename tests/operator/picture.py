"""`python -m tests.operator.picture`: take the guide's picture of a report anew, with Chromium."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from handler.cli.report.page import page
from tests.local.screenshot import BROWSERS, browser
from tests.support.month import report
from tests.support.project import PROJECT

PICTURE = PROJECT / "handler" / "cli" / "report.png"


def main(chromium: str) -> None:
    """Draw the page of a month that never was."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page(report()), encoding="utf-8")
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = launched.new_page(viewport={"width": 1120, "height": 1165})
        shown.goto(file.as_uri())
        shown.screenshot(path=PICTURE)
        launched.close()


if __name__ == "__main__":
    found = browser()
    if found is None:
        sys.exit(f"No Chromium here (looked for {', '.join(BROWSERS)}). On Debian: apt-get install chromium")
    main(found)
