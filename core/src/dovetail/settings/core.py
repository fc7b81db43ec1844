"""Settings of Dovetail itself, as opposed to those of a backend."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.dataclass import dataclass
from dovetail.plugins.rules import PluginRules
from dovetail.settings.retention import RetentionRule

__all__ = ["ArtifactSettings", "CoreSettings", "TagSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSettings:
    """Tags of runs: `[tool.dovetail.tags]`."""

    default: Annotated[tuple[str, ...], "Tags that every run gets"] = ()
    required: Annotated[
        tuple[str, ...], "What every run must have: a tag (`nightly`), or a key (`team:`) with any value"
    ] = ()
    pattern: Annotated[str, "Regular expression that every tag must match as a whole; empty: any"] = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from None

    def problems(self, tags: tuple[str, ...]) -> list[str]:
        """What is wrong with a run's tags; the defaults count as given by the caller already."""
        wrong = [f"a tag {shown} is required: add --tag {shown}" for shown in self.missing(tags)]
        return wrong + self.misfits(tags)

    def missing(self, tags: Collection[str]) -> list[str]:
        """What is required and not among the tags; `team:...` for a key."""
        return [
            f"{wanted}..." if wanted.endswith(":") else wanted
            for wanted in self.required
            if wanted not in tags and not (wanted.endswith(":") and any(tag.startswith(wanted) for tag in tags))
        ]

    def misfits(self, tags: Iterable[str]) -> list[str]:
        """What the pattern has against tags, whenever they are added."""
        if not self.pattern:
            return []
        bad = [tag for tag in tags if not re.fullmatch(self.pattern, tag)]
        return [f"tag {tag!r} does not match the pattern {self.pattern!r}" for tag in bad]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSettings:
    """How stored values are loaded: `[tool.dovetail.artifacts]`."""

    load: Annotated[
        Literal["any", "safe"], "Load any value, or none whose format can run code as it is loaded, as a pickle can"
    ] = "any"
    verify: Annotated[
        Literal["sample", "always", "never"] | None,
        "How much of a large array that is mapped from a local file is hashed before use: a few pieces, all, nothing. "
        "`sample` by default, `always` where `signed` is on. What is fetched and what is unpickled always is",
    ] = None
    signed: Annotated[
        bool, "Sign all that runs write, and read only what a trusted key has signed: see how to trust a store"
    ] = False
    signing_key: Annotated[SecretRef | None, "The secret that signs, of 32 characters or more; it is trusted too"] = (
        None
    )
    trusted_keys: Annotated[tuple[SecretRef, ...], "Further secrets whose signatures count"] = ()

    def __post_init__(self) -> None:
        if self.signed and self.signing_key is None and not self.trusted_keys:
            raise ValueError('signed needs a key, such as signing_key = {secret = "env:STORE_KEY"}')

    @property
    def policy(self) -> dict[str, Any]:
        """How an `ArtifactStore` loads values."""
        return {"safe": self.load == "safe", "verify": self.verify or ("always" if self.signed else "sample")}

    @property
    def distrusts_store(self) -> bool:
        """Whether nothing that only the store says may decide what code runs: safe, and no signature vouches for it."""
        return self.load == "safe" and not self.signed

    @property
    def signing(self) -> dict[str, Any] | None:
        """References to the keys, as plain data; None where nothing is signed."""
        if not self.signed:
            return None
        key = None if self.signing_key is None else str(self.signing_key)
        return {"key": key, "trusted": [str(ref) for ref in self.trusted_keys]}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSettings:
    """Settings of Dovetail itself: `[tool.dovetail]`."""

    max_workers: Annotated[int | None, "Attempts at once on this machine; the number of usable CPUs by default"] = None
    on_failure: Annotated[
        Literal["finish", "cancel", "continue"],
        "After a task failed: let running ones finish and start nothing, cancel them, or go on with what does not "
        "depend on it",
    ] = "finish"
    pause_after: Annotated[
        float,
        "Seconds that a run which only waits for input keeps its driver, before it is paused and the driver exits",
    ] = 5.0
    home: Annotated[Path | None, "Folder of local state; DOVETAIL_HOME comes first"] = None
    retention: Annotated[
        tuple[RetentionRule, ...], "Which runs `dovetail runs prune` deletes; the first rule that fits a run decides"
    ] = ()
    tags: Annotated[TagSettings, "Tags of runs"] = field(default_factory=TagSettings)
    artifacts: Annotated[ArtifactSettings, "How stored values are loaded"] = field(default_factory=ArtifactSettings)
    plugins: Annotated[PluginRules, "Which plugins are used"] = field(default_factory=PluginRules)

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise ValueError("max_workers must be at least 1")
        if not self.pause_after >= 0:
            raise ValueError("pause_after must be 0 or more")
