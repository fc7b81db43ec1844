"""Does the running version fit a requirement? The part of PEP 440 that version ranges of a requirement use."""

from __future__ import annotations

import re

__all__ = ["fits", "release", "requirement_on"]

_VERSION = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", re.IGNORECASE)
_CLAUSE = re.compile(r"\s*(~=|===?|!=|<=|>=|<|>)\s*([^\s,]+)\s*")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(.*)")


def release(version: str) -> tuple[int, ...]:
    """The release numbers of a version, trailing zeros removed.

    Raises:
        ValueError: `version` is not one.
    """
    match = _VERSION.match(version.strip())
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    numbers = [int(part) for part in match[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def requirement_on(name: str, requirements: list[str] | None) -> str | None:
    """The version range that a distribution's requirements set for `name`; None when they set none.

    Requirements of extras are left out: installing the plugin alone doesn't ask for them.
    """
    from dovetail.plugins.rules import normalised

    ranges = []
    for requirement in requirements or ():
        text, _, marker = requirement.partition(";")
        match = _REQUIREMENT.fullmatch(text)
        if match is None or normalised(match[1]) != normalised(name) or re.search(r"\bextra\b", marker):
            continue
        if not match[2].startswith("@"):
            ranges.append(match[2].strip().strip("()"))
    return ",".join(part for part in ranges if part) or None


def fits(version: str, specifiers: str) -> bool:
    """Whether a version is in a range such as `>=1.2,<2`.

    A development or pre-release of 1.4 counts as 1.4: whoever runs one wants to try its plugins.

    Raises:
        ValueError: The range can't be read.
    """
    running = release(version)
    for clause in filter(None, (part.strip() for part in specifiers.split(","))):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise ValueError(f"{clause!r} is not a version range")
        if not _fits_clause(running, match[1], match[2]):
            return False
    return True


def _fits_clause(running: tuple[int, ...], operator: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        prefix = tuple(int(part) for part in wanted[:-2].split("."))
        padded = running + (0,) * (len(prefix) - len(running))
        return (padded[: len(prefix)] == prefix) is (operator != "!=")
    other = release(wanted)
    if operator == "~=":
        prefix = tuple(int(part) for part in wanted.split("."))[:-1] if re.fullmatch(r"[\d.]+", wanted) else other[:-1]
        padded = running + (0,) * (len(prefix) - len(running))
        return running >= other and padded[: len(prefix)] == prefix
    return {
        "==": running == other,
        "===": running == other,
        "!=": running != other,
        "<=": running <= other,
        ">=": running >= other,
        "<": running < other,
        ">": running > other,
    }[operator]
