"""A phone beside the local cloud: an app with a backend of examples/, DeviceData to words on a screen."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import requests

from tests.cloud.app import App
from tests.local.program import send
from tests.local.world import SAMPLES, World
from tests.support.backend import EXAMPLES, Backend

LANGUAGES = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted((EXAMPLES / "texts").glob("*.json"))
]
DRIFT = 60.0  # seconds that the backend's clock may be behind the cloud's
VERDICTS = [
    name for name, each in SAMPLES.items() if each.live is not None and each.image and each.size is None
]


class Phone:
    """A backend that starts when it is needed first, and people's apps. To be called from any thread."""

    def __init__(self, world: World, folder: Path) -> None:
        """`folder` takes a copy of the backend."""
        self._world, self._folder = world, folder
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._ahead = 0.0

    def close(self) -> None:
        """End the backend's process, if there is one."""
        with self._lock:
            if self._backend is not None:
                self._backend.stop()

    def about(self) -> dict[str, Any]:
        """What can be chosen: languages, and what the API is to say."""
        return {
            "languages": [{"tag": each["tags"][0], "name": each["language"]} for each in LANGUAGES],
            "verdicts": [{"name": name, "says": SAMPLES[name].says} for name in VERDICTS],
        }

    def film(self, verdict: str, person: str, language: str) -> dict[str, Any]:
        """Have a person filmed: `id` and what happened, step by step. Without an `id` it ended there.

        Raises KeyError for a verdict that is none.
        """
        sample = SAMPLES[verdict]
        if sample.live is None or sample.image is None or verdict not in VERDICTS:
            raise KeyError(verdict)
        image = self._world.image(sample.image)
        with self._lock, self._app(person, language) as app:
            answer = app.ask(image)
            if answer.status_code != 201:
                later = answer.headers.get("retry-after")
                again = f", again after {later} s" if later else ""
                return {"steps": [f"POST /verifications: {answer.status_code} {answer.text.strip()}{again}"]}
            begun = answer.json()
            status = app.upload(begun, app.film(begun, **sample.live))
        id_, ends = begun["id"], begun["upload"]["ends"][11:16]
        return {
            "id": id_,
            "steps": [
                "startGetAuthConfigData gave DeviceData",
                f"POST /verifications: {id_[:8]}…, a colour sequence, a link until {ends}",
                "startAuthByLightData made a recording of the sequence",
                f"PUT to COS by the link: {status}",
            ],
        }

    def answer(self, attempt: str, person: str, language: str, wait: float) -> dict[str, Any]:
        """What the app shows: `status`, and `words` as soon as there are any."""
        try:
            with self._lock:
                phone = self._app(person, language)
            with phone as app:
                said = app.poll(attempt, wait)
        except requests.RequestException:  # the backend starts anew, since time has passed
            return {"status": "waiting"}
        if said.status_code == 404:
            raise KeyError(attempt)
        said.raise_for_status()
        found: dict[str, Any] = said.json()
        return found

    async def tell(self, message_id: str, body: bytes) -> None:
        """Hand the backend a message, signed as livepair signs it."""
        if self._backend is not None:
            await asyncio.to_thread(self._on_time)
            cloud = self._world.cloud
            await send(self._backend.webhook, cloud.secret, message_id, body, cloud.clock.now())

    def _app(self, person: str, language: str) -> App:
        backend = self._running()
        return App(backend.url, self._world.cloud.url, person, language)

    def _on_time(self) -> None:
        with self._lock:
            self._running()

    def _running(self) -> Backend:
        """The backend, on the cloud's time. The lock is held by whoever may not be interrupted."""
        ahead = self._world.cloud.clock.offset
        if self._backend is None:
            self._backend = Backend("python", self._folder, self._world.cloud)
        if abs(ahead - self._ahead) > DRIFT:
            self._backend.stop()
            self._backend.start(ahead)
            self._ahead = ahead
        return self._backend
