"""What every suite has in common: cases with guarantees, expected failures, the refusal of changed tests."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from dovetail.testing.conformance.guarantees import GUARANTEES
from dovetail.testing.conformance.installed import Installed, installed

__all__ = ["Case", "Conformance", "ConformanceWarning", "GuaranteeError", "guards"]

_Test = TypeVar("_Test", bound=Callable[..., Any])
_KIT = __name__.rpartition(".")[0] + "."


class GuaranteeError(AssertionError):
    """A backend breaks a guarantee of the interface that it implements."""


class ConformanceWarning(UserWarning):
    """A test that is newer than the Dovetail which the plugin asks for has failed."""


class Case:
    """What a test of the kit is for.

    Args:
        guarantee: Id in `GUARANTEES`.
        flag: Ability that it is about, with `!` in front where it is about its absence; empty: none.
        since: Version of Dovetail that the test came with.
    """

    __slots__ = ("flag", "guarantee", "since")

    def __init__(self, guarantee: str, flag: str, since: str) -> None:
        self.guarantee = guarantee
        self.flag = flag
        self.since = since


def guards(guarantee: str, *, flag: str = "", since: str = "0.1") -> Callable[[_Test], _Test]:
    """Mark a test with the guarantee that it is for; its failure then says so. See `Case`."""
    case = Case(guarantee, flag, since)
    sentence = GUARANTEES[guarantee]

    def mark(test: _Test) -> _Test:
        @functools.wraps(test)
        def run(self: Conformance, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            try:
                test(self, *args, **kwargs)
            except Exception as error:
                text = f"{_first_line(error)}\nThis breaks {guarantee}: {sentence}"
                if not self._enforces(since):
                    _warn(f"{test.__name__} came with Dovetail {since} and fails: {text}")
                    pytest.xfail(f"newer than the plugin's requirement on dovetail: {text}")
                raise GuaranteeError(text) from error

        run.conformance_case = case  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return mark


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"


def _warn(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # it must not fail where warnings are errors
        warnings.warn(ConformanceWarning(text), stacklevel=3)


class Conformance:
    """Base of the suites. Subclass one of them, in a module of tests, with a name that begins with `Test`."""

    interface: ClassVar[str] = ""
    """Which interface, as the ids of guarantees begin."""
    plugin: ClassVar[str | None] = None
    """Name of the distribution that provides the backend: it is named in the report, and its requirement on `dovetail`
    tells which tests are enforced. None: all are."""
    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Name of a test that can't pass, as `test_x` or `test_x[PARAMETER]` → why. It must fail then."""
    effort: ClassVar[int] = 1
    """Multiplies how many sequences of calls state machines try."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Values that the fixture has configured the backend with and that nobody may ever see."""

    _own_tests: ClassVar[dict[str, Callable[..., Any]]] = {}
    _sealed: ClassVar[frozenset[str]] = frozenset(
        {"conformance_case", "test_the_kit_is_unchanged", "test_expected_failures_are_tests_of_the_kit"}
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: value for name, value in vars(cls).items() if name.startswith("test")}
        if cls.__module__.startswith(_KIT):
            cls._own_tests = own
            return
        changed = sorted(Conformance._sealed & vars(cls).keys())
        if changed:
            raise TypeError(f"{cls.__qualname__} can't have a {changed[0]} of its own: it keeps the kit whole")

    @classmethod
    def kit_tests(cls) -> dict[str, Callable[..., Any]]:
        """Name → function of every test of the kit in this suite, as the kit defined it."""
        found = {}
        for base in reversed(cls.__mro__):
            if base.__module__.startswith(_KIT):
                found.update(vars(base).get("_own_tests", {}))
        return found

    @classmethod
    def _enforces(cls, since: str) -> bool:
        return cls.plugin is None or installed(cls.plugin).enforces(since)

    @pytest.fixture(autouse=True)
    def conformance_case(self, request: pytest.FixtureRequest) -> None:
        """Tells the report what the test is for, and marks expected failures."""
        name = getattr(request.node, "originalname", None) or request.node.name
        case: Case | None = getattr(getattr(type(self), name, None), "conformance_case", None)
        if case is None:
            return  # a test of the author's own
        found = Installed() if self.plugin is None else installed(self.plugin)
        request.node.user_properties.append(
            (
                "dovetail_conformance",
                {
                    "suite": type(self).__qualname__,
                    "interface": self.interface,
                    "plugin": found.name,
                    "version": found.version,
                    "test": request.node.name,
                    "guarantee": case.guarantee,
                    "flag": case.flag,
                    "since": case.since,
                },
            )
        )
        reason = self.expected_failures.get(request.node.name) or self.expected_failures.get(name)
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    def note(self, request: pytest.FixtureRequest, **facts: Any) -> None:
        """Put JSON-able facts of the backend into the report."""
        request.node.user_properties.append(("dovetail_facts", facts))

    @guards("kit.is-whole")
    def test_the_kit_is_unchanged(self) -> None:
        changed = []
        for name, test in self.kit_tests().items():
            now = inspect.getattr_static(type(self), name, inspect.Parameter.empty)
            if now is not test:
                changed.append(f"{name} is {'deleted' if now is inspect.Parameter.empty else 'overridden'}")
        assert not changed, (
            f"expected the tests of the kit as they are, but {', '.join(changed)}. "
            "What can't pass belongs into expected_failures, with a reason"
        )

    @guards("kit.expected-failures-exist")
    def test_expected_failures_are_tests_of_the_kit(self) -> None:
        known = self.kit_tests()
        unknown = [name for name in self.expected_failures if name.partition("[")[0] not in known]
        assert not unknown, f"expected names of tests of this suite in expected_failures, came {', '.join(unknown)}"
        bare = [name for name, reason in self.expected_failures.items() if not str(reason).strip()]
        assert not bare, f"expected a reason for each expected failure, came none for {', '.join(bare)}"
        sealed = sorted(self._sealed & set(self.expected_failures))
        assert not sealed, f"expected backends' failures alone, came {', '.join(sealed)}"


Conformance._own_tests = {name: value for name, value in vars(Conformance).items() if name.startswith("test")}
