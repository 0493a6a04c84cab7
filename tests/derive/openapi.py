"""events/openapi.yaml: the webhook as OpenAPI 3.1, for tools that make a server's side of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import yaml

from handler.rules.schedule import DELIVERIES
from tests.derive.contract import by_type, derive
from tests.derive.samples import SAMPLES

ROOT = "#/components/schemas/"

SIGNED = (
    "Standard Webhooks: `webhook-signature` is over the bytes of the body as they came. Verify it before "
    "anything else. Answer 2xx, also to what you have seen and to types that you do not know."
)
HEADERS = {
    "webhook-id": (
        "The message's id, equal to `id` in the body, and the same in every attempt: drop repeats by it.",
        {"type": "string", "pattern": "^msg_[^.]+$"},
    ),
    "webhook-timestamp": (
        "When livepair signed this attempt, in Unix seconds. Refuse what is five minutes off.",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "webhook-signature": (
        "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; one a secret, separated by spaces.",
        {"type": "string", "pattern": "^v1,\\S+( v1,\\S+)*$"},
    ),
    "user-agent": ("`livepair/` and its version.", {"type": "string", "pattern": "^livepair/"}),
}


def answers() -> dict[str, Any]:
    """What the consumer may answer, and what livepair makes of it."""
    days = round(sum(DELIVERIES, timedelta()) / timedelta(days=1))
    again = f"livepair posts the message again, {len(DELIVERIES) + 1} times in all in about {days} days."
    retry_after = {
        "description": "Seconds, or an HTTP date. From the third attempt on it puts the next one off, by an "
        "hour at the most.",
        "schema": {"type": "string"},
    }
    return {
        "2XX": {"description": "Taken. Answer within 15 seconds; livepair reads no body."},
        "401": {"description": f"Not genuine. {again}"},
        "410": {"description": "livepair stops at once, and the message goes to `dead/`."},
        "5XX": {
            "description": f"Not stored. {again}",
            "headers": {"Retry-After": retry_after},
        },
        "default": {"description": f"Anything else, a redirect too, is not taken. {again}"},
    }


def page() -> str:
    derived = derive()
    names = {type_: name for type_, (name, _) in derived.messages.items()}
    message = {
        "description": "Properties that are not named here may be added: ignore what you do not know.",
        "oneOf": [{"$ref": f"{ROOT}{name}"} for name in names.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {type_: f"{ROOT}{name}" for type_, name in names.items()},
        },
    }
    samples = [name.removeprefix("events/") for name in SAMPLES]
    examples = {name.removesuffix(".json"): {"externalValue": f"./{name}"} for name in samples}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "livepair's webhook",
            "version": "1",
            "summary": "One signed message for each outcome of a verification.",
            "description": "Made from message.schema.json by `make docs`. README.md beside it is the guide.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "webhooks": {
            "message": {
                "post": {
                    "operationId": "message",
                    "summary": "An outcome, or a test",
                    "description": SIGNED,
                    "parameters": [
                        {
                            "name": name,
                            "in": "header",
                            "required": True,
                            "description": says,
                            "schema": schema,
                        }
                        for name, (says, schema) in HEADERS.items()
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {"schema": {"$ref": f"{ROOT}Message"}, "examples": examples}
                        },
                    },
                    "responses": answers(),
                }
            }
        },
        "components": {"schemas": {"Message": message, **by_type(derived, ROOT)}},
    }
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return text


class _Plain(yaml.SafeDumper):
    """Without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
