"""The names of `dovetail` itself: resolved when first used, sorted, complete."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import dovetail


@pytest.mark.parametrize("name", dovetail.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(dovetail, name) is not None


def test_public_names_are_what_is_exported() -> None:
    homes: dict[str, str] = dovetail._HOMES  # type: ignore[attr-defined,unused-ignore]
    assert sorted(homes) == sorted(dovetail.__all__)
    assert set(dovetail.__all__) <= set(dir(dovetail))
    ordered: Callable[[str], tuple[bool, str]] = lambda name: (not name[0].isupper(), name)  # noqa: E731
    assert dovetail.__all__ == sorted(dovetail.__all__, key=ordered)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'dovetail' has no attribute 'stepp'\. Did you mean step"):
        getattr(dovetail, "stepp")  # noqa: B009
    with pytest.raises(AttributeError, match="has no attribute '_nothing'"):
        getattr(dovetail, "_nothing")  # noqa: B009


def test_a_decorator_of_a_plugin_that_is_not_installed() -> None:
    with pytest.raises(ImportError, match="pip install dovetail-kubernetes"):
        getattr(dovetail, "kubernetes")  # noqa: B009
