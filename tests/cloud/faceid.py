"""The faceid API, version 2018-03-01: three actions, and the buckets that belong to them.

Page numbers are of Tencent's documentation of product 1061: 44246 (the call), 47646 (the colour
sequence), 47648 (upload links), 46849 (both resources), and the page of error codes. What an upload
brings is decided by its content (`samples`), unless a test has scripted the answer.

Two COS buckets of the service's own are served here as well: the one that upload links lead to, and
the one best frames and colour sequences are kept in.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import secrets
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from tests.cloud import api, samples
from tests.cloud.api import ApiError
from tests.cloud.clock import Clock
from tests.cloud.cos_sign import Account
from tests.cloud.proxy import Operation, Proxy, Request, Response

API = re.compile(r"faceid(\.[a-z]+-[a-z]+)?(\.intl)?\.tencentcloudapi\.com")
COS_HOST = re.compile(r"[a-z0-9-]+-\d+\.cos\.(?P<region>[a-z0-9-]+)\.(myqcloud\.com|tencentcos\.cn)")
RELAY = "faceid-upload-1250000001"
FRAMES = "faceid-bestframe-1250000001"
OWN_BUCKETS = re.compile(rf"(?P<bucket>{RELAY}|{FRAMES})\.cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com")

VERSION = "2018-03-01"
REGIONS = ("ap-bangkok", "ap-hongkong", "ap-singapore")
COMPARE = "DetectReflectLivenessAndCompare"
SEQUENCE = "GenerateReflectSequence"
UPLOAD_URL = "CreateUploadUrl"
PARAMETERS = {
    COMPARE: ("LiveDataUrl", "LiveDataMd5", "ImageUrl", "ImageMd5"),
    SEQUENCE: ("DeviceDataUrl", "DeviceDataMd5"),
    UPLOAD_URL: ("TargetAction",),
}
OPTIONAL = {SEQUENCE: ("SecurityLevel",)}
TARGET_ACTIONS = (COMPARE, SEQUENCE, "ApplyWebVerificationToken")
SECURITY_LEVELS = ("1", "2", "3", "4")
"""Silent, blinking, light, blinking and light; the last where none is given (page 47646)."""

KEPT = 2 * 3600
"""Seconds that uploads by link and best frames are kept."""

BILLED = ("Success", "FailedOperation.CompareLowSimilarity", "InternalError.CompareLowSimilarity")
UNAVAILABLE = "The service is not available to the account here."
LARGEST_HELD = 64 * 1024 * 1024
LARGEST_RELAYED = 2 * 1024 * 1024 * 1024
"""Bytes of a resource the engine looks at; more is hashed, and then no video."""


@dataclass(frozen=True, slots=True)
class BestFrame:
    """The best frame of a scripted answer, and what is wrong with it.

    `body` None: a sample image. `md5` None: the right one. `url` None: the usual link. Where
    fetched, it is answered with `status` and `headers`, `padding` zero bytes after the body, and
    `seconds_per_byte` in real time.
    """

    body: bytes | None = None
    md5: str | None = None
    url: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    padding: int = 0
    seconds_per_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A scripted answer to one DetectReflectLivenessAndCompare that passed all checks.

    With `error` that code comes in Response.Error, else `result` in Response.Result. `sim` None:
    Response has no Sim. `raw` replaces the whole body: bytes as they are, anything else as JSON.
    """

    result: str = "Success"
    sim: float | None = 96.3
    error: str | None = None
    best_frame: BestFrame | None = None
    raw: Any = None


@dataclass(slots=True)
class Call:
    """One API request, as the service saw it.

    `executed`: the engine looked at the two resources. `code` is the error's, or the result.
    """

    at: datetime
    source: str
    host: str
    action: str
    region: str
    language: str
    secret_id: str
    params: dict[str, Any]
    request_id: str
    body: bytes = b""
    """As it came, also where nothing more was read of it because the call was throttled."""
    executed: bool = False
    billed: bool = False
    code: str = ""
    similarity: float | None = None


@dataclass(slots=True)
class _Stored:
    """A file in one of the service's own buckets; its links expire, so it need not."""

    body: bytes | None = None
    frame: BestFrame = field(default_factory=BestFrame)
    type: str = "image/jpeg"


