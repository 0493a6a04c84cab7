"""A person's app, with the liveness SDK's part played: DeviceData to words on a screen.

It knows its backend's address and no credentials. Uploads go through the cloud's proxy, as all of a device's
traffic to Tencent Cloud does.
"""

from __future__ import annotations

import base64
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from tests.cloud import samples

PATIENCE = 60.0
"""Real seconds after which a backend that says nothing is given up."""


class App:
    """One person's app. A context manager, or ended by `close`."""

    def __init__(self, backend: str, cloud: str, person: str = "ann", languages: str = "en") -> None:
        """`backend` and `cloud` are URLs; `languages` is what the device sends as Accept-Language."""
        self._backend = backend.rstrip("/")
        self._http, self._device = requests.Session(), requests.Session()
        for session in (self._http, self._device):
            session.trust_env = False
        self._http.headers.update({"X-Person": quote(person), "Accept-Language": languages})
        self._device.proxies = {"http": cloud}

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()
        self._device.close()

    def ask(self, image: bytes | None = None, device_data: str | None = None) -> requests.Response:
        """What the backend answers to POST /verifications with what startGetAuthConfigData gave."""
        photo = base64.b64encode(samples.image() if image is None else image).decode()
        body = {"image": photo, "device_data": samples.device_data() if device_data is None else device_data}
        return self._http.post(f"{self._backend}/verifications", json=body, timeout=PATIENCE)

    def begin(self, image: bytes | None = None) -> dict[str, Any]:
        """The same where it succeeds: id, sequence, upload."""
        answer = self.ask(image)
        answer.raise_for_status()
        begun: dict[str, Any] = answer.json()
        return begun

    def film(self, begun: dict[str, Any], **content: Any) -> bytes:
        """The live package that startAuthByLightData makes; `content` as in `samples.live`."""
        return samples.recording(begun["sequence"], **content)

    def upload(self, begun: dict[str, Any], live: bytes) -> int:
        """PUT a live package as the backend says. Returns COS's status."""
        upload = begun["upload"]
        answer = self._device.put(upload["url"], data=live, headers=upload["headers"], timeout=PATIENCE)
        return answer.status_code

    def poll(self, attempt: str, wait: float = 0) -> requests.Response:
        """What the backend answers to GET /verifications/<id>."""
        params = {"wait": f"{wait:g}"}
        return self._http.get(f"{self._backend}/verifications/{attempt}", params=params, timeout=PATIENCE)

    def answer(self, attempt: str, wait: float = 0) -> dict[str, str]:
        """The same where it succeeds: `status`, and `words` as soon as there are any."""
        said = self.poll(attempt, wait)
        said.raise_for_status()
        found: dict[str, str] = said.json()
        return found
