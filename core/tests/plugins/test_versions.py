"""Version ranges of requirements."""

from __future__ import annotations

import pytest

from dovetail.plugins.versions import fits, requirement_on


@pytest.mark.parametrize(
    ("version", "range_", "expected"),
    [
        ("1.4.0", ">=1.2,<2", True),
        ("2.0", ">=1.2,<2", False),
        ("2.0.0.dev3", "<2", False),
        ("1.4.0.dev3+g12", ">=1.4", True),
        ("1.4rc1", ">=1.4,<1.5", True),
        ("1.4", "==1.4.0", True),
        ("1.4.1", "==1.4.*", True),
        ("1.5", "==1.4.*", False),
        ("1.5", "!=1.4.*", True),
        ("1.4", "!=1.4", False),
        ("1.10", ">1.9", True),
        ("1.10", "<=1.9", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5", "~=1.4.2", False),
        ("1.5", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("1", "==1.*", True),
        ("0.1.0", "", True),
        ("1.4", "===1.4", True),
        ("v1.4", ">=1", True),
    ],
)
def test_fits(version, range_, expected):
    assert fits(version, range_) is expected


@pytest.mark.parametrize("range_", [">>1", "1.2", ">=x", "~1"])
def test_unreadable(range_):
    with pytest.raises(ValueError, match="is not a version"):
        fits("1.0", range_)


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        (["dovetail>=1.2,<2"], ">=1.2,<2"),
        (["Dovetail [testing] (>=1)"], ">=1"),
        (["dovetail-s3>=1", "other"], None),
        (["dovetail"], None),
        (["dovetail>=1; python_version >= '3.10'"], ">=1"),
        (["dovetail>=9; extra == 'test'", "dovetail<2"], "<2"),
        (["dovetail @ https://example.org/x.whl"], None),
        (["dovetail>=1", "dovetail<2"], ">=1,<2"),
        (None, None),
    ],
)
def test_requirement_on(requirements, expected):
    assert requirement_on("dovetail", requirements) == expected
