"""A project folder with a user's configuration, apart from the machine's."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import dovetail.plugins.registry as registry_module
from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
from dovetail.settings import Settings


class Project:
    """Files that settings are read from."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.root.mkdir()
        self.config = root / "config"
        self.env: dict[str, str] = {"XDG_CONFIG_HOME": str(self.config), "HOME": str(root)}

    def pyproject(self, text: str) -> None:
        (self.root / "pyproject.toml").write_text(textwrap.dedent(text))

    def user(self, text: str) -> None:
        (self.config / "dovetail").mkdir(parents=True, exist_ok=True)
        (self.config / "dovetail" / "config.toml").write_text(textwrap.dedent(text))

    def load(self, *set_: str, with_: tuple[str, ...] = (), cwd: Path | None = None, **more: object) -> Settings:
        return Settings.load(cwd=cwd or self.root, env=self.env, set_=set_, with_=with_, **more)  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project."""
    monkeypatch.setattr(registry_module, "_current", None)
    return Project(tmp_path)


def use(kind: str, name: str = "", /, source: str = "", **options: object) -> DecoratorUse:
    return DecoratorUse(kind=kind, name=name or kind, options=options, source=source)


def flow_of(*decorators: DecoratorUse, flow: tuple[DecoratorUse, ...] = ()) -> FlowDescription:
    """A flow of one step, `train`, with these decorators."""
    step = StepDescription(name="train", decorators=decorators, file="f.py", line=10)
    other = StepDescription(name="end", file="f.py", line=20)
    return FlowDescription(name="F", module="f", file="f.py", steps=(step, other), decorators=flow)


@pytest.fixture
def build():
    """`build.use(...)` and `build.flow(...)`."""

    class Build:
        use = staticmethod(use)
        flow = staticmethod(flow_of)

    return Build