class Faceid:
    """The API and the two buckets that belong to it."""

    def __init__(self, clock: Clock, accounts: Mapping[str, Account]) -> None:
        self._clock = clock
        self._accounts = accounts
        self.limits = {COMPARE: 5, SEQUENCE: 5, UPLOAD_URL: 20}
        """Requests a second that are executed; more are refused (pages 44246, 47646, 47648)."""
        self.verdicts: dict[str, Answer] = {}
        """What is said of the live package with this MD5, whatever is in it."""
        self.sequence_md5: str | None = None
        """The MD5 that is said of every colour sequence; None: the right one."""
        self.latency = 0.0
        """Real seconds the engine takes to look at a pair."""
        self.fetch_timeout = 10.0
        """Real seconds within which a resource must have been fetched."""
        self._refused: dict[str, str] = {}
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {action: deque() for action in PARAMETERS}
        self._calls: list[Call] = []
        self._script: deque[Answer] = deque()
        self._stored: dict[tuple[str, str], _Stored] = {}
        self._proxy: Proxy | None = None
        self._session: aiohttp.ClientSession | None = None
        # Tells the backend's own fetches from anybody else's.
        self._pass = secrets.token_hex(16)

    def connect(self, proxy: Proxy) -> None:
        """Fetch resources through this proxy. Needed before the first call."""
        self._proxy = proxy

    async def close(self) -> None:
        """Close the connections to the proxy; on its loop."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def calls(self) -> list[Call]:
        """Every API request so far, in the order they were answered."""
        with self._lock:
            return list(self._calls)

    def script(self, *answers: Answer) -> None:
        """Answer the next calls that pass all checks with these, whatever their resources say."""
        with self._lock:
            self._script.extend(answers)

    def refuse_host(self, host: str, code: str | None = "AuthFailure.SecretIdNotFound") -> None:
        """From now on answer all calls to the hosts that match (fnmatch) with this error code.

        None: serve them again.

        As where an account belongs to the other of the two sites, or its service is not activated.
        An `AuthFailure` comes before the signature is looked at. What is below `UnauthorizedOperation`, the
        state of an account, comes last: after the parameters, before anything is fetched. No page says when,
        so whoever asks without parameters learns nothing of it here. Any other code comes after the
        account's policy and before the parameters.
        """
        if code is None:
            self._refused.pop(host, None)
        else:
            self._refused[host] = code

    # What the proxy asks of a service

    def serves(self, host: str) -> bool:
        return bool(API.fullmatch(host) or OWN_BUCKETS.fullmatch(host))

    def operation(self, request: Request) -> Operation:
        bucket = OWN_BUCKETS.fullmatch(request.host)
        if bucket is None:
            return Operation("faceid", api.action_of(request))
        names = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject"}
        name = names.get(request.method, request.method)
        return Operation("faceid-files", name, bucket["bucket"], unquote(request.raw_path)[1:])

    async def handle(self, request: Request) -> Response:
        if OWN_BUCKETS.fullmatch(request.host):
            return await self._files(request)
        call = Call(
            at=self._clock.now(),
            source=request.source,
            host=request.host,
            action=api.action_of(request),
            region=request.headers.get("X-TC-Region", ""),
            language=request.headers.get("X-TC-Language", ""),
            secret_id="",
            params={},
            request_id=str(uuid.uuid4()),
        )
        try:
            content = await self._call(request, call)
        except ApiError as error:
            call.code = error.code
            content = _error(call, error.code, error.message)
        with self._lock:
            self._calls.append(call)
        return api.answer(content)

    def refuse(self, request: Request, status: int, code: str, message: str) -> Response:
        if OWN_BUCKETS.fullmatch(request.host):
            return _file_error(status, code, message)
        return api.answer(api.error(code, message, str(uuid.uuid4()), "en-US"), status)

    # The API

    async def _call(self, request: Request, call: Call) -> dict[str, Any] | bytes:
        refusal = self._refusal(call.host)
        if refusal is not None and refusal.startswith("AuthFailure."):
            raise ApiError(refusal, "The account is unknown here.")
        now = self._clock.seen_from(request.source)
        call.secret_id, body = await api.authenticate(request, "faceid", self._accounts, now)
        call.body = body
        account = self._accounts[call.secret_id]
        api.authorize(request, VERSION, PARAMETERS, account, Operation("faceid", call.action))
        late = refusal is not None and refusal.startswith("UnauthorizedOperation.")
        if refusal is not None and not late:
            raise ApiError(refusal, UNAVAILABLE)
        if not call.region:
            raise api.missing("Region")
        if call.region not in REGIONS:
            raise ApiError("UnsupportedRegion", f"The region `{call.region}` is not supported.")
        self._count(call.action)
        call.params = _parameters(call.action, body)
        if refusal is not None:
            raise ApiError(refusal, UNAVAILABLE)
        if call.action == UPLOAD_URL:
            return self._create_upload_url(call)
        if call.action == SEQUENCE:
            return await self._generate_sequence(call)
        return await self._compare(call)

    def _refusal(self, host: str) -> str | None:
        return next((code for hosts, code in self._refused.items() if fnmatchcase(host, hosts)), None)

    def _count(self, action: str) -> None:
        """Let a call through, or refuse it: only so many are let through in any one second."""
        now = self._clock.timestamp()
        recent = self._recent[action]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= self.limits[action]:
            raise ApiError(
                "RequestLimitExceeded",
                f"Your current request times equals to `{len(recent) + 1}` in a second, which "
                f"exceeds the frequency limit `{self.limits[action]}` for a second. Please reduce "
                "the frequency of calls.",
            )
        recent.append(now)

    def _create_upload_url(self, call: Call) -> dict[str, Any]:
        if call.params["TargetAction"] not in TARGET_ACTIONS:
            raise ApiError("InvalidParameterValue", "The TargetAction is not supported.")
        key = f"{call.params['TargetAction']}/{uuid.uuid4().hex}"
        expires = int(self._clock.timestamp()) + KEPT
        host = f"{RELAY}.cos.{call.region}.myqcloud.com"
        self._stored[RELAY, key] = _Stored()
        call.code = "Success"
        return {
            "Response": {
                "UploadUrl": _link(host, key, "put", expires),
                "ResourceUrl": _link(host, key, "get", expires),
                "ExpiredTimestamp": expires,
                "RequestId": call.request_id,
            }
        }

    async def _generate_sequence(self, call: Call) -> dict[str, Any]:
        """A colour sequence for what the SDK says of its device: base64 of JSON that the backend has put."""
        _check_md5s(call, "DeviceDataMd5")
        if call.params.get("SecurityLevel", "4") not in SECURITY_LEVELS:
            raise ApiError("InvalidParameterValue", "The value of `SecurityLevel` is not valid.")
        _object(call.params["DeviceDataUrl"], call.region)
        data, md5 = await self._fetch(call.params["DeviceDataUrl"])
        if md5 != call.params["DeviceDataMd5"].lower():
            raise ApiError("InvalidParameterValue", "MD5 Error")
        call.executed = True
        drawn = uuid.uuid4().hex
        body = samples.sequence(_device_data(data or b""), drawn)
        key = f"{drawn}_LightData"
        expires = int(self._clock.timestamp()) + KEPT
        self._stored[FRAMES, key] = _Stored(body, type="application/octet-stream")
        call.code = "Success"
        return {
            "Response": {
                "ReflectSequenceUrl": _link(f"{FRAMES}.cos.{call.region}.myqcloud.com", key, "get", expires),
                "ReflectSequenceMd5": self.sequence_md5 or hashlib.md5(body).hexdigest(),
                "RequestId": call.request_id,
            }
        }

    async def _compare(self, call: Call) -> dict[str, Any] | bytes:
        _check_md5s(call, "LiveDataMd5", "ImageMd5")
        links = [call.params["LiveDataUrl"], call.params["ImageUrl"]]
        objects = [_object(link, call.region) for link in links]
        if objects[0] == objects[1]:
            raise ApiError("InvalidParameterValue", "LiveDataUrl and ImageUrl name one and the same object.")
        fetched = await asyncio.gather(*(self._fetch(link) for link in links))
        digests = [call.params["LiveDataMd5"], call.params["ImageMd5"]]
        for (_, found), expected in zip(fetched, digests, strict=True):
            if found != expected.lower():
                raise ApiError("InvalidParameterValue", "MD5 Error")
        if self.latency:
            await asyncio.sleep(self.latency)
        call.executed = True
        with self._lock:
            scripted = self._script.popleft() if self._script else None
        (live, md5), (image, _) = fetched
        answer = scripted or _judge(live, image, self.verdicts.get(md5))
        call.code = answer.error or answer.result
        call.billed = call.code in BILLED
        call.similarity = answer.sim if answer.error is None else None
        if answer.raw is not None:
            raw: dict[str, Any] | bytes = answer.raw
            return raw
        if answer.error is not None:
            return _error(call, answer.error, "The two resources were judged.")
        return {"Response": self._verdict(call, answer)}

    def _verdict(self, call: Call, answer: Answer) -> dict[str, Any]:
        response: dict[str, Any] = {
            "Result": answer.result,
            "Description": api.in_language(call.language, answer.result, answer.result),
            "BestFrameUrl": None,
            "BestFrameMd5": None,
            "RequestId": call.request_id,
        }
        if answer.sim is not None:
            response["Sim"] = answer.sim
        frame = answer.best_frame
        if frame is None and answer.result == "Success":
            frame = BestFrame()
        if frame is not None:
            body = frame.body
            if body is None:
                body = samples.image(seed=int(call.params["LiveDataMd5"][:8], 16))
            body += bytes(frame.padding)
            key = f"best-frames/{uuid.uuid4().hex}.jpg"
            expires = int(self._clock.timestamp()) + KEPT
            self._stored[FRAMES, key] = _Stored(body, frame)
            host = f"{FRAMES}.cos.{call.region}.myqcloud.com"
            response["BestFrameUrl"] = frame.url or _link(host, key, "get", expires)
            response["BestFrameMd5"] = frame.md5 or hashlib.md5(body).hexdigest()
        return response

    async def _fetch(self, link: str) -> tuple[bytes | None, str]:
        """The bytes behind a link, None where they are too many to look at, and their MD5."""
        assert self._proxy is not None, "connect() comes before the first call"
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
            # One GET is one request: what a script breaks stays broken.
            self._session._retry_connection = False
        digest = hashlib.md5()
        held: bytearray | None = bytearray()
        url = URL("http://" + link.partition("://")[2], encoded=True)
        try:
            async with self._session.get(
                url,
                proxy=self._proxy.url,
                headers={"X-Local-Cloud-Pass": self._pass, "User-Agent": "faceid-backend"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.fetch_timeout),
            ) as answer:
                if answer.status != 200:
                    raise ApiError("FailedOperation.DownLoadError", "File download failed.")
                async for chunk in answer.content.iter_chunked(256 * 1024):
                    digest.update(chunk)
                    if held is not None:
                        held += chunk
                        held = held if len(held) <= LARGEST_HELD else None
        except asyncio.TimeoutError:
            raise ApiError("FailedOperation.DownLoadTimeoutError", "File download timed out.") from None
        except aiohttp.ClientError:
            raise ApiError("FailedOperation.DownLoadError", "File download failed.") from None
        return (None if held is None else bytes(held)), digest.hexdigest()

    # The two buckets

    async def _files(self, request: Request) -> Response:
        found = OWN_BUCKETS.fullmatch(request.host)
        assert found is not None
        key = unquote(request.raw_path)[1:]
        file = self._stored.get((found["bucket"], key))
        method = request.method.lower()
        window = request.parameter("q-sign-time") or ""
        # Over the bytes of the target: a link comes back as it was given, or it is none.
        signed, _, signature = request.raw_query.rpartition("&q-signature=")
        if signature != _signature(request.host, method, f"{request.raw_path}?{signed}"):
            return _file_error(403, "SignatureDoesNotMatch", "The signature does not hold.")
        if int(window.partition(";")[2]) <= self._clock.timestamp():
            return _file_error(403, "AccessDenied", "Request has expired")
        if file is None:
            return _file_error(404, "NoSuchKey", "The specified key does not exist.")
        if method == "put":
            file.body = await request.read(LARGEST_RELAYED)
            etag = hashlib.md5(file.body).hexdigest()
            return Response(200, {"ETag": f'"{etag}"', "Server": "tencent-cos"})
        if found["bucket"] == RELAY and request.headers.get("X-Local-Cloud-Pass") != self._pass:
            return _file_error(403, "AccessDenied", "Access Denied.")
        if file.body is None:
            return _file_error(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"Content-Type": file.type, "Server": "tencent-cos", **file.frame.headers}
        if file.frame.seconds_per_byte:
            slow = _slowly(file.body, file.frame.seconds_per_byte)
            return Response(file.frame.status, headers, slow, len(file.body))
        return Response(file.frame.status, headers, file.body)


def _judge(live: bytes | None, image: bytes | None, said: Answer | None) -> Answer:
    """What the engine makes of two resources: the live package is looked at first, or `said` of it."""
    answer = said or _look_at(live)
    if answer.error is not None or answer.result not in BILLED:
        return answer
    try:
        fate = samples.IMAGE_FATES[samples.read_image(image or b"")]
    except samples.NotASampleError:
        fate = "FailedOperation.ImageDecodeFailed"
    return answer if fate is None else Answer(error=fate)


def _look_at(live: bytes | None) -> Answer:
    """What a live package says."""
    try:
        said = samples.read_live(live or b"")
    except samples.NotASampleError:
        return Answer(error="FailedOperation.VideoDecodeFailed")
    if "error" in said:
        return Answer(error=said["error"])
    return Answer(result=said["result"], sim=said["sim"] if said["result"] in BILLED else 0.0)


def _parameters(action: str, body: bytes) -> dict[str, Any]:
    params = api.parameters(body)
    for name, value in params.items():
        if name not in (*PARAMETERS[action], *OPTIONAL.get(action, ())):
            raise api.unknown(name)
        if not isinstance(value, str):
            raise ApiError("InvalidParameter", f"The type of parameter `{name}` is not valid.")
    for name in PARAMETERS[action]:
        if not params.get(name):
            raise api.missing(name)
    return params


def _check_md5s(call: Call, *names: str) -> None:
    for name in names:
        if not re.fullmatch(r"[0-9a-fA-F]{32}", call.params[name]):
            raise ApiError("InvalidParameterValue", f"The value of `{name}` is not valid.")


def _device_data(data: bytes) -> dict[str, Any]:
    """What the SDK says of its device. Raises ApiError where the bytes are no base64 of it.

    No page says which code that brings; a backend has to live with any.
    """
    try:
        found = json.loads(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict) or "select_data" not in found:
        raise ApiError("InvalidParameterValue", "DeviceData is no Base64 of what the SDK gave.")
    return found


def _object(link: str, region: str) -> tuple[str, str]:
    """Host and path of a resource that may be fetched: a COS link of the request's region."""
    parts = urlsplit(link)
    host = COS_HOST.fullmatch(parts.netloc.lower())
    if parts.scheme not in ("http", "https") or host is None or host["region"] != region:
        raise ApiError("InvalidParameterValue", "invalid resourceUrl")
    return parts.netloc.lower(), unquote(parts.path)


