"""What a step's attempts follow: retries, catch, time limit, resources, isolation, environment variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.caching import CachePolicy
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import SettingsError
from dovetail.interfaces.tasks import CatchPolicy, Isolation, Policy, Resources, RetryPolicy
from dovetail.plugins.given import Given
from dovetail.settings.kinds import FREE_KINDS, RESOURCE_KEYS
from dovetail.settings.merging import Merged

if TYPE_CHECKING:
    from dovetail.settings.policies import (
        CacheOptions,
        CatchOptions,
        EnvironmentVariablesOptions,
        IsolationOptions,
        LimitOptions,
        ResourcesOptions,
        RetryOptions,
        TimeoutOptions,
    )

__all__ = ["StepOptions", "options_of", "problems_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """The policies of a step, resolved."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """When a failed attempt is tried again."""
    catch: CatchPolicy | None = None
    """Whether a failure becomes a value."""
    timeout: float | None = None
    """Seconds an attempt may take before it is killed."""
    resources: Resources = field(default_factory=Resources)
    """What it asks of the backend: `@resources` and the compute decorator's, the larger of each."""
    isolation: Isolation = Isolation.AUTO
    """Process or thread."""
    reuse: int = 1
    """Tasks that one process may run; 0: "auto"."""
    cache: CachePolicy | None = None
    """Whether a value that another run made is taken."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the attempt's process."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limit → slots that a task holds while it runs."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """`retry.times` and so on → where the value came from; what has a default only is left out."""

    @property
    def policy(self) -> Policy:
        """Retries, catch, time limit, reuse and caching, as a task call has them."""
        return Policy(retry=self.retry, catch=self.catch, timeout=self.timeout, reuse=self.reuse, cache=self.cache)


def _as_schema(kind: str, merged: Merged) -> Mapping[str, Given]:
    field = FREE_KINDS.get(kind)
    if field is None or field in merged.given:
        return merged.given
    if kind == "limit":
        return {field: Given({key: value.value for key, value in merged.given.items()}, "", True)}
    source = next(iter(merged.given.values())).source if merged.given else ""
    # Numbers are text here: OMP_NUM_THREADS=1 is written as a number by everyone.
    values = {key: str(v.value) if isinstance(v.value, (int, float)) else v.value for key, v in merged.given.items()}
    return {"vars": Given(values, source)}


def problems_in(kind: str, merged: Merged, where: str) -> list[str]:
    """What is wrong with merged options."""
    if not merged.present:
        return []
    from dovetail.plugins.schema import problems_of
    from dovetail.settings.policies import POLICIES

    return problems_of(POLICIES[kind], _as_schema(kind, merged), where=where)


def options_of(merged: Mapping[str, Merged], compute: Mapping[str, Given], *, where: str) -> StepOptions:
    """Policies from merged options.

    Args:
        merged: Kind → options.
        compute: Resources among the options of the step's compute backend.
        where: Whose they are, for messages: `step 'train'`.

    Raises:
        SettingsError: Naming everything that is wrong at once.
    """
    if not compute and not any(m.present for m in merged.values()):
        return StepOptions()
    from dovetail.plugins.schema import build, problems_of
    from dovetail.settings.policies import POLICIES, IsolationOptions, ResourcesOptions

    problems = [text for kind, m in merged.items() for text in problems_in(kind, m, f"{kind} of {where}")]
    problems += problems_of(ResourcesOptions, compute, where=f"compute of {where}")
    if problems:
        head = ("several settings are wrong:",) if len(problems) > 1 else ()
        raise SettingsError("\n  ".join((*head, *problems)))

    def built(kind: str) -> Any:
        return build(POLICIES[kind], _as_schema(kind, merged[kind]), where=kind) if merged[kind].present else None

    sources = {f"{kind}.{key}": value.source for kind, m in merged.items() for key, value in m.given.items()}
    sources |= {f"resources.{key}": value.source for key, value in compute.items() if f"resources.{key}" not in sources}
    timeout: TimeoutOptions | None = built("timeout")
    isolation: IsolationOptions = built("isolation") or IsolationOptions()
    variables: EnvironmentVariablesOptions | None = built("environment_variables")
    catch: CatchOptions | None = built("catch")
    limits: LimitOptions | None = built("limit")
    # `refresh` alone, which the command line gives to every task, makes none a cached one.
    cache: CacheOptions | None = None if merged["cache"].given.keys() == {"refresh"} else built("cache")
    return StepOptions(
        retry=_retry(built("retry")),
        catch=None if catch is None else CatchPolicy(var=catch.var, print_exception=catch.print_exception),
        timeout=None if timeout is None else timeout.total,
        resources=_resources(built("resources"), build(ResourcesOptions, compute, where="compute"), compute),
        isolation=Isolation(isolation.kind),
        reuse=0 if isolation.reuse == "auto" else isolation.reuse,
        cache=None if cache is None else cache.policy,
        env=dict(variables.vars) if variables else {},
        limits=dict(limits.occupy) if limits else {},
        sources=sources,
    )


def _retry(options: RetryOptions | None) -> RetryPolicy:
    if options is None:
        return RetryPolicy()
    return RetryPolicy(
        times=options.times,
        delay=options.delay,
        backoff=options.backoff,
        max_delay=options.max_delay,
        jitter=options.jitter,
        on=options.on,
    )


def _resources(step: ResourcesOptions | None, compute: ResourcesOptions, asked: Iterable[str]) -> Resources:
    """The larger of each that both ask for; `asked` names what the compute decorator does."""
    values = {name: getattr(step or type(compute)(), name) for name in RESOURCE_KEYS}
    for name in asked:
        own, other = values[name], getattr(compute, name)
        values[name] = other if own is None or step is None else max(own, other)
    return Resources(
        cpu=values["cpu"],
        memory_mb=values["memory"],
        gpu=values["gpu"],
        disk_mb=values["disk"],
        shared_memory_mb=values["shared_memory"],
    )
