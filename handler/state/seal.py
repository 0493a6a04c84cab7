"""The seal of records: that somebody who knows the secret wrote them, under these very keys.

Whoever may write the state bucket and does not know the secret can neither make a record nor change what it
decided, nor put it under another's key. A seal is the HMAC-SHA256 over the key and the sealed text, by a key
derived from a secret of STATE_SECRET, else of WEBHOOK_SECRET. That key makes nothing else, so no signature of
a message can pass for a seal.
"""

import base64
import hmac

PURPOSE = b"livepair: seal of a record, version 1"
"""What the secret's key is derived for; no signed message begins like that."""


class Seals:
    """Seals with the first of the `secrets` (`whsec_` and base64), and accepts what any of them sealed."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._keys = [_hmac(base64.b64decode(secret.removeprefix("whsec_")), PURPOSE) for secret in secrets]

    def seal(self, key: str, text: str) -> str:
        """The seal of a text that is to lie under a key, 64 hex digits."""
        return _sealed(self._keys[0], key, text)

    def holds(self, key: str, text: str, seal: object) -> bool:
        """Whether a text was sealed for that key. Compares in constant time."""
        found = seal.encode() if isinstance(seal, str) else b""
        return any(hmac.compare_digest(_sealed(own, key, text).encode(), found) for own in self._keys)


def _sealed(own: bytes, key: str, text: str) -> str:
    # No key has a zero byte in it, so it is certain where the text begins.
    return _hmac(own, f"{key}\0{text}".encode()).hex()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
