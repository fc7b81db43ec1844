"""The backend that was chosen, with checked settings, and where each value came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import SettingsError
from dovetail.settings.choice import Choice, has_password
from dovetail.settings.kinds import COMMON_KEYS

if TYPE_CHECKING:
    from dovetail.plugins.descriptors import BackendSpec
    from dovetail.plugins.given import Given

__all__ = ["Selection", "select"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A chosen backend instance. Holds references to secrets, never their values."""

    kind: str
    """`datastore`, `metadata`, `compute` or `environment`."""
    instance: str
    """Name of the instance; the backend's own where none is configured."""
    backend: str
    """Name of the backend."""
    target: str = ""
    """Path, URL, queue or whatever else the backend opens; empty: its default."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the backend as JSON-able data, defaults included; empty where nothing is set of a backend that
    works on this machine."""
    retries: int | None = None
    """Further tries of a throttled call; None: the guard's default."""
    rate_limit: float | None = None
    """Calls a second; None: no limit."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Key → where its value came from; `use` tells who chose the backend."""

    def to_plain(self) -> dict[str, Any]:
        """What a run pins and `open_backend` opens. JSON-able, without credentials."""
        plain: dict[str, Any] = {"instance": self.instance, "backend": self.backend, "target": self.target}
        plain["settings"] = dict(self.settings)
        if self.retries is not None:
            plain["retries"] = self.retries
        if self.rate_limit is not None:
            plain["rate_limit"] = self.rate_limit
        return plain

    @classmethod
    def from_plain(cls, kind: str, data: Mapping[str, Any]) -> Selection:
        """The inverse of `to_plain`; `sources` are lost."""
        return cls(
            kind=kind,
            instance=data.get("instance") or data["backend"],
            backend=data["backend"],
            target=data.get("target", ""),
            settings=data.get("settings", {}),
            retries=data.get("retries"),
            rate_limit=data.get("rate_limit"),
        )

    def same(self, other: Selection) -> bool:
        """Whether one opened backend serves both."""
        return self.kind == other.kind and self.to_plain() == other.to_plain()


def select(choice: Choice, *, cwd: Path, ignore: Iterable[str] = ()) -> Selection:
    """Check a choice against the backend's settings class.

    The class is not even imported for a backend of this machine of which nothing is set: the common case, on the way
    of every run.

    Raises:
        SettingsError: Naming everything that is wrong at once.
    """
    kind, spec = choice.kind, choice.spec
    where = f"{kind} {choice.instance!r}"
    ignored = set(ignore)
    common = {key: value for key, value in choice.given.items() if key in COMMON_KEYS}
    own = {key: value for key, value in choice.given.items() if key not in COMMON_KEYS and key not in ignored}
    problems: list[str] = []
    settings: Mapping[str, Any] = {}
    if own or (spec.guard and spec.settings is not None):
        from dovetail.plugins.opening import settings_class
        from dovetail.plugins.schema import build, problems_of, to_plain

        schema = settings_class(spec)

        problems += problems_of(schema, own, where=where)
        if schema is not None and not problems:
            settings = to_plain(build(schema, own, where=where))
            if _takes_paths(spec, kind) and settings.get("path") and "path" in own:
                # What a run pins is read from other folders, and must name the same place there.
                settings = {**settings, "path": _place(settings["path"], own["path"], cwd)}
    target = _target(common.get("target"), spec, kind, cwd, problems, where)
    retries = _number(common.get("retries"), int, "retries", where, problems)
    rate_limit = _number(common.get("rate_limit"), float, "rate_limit", where, problems)
    if problems:
        raise SettingsError("\n  ".join((*(("several settings are wrong:",) if len(problems) > 1 else ()), *problems)))
    sources = {key: value.source for key, value in (*common.items(), *own.items())}
    sources |= {key: "default" for key in settings if key not in sources}
    return Selection(
        kind=kind,
        instance=choice.instance,
        backend=spec.name,
        target=target,
        settings=settings,
        retries=retries,
        rate_limit=rate_limit,
        sources=sources,
    )


def _target(given: Given | None, spec: BackendSpec, kind: str, cwd: Path, problems: list[str], where: str) -> str:
    if given is None:
        return ""
    if not isinstance(given.value, str):
        problems.append(f"{where}: target must be text ({given.source})")
        return ""
    target = given.value
    if has_password(target):
        problems.append(f"{where}: target must not hold a password ({given.source}); use a setting that is a secret")
        return ""
    return _place(target, given, cwd) if _takes_paths(spec, kind) else target


def _takes_paths(spec: BackendSpec, kind: str) -> bool:
    """Whether a backend works on this machine, so that what it opens is a path; others' are left as they are."""
    return not spec.guard and kind in ("datastore", "metadata")


def _place(text: str, given: Given, cwd: Path) -> str:
    """A path as it is meant: relative ones begin at the folder of the file that gives them."""
    return text if not text or "://" in text else str((given.base or cwd) / Path(text).expanduser())


def _number(given: Given | None, wanted: type, key: str, where: str, problems: list[str]) -> Any:
    if given is None:
        return None
    from dovetail.plugins.coercion import Mismatch, coerce

    try:
        number = coerce(given.value, wanted, text=given.text)
    except Mismatch as mismatch:
        problems.append(f"{where}: {key} {mismatch} ({given.source})")
        return None
    if number < 0 or (key == "rate_limit" and not number):
        problems.append(f"{where}: {key} must be more than 0 ({given.source})")
    return number
