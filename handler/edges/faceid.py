"""DetectReflectLivenessAndCompare: the call, its links, and the relay.

Source: Tencent eKYC API documentation, product 1061, pages 44246 (the action), 47648 (CreateUploadUrl) and
46849 (integration).
"""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from handler.edges.answers import refusal, response_of, verdict_of
from handler.edges.bucket import Bucket
from handler.edges.cos import Credentials
from handler.edges.wire import API, FRAME, RELAY, Wire, read_all
from handler.rules.outcome import Answer
from handler.rules.uploads import Stored

ACTION = "DetectReflectLivenessAndCompare"
VERSION = "2018-03-01"

MAX_FRAME = 3 * 1024 * 1024  # bytes of a best frame


class Resource(NamedTuple):
    """One of the two objects of a call: a link to it and its MD5."""

    url: str
    md5: str

    def __repr__(self) -> str:
        return "Resource(…)"


class RelayError(Exception):
    """An upload could not be passed through the relay; `answer` says why, like an answer of the API."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.code)


class FrameError(Exception):
    """The best frame could not be had; the message says why and holds no link."""


class Api(Protocol):
    """What the logic needs of the API. No call raises for what the API answers."""

    region: str

    def open(self) -> None:
        """Have a connection ready for the next call. Raises nothing."""
        ...

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        """Have the live package judged and compared with the image, in `seconds` at the most."""
        ...

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        """Pass an upload through CreateUploadUrl's storage.

        Raises RelayError and what `Bucket.pieces` does.
        """
        ...

    def frame(self, answer: Answer, seconds: float) -> bytes:
        """Download the best frame and check its MD5. Raises FrameError."""
        ...


_COS_HOST = re.compile(r"([a-z0-9-]+\.)+cos[a-z0-9-]*(\.[a-z0-9-]+)?\.(myqcloud\.com|tencentcos\.cn)\Z")


class FaceidClient:
    """The API over `CommonClient`, its connection kept between warm invocations of one region."""

    def __init__(self, wire: Wire, region: str, endpoint: str) -> None:
        self.region = region
        self._wire = wire
        self._plain = wire.proxy is not None
        profile = ClientProfile(
            language="en-US",
            httpProfile=HttpProfile(
                protocol="http" if self._plain else "https",
                endpoint=endpoint,
                keepAlive=True,
                proxy=wire.proxy,
            ),
        )
        self._credentials: Credentials | None = None
        self._client = CommonClient("faceid", VERSION, None, region, profile)
        connection = self._client.request.conn
        connection.proxy = connection.proxy if wire.proxy else None  # not the environment's
        self._session = connection._session
        self._session.proxies = connection.proxy or {}
        self._url = f"{'http' if self._plain else 'https'}://{endpoint}/"
        wire.bound(self._session)
        self._links = wire.session()

    def use(self, credentials: Credentials) -> None:
        """Sign what follows with this invocation's credentials."""
        self._credentials = credentials
        self._client.credential = Credential(credentials.secret_id, credentials.secret_key, credentials.token)

    def open(self) -> None:
        self._wire.open(self._session, self._url)

    def compare(self, live: Resource, image: Resource, seconds: float) -> Answer:
        answer, found = self._call(
            ACTION,
            {
                "LiveDataUrl": live.url,
                "LiveDataMd5": live.md5,
                "ImageUrl": image.url,
                "ImageMd5": image.md5,
            },
            seconds,
        )
        return verdict_of(answer, found) if found is not None else answer

    def relay(self, bucket: Bucket, stored: Stored, md5: str, seconds: float) -> Resource:
        until = time.monotonic() + seconds
        answer, found = self._call("CreateUploadUrl", {"TargetAction": ACTION}, seconds)
        if found is None:
            raise RelayError(answer._replace(executed=False))
        upload, resource = found.get("UploadUrl"), found.get("ResourceUrl")
        if not isinstance(upload, str) or not isinstance(resource, str) or not self._is_cos(upload):
            raise RelayError(
                Answer(
                    "Livepair.UnreadableAnswer",
                    "CreateUploadUrl gave no COS link",
                    False,
                    request_id=answer.request_id,
                )
            )
        body = _Sized(bucket.pieces(stored), stored.size)
        try:
            with self._wire.limit(RELAY, until - time.monotonic()):
                sent = self._links.put(self._local(upload), data=body, allow_redirects=False)
        except (OSError, ValueError):
            said = "the relay did not take the upload"
            raise RelayError(Answer("ClientNetworkError", said, False)) from None
        if not sent.ok:
            raise RelayError(
                Answer("ServerNetworkError", f"the relay answered {sent.status_code} to the upload", False)
            )
        if body.md5.hexdigest() != md5:
            said = "MD5 Error: the upload changed on its way"
            raise RelayError(Answer("InvalidParameterValue", said, False))
        return Resource(resource, md5)

    def frame(self, answer: Answer, seconds: float) -> bytes:
        url = answer.frame_url
        if not url:
            raise FrameError("the API gave no best frame")
        if not self._is_cos(url):
            raise FrameError("its link is not https on a COS host")
        try:
            with self._wire.limit(FRAME, seconds):
                found = self._links.get(self._local(url), stream=True, allow_redirects=False)
                if found.status_code != 200:
                    found.close()
                    raise FrameError(f"its host answered {found.status_code}")
                frame = read_all(found.raw, MAX_FRAME)
        except (OSError, ValueError) as error:  # of requests, of a socket, of what reads a URL
            raise FrameError(f"it could not be downloaded in time: {type(error).__name__}") from None
        md5 = hashlib.md5(frame, usedforsecurity=False).hexdigest()
        if md5 != (answer.frame_md5 or "").lower():
            raise FrameError(f"its {len(frame)} bytes have not the MD5 that the API told")
        return frame

    def _is_cos(self, url: str) -> bool:
        """Whether a link that the API gave leads to COS, by https unless to a local cloud."""
        try:
            parts = urlsplit(url)
            host, user = parts.hostname or "", parts.username
        except ValueError:
            return False
        schemes = ("http", "https") if self._plain else ("https",)
        return parts.scheme in schemes and user is None and bool(_COS_HOST.match(host))

    def _local(self, url: str) -> str:
        """With a local cloud, links go to it as plain http; else they stay as they are."""
        return re.sub(r"^https:", "http:", url) if self._plain else url

    def _call(
        self, action: str, parameters: Mapping[str, str], seconds: float
    ) -> tuple[Answer, Mapping[str, Any] | None]:
        """Call the API once: a failure as an Answer, or the Response and an Answer that only holds its id."""
        credentials = self._credentials
        assert credentials is not None, "use() comes first"  # noqa: S101 # a fault of ours, not of a caller
        secrets = (credentials.secret_id, credentials.secret_key, credentials.token)
        with self._wire.limit(API, seconds) as exchange:
            try:
                answered = self._client.call_json(action, dict(parameters))
            except TencentCloudSDKException as error:
                return refusal(error, exchange, secrets), None
            except (requests.RequestException, OSError):
                # The SDK reads the body outside its try.
                return Answer("ClientNetworkError", "the answer was cut", exchange.sent), None
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return Answer("Livepair.UnreadableAnswer", "the answer is no JSON of the API"), None
        return response_of(answered, secrets)


class _Sized:
    """Pieces of known total length, hashed as they pass, so that no body is held and none is sent chunked."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces, self._size = pieces, size
        self.md5 = hashlib.md5(usedforsecurity=False)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.md5.update(piece)
            yield piece
