"""`Settings`: everything that was said, and the answer to what holds for a run or a step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import PluginError
from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
from dovetail.plugins.given import Given
from dovetail.plugins.registry import Registry, registry
from dovetail.settings.choice import Choice, Claim, choose, instances
from dovetail.settings.core import CoreSettings
from dovetail.settings.home import find_home
from dovetail.settings.kinds import DEFAULTS, POLICY_KINDS, RESOURCE_KEYS
from dovetail.settings.layers import Layer, environment_layer, file_layers
from dovetail.settings.merging import Merged, given_options, merge
from dovetail.settings.reading import SECTIONS, read_core
from dovetail.settings.selection import Selection, select
from dovetail.settings.steps import StepOptions, options_of

if TYPE_CHECKING:
    from dovetail.interfaces.problems import Problem
    from dovetail.settings.explain import Explained
    from dovetail.settings.overrides import SetOverride

__all__ = ["Settings"]


class Settings:
    """Resolved layers. Immutable; made by `load`."""

    def __init__(
        self,
        *,
        core: CoreSettings,
        core_sources: Mapping[str, str],
        layers: Sequence[Layer],
        sets: Sequence[SetOverride],
        with_: Sequence[str],
        choices: Mapping[str, str],
        home: Path,
        cwd: Path,
        profile: str | None,
    ) -> None:
        self.core = core
        """Settings of Dovetail itself."""
        self.core_sources = core_sources
        """`tags.required` and so on → where the value came from; what has a default only is left out."""
        self.layers = tuple(layers)
        """Configuration layers, high to low."""
        self.home = home
        """Folder of local state; it may not exist yet."""
        self.cwd = cwd
        """Working directory that everything was looked up from."""
        self.profile = profile
        """Profile in use."""
        self._sets = tuple(sets)
        self._with_texts = tuple(with_)
        self._choices = choices
        self._with: tuple[DecoratorUse, ...] | None = None
        self._routes: dict[tuple[str, str, str], tuple[str, str] | None] = {}
        self._selections: dict[tuple[str, int], tuple[FlowDescription | None, Selection]] = {}
        self._options: dict[tuple[int, bool], tuple[FlowDescription | None, StepOptions]] = {}

    @classmethod
    def load(
        cls,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        profile: str | None = None,
        set_: Iterable[str] = (),
        with_: Iterable[str] = (),
        compute: str | None = None,
        datastore: str | None = None,
        metadata: str | None = None,
        environment: str | None = None,
        plugins: bool = True,
    ) -> Settings:
        """Read every layer.

        Args:
            cwd: Working directory; the process's by default.
            env: Environment variables; the process's by default.
            profile: Name of the profile; `DOVETAIL_PROFILE`, or what a file's `profile` says, by default.
            set_: `--set` arguments.
            with_: `--with` arguments.
            compute: `--compute`: overrides whatever else chooses the compute backend of a step.
            datastore: `--datastore`: a name or URL; overrides what the flow says as a whole, not what a step says.
            metadata: `--metadata`.
            environment: `--environment`; as `datastore`.
            plugins: False leaves every plugin out (`--no-plugins`).

        Raises:
            SettingsError: A file, variable or argument is wrong; everything that is wrong is named at once.
        """
        choices = {"compute": compute, "datastore": datastore, "metadata": metadata, "environment": environment}
        env = os.environ if env is None else env
        cwd = Path(os.getcwd() if cwd is None else cwd).absolute()
        sets: tuple[SetOverride, ...] = ()
        set_layer: Layer | None = None
        problems: tuple[str, ...] = ()
        if set_ := tuple(set_):
            from dovetail.settings.overrides import parse_set

            sets, set_layer, problems = parse_set(set_, SECTIONS)
        files, chosen = file_layers(cwd, env, profile)
        layers = [layer for layer in (set_layer, environment_layer(env)) if layer is not None] + files
        core, sources = read_core(layers, env, plugins=plugins, problems=problems)
        home = core.home if core.home is not None and not env.get("DOVETAIL_HOME") else find_home(cwd, env)
        return cls(
            core=core,
            core_sources=sources,
            layers=layers,
            sets=sets,
            with_=tuple(with_),
            choices={kind: name for kind, name in choices.items() if name is not None},
            home=home,
            cwd=cwd,
            profile=chosen,
        )

    @property
    def registry(self) -> Registry:
        """The process's registry, with these rules about plugins."""
        return registry(self.core.plugins)

    # -- backends ---------------------------------------------------------------------------------------------

    def select(
        self,
        kind: str,
        step: StepDescription | None = None,
        flow: FlowDescription | None = None,
        call: Sequence[DecoratorUse] = (),
    ) -> Selection:
        """The backend of a kind for a step, or for the run as a whole.

        Args:
            kind: `datastore`, `metadata`, `compute` or `environment`.
            step: The step; None: the run.
            flow: The flow that it belongs to.
            call: What the call site says.

        Raises:
            PluginError: Nothing usable provides what was chosen.
            SettingsError: Settings of the backend are wrong.
        """
        shared = self._shared_key(kind, step, flow, call)
        if shared is None:
            return self._checked(self.choice(kind, step, flow, call))
        known = self._selections.get(shared)
        if known is None:
            known = self._selections[shared] = flow, self._checked(self.choice(kind, step, flow, call))
        return known[1]

    def _shared_key(
        self, kind: str, step: StepDescription | None, flow: FlowDescription | None, call: Sequence[DecoratorUse]
    ) -> tuple[str, int] | None:
        """What stands for a choice that is the same for all steps of a flow; None where this step has a say in it."""
        if self._sets or (step is not None and any(use.kind == kind for use in (*call, *step.decorators))):
            return None
        if step is not None and flow is not None and kind != "metadata" and self._routed(kind, flow, step) is not None:
            return None
        return kind, id(flow)

    def named(self, kind: str, name: str) -> Selection:
        """A backend by the name of an instance or backend, or by URL, whatever is chosen elsewhere; errors as in
        `select`."""
        return self._checked(choose(kind, [Claim(name, "")], self.layers, self.registry, asker=""))

    def _checked(self, choice: Choice) -> Selection:
        return select(choice, cwd=self.cwd, ignore=RESOURCE_KEYS if choice.kind == "compute" else ())

    def choice(
        self,
        kind: str,
        step: StepDescription | None = None,
        flow: FlowDescription | None = None,
        call: Sequence[DecoratorUse] = (),
    ) -> Choice:
        """As `select`, before the settings are checked, with what was overridden."""
        asker = f"{step.kind} {step.name!r}" if step else f"flow {flow.name!r}" if flow else ""
        claims = list(self._claims(kind, step, flow, call))
        return choose(kind, claims, self.layers, self.registry, asker=asker)

    def _claims(
        self, kind: str, step: StepDescription | None, flow: FlowDescription | None, call: Sequence[DecoratorUse]
    ) -> Iterable[Claim]:
        """Who says what about a kind, high to low. Ends with one that has a name."""
        flag = self._choices.get(kind)
        if kind == "compute" and flag is not None:
            yield Claim(flag, f"--{kind}")
        if step is not None:
            for override in self._sets_of(kind, step):
                if override.key:
                    yield Claim(None, override.given.source, {override.key: override.given})
                else:
                    yield Claim(str(override.given.value), override.given.source)
            own = [use for use in (*call, *step.decorators) if use.kind == kind]
            yield from map(_claim, own or [use for use in self.with_uses if use.kind == kind])
        else:
            yield from (_claim(use) for use in self.with_uses if use.kind == kind)
        if kind != "compute" and flag is not None:
            yield Claim(flag, f"--{kind}")
        if flow is not None:
            yield from (_claim(use) for use in flow.decorators if use.kind == kind)
        for layer in self.layers:
            default = layer.get(kind, "default")
            if default is None and isinstance(layer.tree.get(kind), str):
                default = layer.given(layer.tree[kind], kind)
            if default is not None:
                yield Claim(str(default.value), default.source)
        if step is not None and flow is not None and kind != "metadata":
            routed = self._routed(kind, flow, step)
            if routed is not None:
                yield Claim(routed[0], f"dovetail_route_step of {routed[1]}")
        yield Claim(DEFAULTS[kind], "default")

    def _routed(self, kind: str, flow: FlowDescription, step: StepDescription) -> tuple[str, str] | None:
        """What policy hooks say; asked once for each step."""
        key = (kind, flow.name, step.name)
        if key not in self._routes:
            self._routes[key] = self.registry.route(kind, flow.name, step, DEFAULTS[kind])
        return self._routes[key]

    def open(self, selection: Selection, *, bare: bool = False) -> Any:
        """Open a selected backend; the caller closes it.

        Raises:
            DovetailError: It can't be loaded or opened.
        """
        from dovetail.plugins.opening import open_backend

        return open_backend(selection.kind, selection.to_plain(), home=self.home, known=self.registry, bare=bare)

    def backend_of(self, kind: str, name: str) -> str:
        """The backend of an instance, or of a name of its own, before its settings are checked; errors as in
        `select`."""
        return choose(kind, [Claim(name, "")], self.layers, self.registry, asker="").spec.name

    def instances(self, kind: str) -> list[str]:
        """Names of configured instances of a kind."""
        return instances(kind, self.layers)

    # -- policies ---------------------------------------------------------------------------------------------

    def step_options(
        self,
        step: StepDescription,
        flow: FlowDescription | None = None,
        call: Sequence[DecoratorUse] = (),
    ) -> StepOptions:
        """The policies of a step.

        Raises:
            SettingsError: Options are wrong; everything that is wrong is named at once.
            PluginError: The compute backend can't be found.
        """
        if call or step.decorators or self._shared_key("compute", step, flow, call) is None:
            return self._step_options(step, flow, call)
        shared = id(flow), step.kind == "step"  # the same for all steps that say nothing
        known = self._options.get(shared)
        if known is None:
            known = self._options[shared] = flow, self._step_options(step, flow, call)
        return known[1]

    def _step_options(
        self, step: StepDescription, flow: FlowDescription | None, call: Sequence[DecoratorUse]
    ) -> StepOptions:
        merged = {kind: self.merged(kind, step, flow, call) for kind in POLICY_KINDS}
        if step.kind == "step":  # what a step or a body reads is not known before it runs
            merged["cache"] = Merged()
        try:
            given = self.choice("compute", step, flow, call).given
        except PluginError:
            options_of(merged, {}, where=f"{step.kind} {step.name!r}")  # What is wrong with the policies comes first.
            raise
        resources = {key: value for key, value in given.items() if key in RESOURCE_KEYS}
        return options_of(merged, resources, where=f"{step.kind} {step.name!r}")

    def merged(
        self, kind: str, step: StepDescription, flow: FlowDescription | None, call: Sequence[DecoratorUse] = ()
    ) -> Merged:
        """Options of one kind of policy for a step, with what was overridden."""
        groups: list[Mapping[str, Given]] = []
        if sets := self._sets_of(kind, step):
            groups.append({override.key: override.given for override in reversed(sets)})
        own = [use for use in (*call, *step.decorators) if use.kind == kind]
        groups += map(given_options, own or [use for use in self.with_uses if use.kind == kind])
        if flow is not None:
            groups += [given_options(use) for use in flow.decorators if use.kind == kind]
        for layer in self.layers:
            if table := dict(layer.values(kind)):
                groups.append(table)
        return merge(kind, groups)

    def _sets_of(self, kind: str, step: StepDescription) -> list[SetOverride]:
        """`--set` arguments for a step, high to low: its name before `*`, the last before the first."""
        found = [s for s in reversed(self._sets) if s.kind == kind and s.step in (step.name, "*")]
        return sorted(found, key=lambda override: override.step == "*")

    # -- decorators of the command line -----------------------------------------------------------------------

    @property
    def with_uses(self) -> tuple[DecoratorUse, ...]:
        """`--with` arguments as decorators.

        Raises:
            UsageError, PluginError: One of them means nothing.
        """
        if self._with is None:
            if not self._with_texts:
                self._with = ()
            else:
                from dovetail.settings.attaching import attach

                self._with = tuple(attach(text, self.registry, self.layers) for text in self._with_texts)
        return self._with

    # -- checks and explanations ------------------------------------------------------------------------------

    def check(self, flow: FlowDescription) -> list[Problem]:
        """Everything that is wrong with the choices and options of a flow's steps, each with its place."""
        from dovetail.settings.checking import check_flow

        return check_flow(self, flow)

    def explain(self, step: StepDescription | None = None, flow: FlowDescription | None = None) -> list[Explained]:
        """Every value that holds for a step, or for a run as a whole, and where it came from."""
        from dovetail.settings.explain import explain

        return explain(self, step, flow)

    @property
    def sets(self) -> tuple[SetOverride, ...]:
        """`--set` arguments for steps."""
        return self._sets

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, layers={[layer.name for layer in self.layers]!r})"


def _claim(use: DecoratorUse) -> Claim:
    return Claim(use.name, use.source or f"@{use.kind}", given_options(use))
