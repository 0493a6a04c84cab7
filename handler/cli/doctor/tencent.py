"""The APIs of Tencent that sections ask, with the operator's credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from handler.cli.deployment import Deployment
from handler.edges.wire import API
from handler.rules.pairing import plain

SECONDS = 30  # for one call
WORDS = 200  # characters of an error's words that are shown


class Answer(NamedTuple):
    """What an API answered: the code of its error, or None; the fields of its Response; its error's words."""

    error: str | None
    fields: Mapping[str, Any]
    said: str = ""


class Service:
    """One of Tencent's APIs at one host, in the deployment's region."""

    def __init__(self, deployment: Deployment, name: str, version: str, host: str) -> None:
        self._wire = deployment.wire
        http = HttpProfile(
            protocol="http" if self._wire.proxy else "https",
            endpoint=host,
            reqTimeout=SECONDS,
            proxy=self._wire.proxy,
        )
        secret_id, secret_key, token = deployment.credentials
        self._client = CommonClient(
            name,
            version,
            Credential(secret_id, secret_key, token),
            deployment.region,
            ClientProfile(httpProfile=http, language="en-US"),
        )
        self._wire.bound(self._client.request.conn._session)

    def ask(self, action: str, **parameters: object) -> Answer:
        """Call an action. What goes wrong is an answer with an error, too."""
        with self._wire.limit(API, SECONDS):
            try:
                answered = self._client.call_json(action, parameters)
            except TencentCloudSDKException as error:
                return _refused(error.code, error.message)
            except (requests.RequestException, OSError, ValueError):
                return Answer("ClientNetworkError", {})
        fields = answered.get("Response")
        if not isinstance(fields, dict):
            return Answer("an answer that cannot be read", {})
        # The SDK overlooks an error whose Content-Type carries a charset.
        refused = fields.get("Error")
        if isinstance(refused, dict) and refused.get("Code"):
            return _refused(refused["Code"], refused.get("Message"))
        return Answer(None, fields)


def _refused(code: object, said: object) -> Answer:
    """An error's words can repeat a signed link, which is left out; of a lost connection they are no help."""
    words = re.sub(r"\w+://\S+", "…", plain(" ".join(str(said or "").split())))
    return Answer(plain(code), {}, "" if code == "ClientNetworkError" else words[:WORDS])
