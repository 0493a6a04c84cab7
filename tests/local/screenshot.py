"""`python -m tests.local.screenshot`: take the README's picture of the page anew, with Chromium."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import async_playwright, expect

from tests.local.__main__ import PORT
from tests.local.server import Site
from tests.local.world import World

PICTURE = Path(__file__).with_name("page.png")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next((found for found in map(shutil.which, BROWSERS) if found), None)


async def main(chromium: str) -> None:
    """Upload some samples, open one, take the picture."""
    with TemporaryDirectory() as folder:
        world = await asyncio.to_thread(World, Path(folder), PORT + 1)
        site = Site(world, print, "local.env")
        try:
            await site.start(PORT)
            for name in ("blurred", "mismatched", "live-only", "fake"):
                await asyncio.to_thread(world.upload_sample, name)
                await asyncio.to_thread(world.cloud.scf.wait_idle)
            world.switch("throttled", True)
            await asyncio.to_thread(world.upload_sample, "matched", "throttled-5")
            await asyncio.to_thread(world.cloud.scf.wait_idle)
            world.switch("throttled", False)
            async with async_playwright() as playwright:
                launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = await launched.new_page(viewport={"width": 1280, "height": 1060})
                await page.goto(f"http://127.0.0.1:{site.port}")
                await page.get_by_role("button", name="The same person").click()
                await expect(page.get_by_text("signature verified").last).to_be_visible()
                await expect(page.locator(".state").first).to_have_text("delivered")
                await page.mouse.move(0, 0)
                await page.evaluate("document.activeElement.blur()")
                await page.screenshot(path=PICTURE)
        finally:
            await site.stop()


if __name__ == "__main__":
    found = browser()
    if found is None:
        sys.exit(f"No Chromium here (looked for {', '.join(BROWSERS)}). On Debian: apt-get install chromium")
    asyncio.run(main(found))