def _error(call: Call, code: str, message: str) -> dict[str, Any]:
    return api.error(code, message, call.request_id, call.language)


def _signature(host: str, method: str, target: str) -> str:
    return hashlib.sha1(f"{host} {method} {target}".encode()).hexdigest()


def _link(host: str, key: str, method: str, expires: int) -> str:
    """A link of the shape COS gives them, `/` and `;` percent-encoded. Its signature is the service's own."""
    window = quote(f"{expires - KEPT};{expires}", safe="")
    target = (
        f"/{quote(key, safe='')}?q-sign-algorithm=sha1&q-ak=AKIDlocalcloudfaceid"
        f"&q-sign-time={window}&q-key-time={window}&q-header-list=host&q-url-param-list="
    )
    return f"https://{host}{target}&q-signature={_signature(host, method, target)}"


def _file_error(status: int, code: str, message: str) -> Response:
    request_id = uuid.uuid4().hex
    body = (
        "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n"
        f"\t<Code>{code}</Code>\n\t<Message>{message}</Message>\n\t<Resource>/</Resource>\n"
        f"\t<RequestId>{request_id}</RequestId>\n\t<TraceId>{request_id}</TraceId>\n</Error>\n"
    )
    return Response(status, {"Content-Type": "application/xml"}, body.encode())


async def _slowly(body: bytes, seconds_per_byte: float) -> AsyncIterator[bytes]:
    for at in range(len(body)):
        yield body[at : at + 1]
        await asyncio.sleep(seconds_per_byte)
