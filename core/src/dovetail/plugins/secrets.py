"""Secrets providers: where the value behind a `SecretRef` is looked up, in the process that needs it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["EnvSecrets", "FileSecrets", "SecretsProvider", "parse_secret"]


class SecretsProvider(ABC):
    """Looks up secrets. Thread-safe. Values are never logged, stored or shown."""

    @classmethod
    @abstractmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the provider (`target`: empty, or a URL)."""

    @abstractmethod
    def get(self, id: str) -> str:
        """The value of a secret.

        Raises:
            NotFoundError: There is no such secret. The message names it.
        """

    def close(self) -> None:
        """Release what the provider holds. Idempotent."""
        return


class EnvSecrets(SecretsProvider):
    """`env:NAME`: an environment variable."""

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Nothing to open."""
        return cls()

    def get(self, id: str) -> str:
        """The variable's value."""
        try:
            return os.environ[id]
        except KeyError:
            raise NotFoundError(
                f"the secret env:{id} is not there", hint=f"Set the variable: export {id}=..."
            ) from None


class FileSecrets(SecretsProvider):
    """`file:PATH`: the text of a file, without the line break at its end."""

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Nothing to open."""
        return cls()

    def get(self, id: str) -> str:
        """The file's text."""
        try:
            return Path(id).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise NotFoundError(f"the secret file:{id} can't be read: {error.strerror}") from None


def parse_secret(text: str) -> SecretRef:
    """`PROVIDER:ID` as a reference.

    Raises:
        SettingsError: It is not one. The text itself is not repeated: it may be a secret pasted in its place.
    """
    provider, colon, id = text.partition(":")
    if not colon or not id or not provider.replace("-", "").replace("_", "").isalnum() or not provider[:1].isalpha():
        raise SettingsError(
            "a secret is given as a reference, never as its value",
            hint='Write {secret = "env:NAME"} or {secret = "file:PATH"}.',
        )
    return SecretRef(provider=provider, id=id)
