"""Signatures of what a run leaves in a data store: who may have written a record or document, and that it is where its
writer put it.

Values need none: whatever names one names its digest, and what is loaded is compared with it. Signed is what names
them, each thing together with its key in the store, so that it stands for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, final

from blake3 import blake3

from dovetail.interfaces.errors import SettingsError, SignatureError

if TYPE_CHECKING:
    from pathlib import Path

    from dovetail.interfaces.context import SecretRef

__all__ = ["SIGNATURE_SIZE", "Keyring", "SigningKey", "open_keyring", "split_document"]

SECRET_SIZE: Final = 32
"""Characters that the secret behind a key has at least: whoever reads a store can try short ones."""
ID_SIZE: Final = 8
MAC_SIZE: Final = 32
SIGNATURE_SIZE: Final = ID_SIZE + MAC_SIZE
"""Bytes of a signature: the id of its key, and the code that only holders of the key can make."""

_KEY_CONTEXT: Final = "dovetail 2025-01 signatures of a data store: key"
_ID_CONTEXT: Final = "dovetail 2025-01 signatures of a data store: id of a key"
_DOCUMENT: Final = b"dovetail-document-1\0"
_FRAME: Final = b"dovetail-frame-1\0"
_TEXT: Final = ID_SIZE * 2 + MAC_SIZE * 2 + 24
"""Bytes at the end of a signed document that its signature takes at most."""
_SIGNED: Final = re.compile(rb',"signature(?P<colon>":"|:)(?P<id>[0-9a-f]{16}):(?P<mac>[0-9a-f]{64})"(?P<end>[}\]])\Z')


@final
class SigningKey:
    """A key, made from a secret. Nothing shows the key; its id is public.

    Args:
        secret: The secret.
        name: What errors call it: a reference, never the secret itself.

    Raises:
        SettingsError: It is too short.
    """

    __slots__ = ("_key", "id", "name")

    def __init__(self, secret: str, *, name: str = "a key") -> None:
        if len(secret) < SECRET_SIZE:
            raise SettingsError(
                f"the secret {name} has {len(secret)} characters, and a key for signing needs {SECRET_SIZE} or more",
                hint="Make one with: openssl rand -hex 32",
            )
        data = secret.encode("utf-8", "surrogateescape")
        self._key = blake3(data, derive_key_context=_KEY_CONTEXT).digest()
        self.id = blake3(data, derive_key_context=_ID_CONTEXT).digest(ID_SIZE)
        """Says which key made a signature."""
        self.name = name
        """Where the secret comes from."""

    def __repr__(self) -> str:
        return f"SigningKey({self.id.hex()}, {self.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a signing key stays in the process that looked it up")

    def mac(self, domain: bytes, key: str, *parts: bytes) -> bytes:
        """The code for what lies at a key of a store."""
        name = key.encode()
        hasher = blake3(domain + len(name).to_bytes(4, "little") + name, key=self._key)
        for part in parts:
            hasher.update(part)
        return hasher.digest()


@final
class Keyring:
    """The key that signs, and those that are trusted. Thread-safe.

    Args:
        signing: Signs what is written; None: nothing can be written.
        trusted: Further keys whose signatures count.
    """

    def __init__(self, signing: SigningKey | None, trusted: Sequence[SigningKey] = ()) -> None:
        self.signing = signing
        """Signs what is written."""
        self._trusted = {key.id: key for key in (*trusted, *((signing,) if signing else ()))}

    def __repr__(self) -> str:
        return f"Keyring(signing={self.signing!r}, trusted={list(self._trusted.values())!r})"

    # -- documents ------------------------------------------------------------------------------------------------

    def sign_document(self, key: str, body: bytes) -> bytes:
        """A JSON document with its signature as the last member of its object, or the last item of its list."""
        signer = self._signer(key)
        text = f"{signer.id.hex()}:{signer.mac(_DOCUMENT, key, body).hex()}"
        if body[-1:] == b"}":
            return b'%b,"signature":"%b"}' % (body[:-1], text.encode())
        assert body[-1:] == b"]", "documents are objects or lists"
        return b'%b,"signature:%b"]' % (body[:-1], text.encode())

    def check_document(self, key: str, data: bytes, where: str) -> bytes:
        """A document without its signature, which is a trusted one of what lies at this key.

        Raises:
            SignatureError: It is not.
        """
        body, signature = split_document(data)
        self._check(signature, _DOCUMENT, key, "", where, body)
        return body

    # -- frames ---------------------------------------------------------------------------------------------------

    def frame_signer(self, key: str, offset: int) -> Callable[[bytes], bytes]:
        """Signs the meta of a frame at an offset."""
        signer = self._signer(key)
        return lambda meta: signer.id + signer.mac(_FRAME, key, offset.to_bytes(8, "little"), meta)

    def check_frame(self, key: str, offset: int, meta: bytes, signature: bytes, where: str) -> None:
        """Check that a frame's meta has a trusted signature for this place.

        Raises:
            SignatureError: It has not.
        """
        at = f" at byte {offset}"
        self._check(signature, _FRAME, key, at, where, offset.to_bytes(8, "little"), meta)

    # -- both -----------------------------------------------------------------------------------------------------

    def _signer(self, key: str) -> SigningKey:
        if self.signing is None:
            raise SettingsError(
                f"{key} can't be written: artifacts.signed is on, and there is no artifacts.signing_key",
                hint='Name a secret that holds one, as in signing_key = {secret = "env:STORE_KEY"}.',
            )
        return self.signing

    def _check(self, signature: bytes, domain: bytes, key: str, at: str, where: str, *parts: bytes) -> None:
        what = f"{_named(key)}{at} in {where}"
        if not signature:
            raise SignatureError(
                f"{what} is not signed, and artifacts.signed asks for it",
                key=key,
                hint="If you trust whoever wrote the store, have a copy of it signed: "
                "dovetail store copy FROM TO --trust-source",
            )
        signer = self._trusted.get(signature[:ID_SIZE])
        if signer is None:
            raise SignatureError(
                f"{what} is signed with the key {signature[:ID_SIZE].hex()}, which is not trusted here",
                key=key,
                hint="If you trust who holds that key, add it to artifacts.trusted_keys.",
            )
        if not compare_digest(signer.mac(domain, key, *parts), signature[ID_SIZE:]):
            raise SignatureError(
                f"{what} is not what was signed there: it was changed, or put there from somewhere else",
                key=key,
                hint="Restore it from a copy that you trust; dovetail store verify names all that was changed.",
            )


def split_document(data: bytes) -> tuple[bytes, bytes]:
    """(a document as it was before it was signed, its signature); the latter is empty where it has none."""
    found = _SIGNED.search(data, max(0, len(data) - _TEXT))
    if found is None or (found["end"] == b"}") != (found["colon"] != b":"):
        return data, b""
    return data[: found.start()] + found["end"], bytes.fromhex((found["id"] + found["mac"]).decode())


def open_keyring(plain: Mapping[str, Any], home: Path) -> Keyring:
    """Look the keys up, in the process that needs them.

    Args:
        plain: `key` (a reference to a secret, or None) and `trusted` (references), as `ArtifactSettings.signing`.
        home: Folder of local state.

    Raises:
        NotFoundError: There is no such secret.
        SettingsError: One is no key.
    """
    from dovetail.plugins.opening import SecretLookup
    from dovetail.plugins.registry import registry
    from dovetail.plugins.secrets import parse_secret

    lookup = SecretLookup(registry(), home)

    def key_of(text: str) -> SigningKey:
        ref: SecretRef = parse_secret(text)
        return SigningKey(lookup(ref), name=str(ref))

    signing = key_of(plain["key"]) if plain.get("key") else None
    return Keyring(signing, [key_of(text) for text in plain.get("trusted", ())])


def _named(key: str) -> str:
    """A key of a store, and the run that it belongs to."""
    parts = key.split("/")
    return f"{key} of run {parts[1]}" if parts[0] == "runs" and len(parts) > 2 else key
