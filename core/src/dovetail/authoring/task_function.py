"""`@task`: a function whose calls inside a run are tasks."""

from __future__ import annotations

import sys

from dovetail.authoring.calling import caller
from dovetail.authoring.declared import DeclaredFunction, Generic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from datetime import timedelta
    from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

    from typing_extensions import Self

    Hooks = Callable[..., Any] | Iterable[Callable[..., Any]]

    from dovetail.authoring.futures import TaskFuture
    from dovetail.authoring.mapping import FutureList

    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
    Q = ParamSpec("Q")
    S = TypeVar("S")
    T = TypeVar("T")
    Hook = TypeVar("Hook", bound=Callable[..., Any])
    Key = str | Callable[..., str]
    Kind = Literal["auto", "fork", "spawn", "thread", "inline"]
    Limits = str | Iterable[str] | Mapping[str, int]
else:
    P = R = None

__all__ = ["TaskFunction", "task"]


class TaskFunction(DeclaredFunction[P, R], Generic[P, R]):
    """A function that was made a task with `@task`.

    Called inside a run, by a flow, a step or another task, it is a task of that run: recorded, retried, and not
    run again when the run goes on after a crash. Called anywhere else it is the plain function.
    """

    kind = "task"
    key: Key | None
    """What tells its calls apart in place of their arguments: a text, or what makes one of the arguments."""

    def __init__(self, fn: Any, name: str | None = None, key: Key | None = None) -> None:
        super().__init__(fn, name)
        self.key = key
        self._self: tuple[Any, ...] = ()

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Self: ...

        @overload
        def __get__(
            self: TaskFunction[Concatenate[S, Q], T], instance: S, owner: type | None = None
        ) -> TaskFunction[Q, T]: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: with the instance as first argument."""
        if self._of_class:
            instance = owner if owner is not None else type(instance)
        if instance is None or self._static:
            return self
        bound = self._copy()
        bound._self = (instance,)
        return bound

    if TYPE_CHECKING:

        @overload
        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

        @overload
        def __call__(self, /, *args: Any, wait_for: Iterable[TaskFuture[Any]], **kwargs: Any) -> R: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it, or take what is recorded of this call, and wait for the value.

        Args:
            args: Its arguments. A future among them, also inside a list, tuple, set, dict or dataclass, is replaced
                by its value.
            wait_for: Futures of tasks that must have succeeded before.
            kwargs: Its arguments.
        """
        if self._self:
            args = self._self + args
        here = caller.get()
        wait_for = self._taken(kwargs) if kwargs else ()
        if here is None:
            return self.fn(*args, **kwargs)
        given = (self._shape or self.shape).bind(*args, **kwargs)
        key = self.key if self.key is None or isinstance(self.key, str) else self._made_key(args, kwargs)
        if self.is_async:
            return here.call_async(self, given, wait_for=wait_for, key=key)
        return here.call(self, given, wait_for=wait_for, key=key)

    if TYPE_CHECKING:

        @overload
        def submit(
            self: TaskFunction[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
        ) -> TaskFuture[T]: ...

        @overload
        def submit(self: TaskFunction[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any) -> TaskFuture[T]: ...

        @overload
        def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]: ...

        @overload
        def submit(self, /, *args: Any, **kwargs: Any) -> TaskFuture[R]: ...

    def submit(self, /, *args: Any, **kwargs: Any) -> Any:
        """Have it run beside the caller.

        Args:
            args: As in a call.
            wait_for: As in a call.
            kwargs: As in a call.

        Raises:
            UsageError: Outside of a run.
        """
        args = self._self + args
        here = caller.get()
        if here is None:
            raise self._outside("submit")
        wait_for = self._taken(kwargs)
        given = self.shape.bind(*args, **kwargs)
        return here.submit(self, given, wait_for=wait_for, key=self._key_of(args, kwargs))

    if TYPE_CHECKING:

        @overload
        def map(self: TaskFunction[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any) -> FutureList[T]: ...

        @overload
        def map(self, /, *args: Any, **kwargs: Any) -> FutureList[R]: ...

    def map(self, /, *args: Any, **kwargs: Any) -> Any:
        """Have it run once for each item of the arguments, side by side.

        Args:
            args: Iterables of one length. A str, bytes, dict and whatever can't be iterated over is the same for
                every item, and so is `unmapped(x)`. A generator is drawn from only as fast as tasks finish.
            wait_for: As in a call; for every item.
            kwargs: As `args`, by name.

        Raises:
            UsageError: Outside of a run; nothing to iterate over; lengths differ.
        """
        here = caller.get()
        if here is None:
            raise self._outside("map")
        from dovetail.authoring.mapping import map_task, unmapped

        wait_for = self._taken(kwargs)
        return map_task(here, self, (*map(unmapped, self._self), *args), kwargs, wait_for=wait_for)

    def with_options(
        self,
        *,
        name: str | None = None,
        compute: str | None = None,
        datastore: str | None = None,
        environment: str | None = None,
        isolation: Kind | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        cpu: float | None = None,
        memory: int | None = None,
        gpu: int | None = None,
        disk: int | None = None,
        cache: str | bool | None = None,
        expires: float | str | timedelta | None = None,
        refresh: bool | None = None,
        limit: Limits | None = None,
        key: Key | None = None,
        on_success: Hooks | None = None,
        on_failure: Hooks | None = None,
        on_cancel: Hooks | None = None,
        on_crash: Hooks | None = None,
        on_rollback: Hooks | None = None,
        on_commit: Hooks | None = None,
    ) -> Self:
        """A copy that says something else; it counts more than the decorators. Limits and hooks are added to theirs.

        Args:
            name: Another name.
            compute: Backend or instance that it runs on.
            datastore: Backend, instance or URL that its value is kept in.
            environment: Environment builder or instance.
            isolation: In what kind of process it runs.
            retries: Further attempts after the first.
            retry_delay: Seconds before a retry.
            timeout: Seconds that an attempt may take.
            cpu: Cores; with `compute` its option, else as `@resources`.
            memory: Mebibytes.
            gpu: Devices.
            disk: Mebibytes.
            cache: What a value that another run made may be taken for: `inputs`, `code` and `environment`, joined
                by `+`; True is all three, False none.
            expires: Age at which such a value is made anew: seconds, `"90s"`, `"15m"`, `"2h"`, `"3d"`, `"1w"` or a
                `timedelta`.
            refresh: Make the value anew, for this run and later ones; it makes no task a cached one.
            limit: Named limits that it holds slots of while it runs, as by `@limit`: a name, several, or name → slots.
            key: Tells this call apart in place of its arguments.
            on_success: What is called when a call of it has succeeded (see `dovetail.on_success`); `on_failure`,
                `on_cancel` and `on_crash` accordingly.
            on_rollback: What is called when a transaction that it succeeded in is rolled back; `on_commit`: when that
                has ended well (see `dovetail.transaction`).

        Raises:
            UsageError: A value is wrong.
        """
        frame = sys._getframe(1)
        options = {
            "compute": compute, "datastore": datastore, "environment": environment, "isolation": isolation,
            "retries": retries, "retry_delay": retry_delay, "timeout": timeout, "cache": cache,
            "expires": expires, "refresh": refresh, "limit": limit,
            "cpu": cpu, "memory": memory, "gpu": gpu, "disk": disk,
        }  # fmt: skip
        made = self._with(name, options, frame.f_code.co_filename, frame.f_lineno)
        if key is not None:
            made.key = key
        hooks = {
            "on_success": on_success, "on_failure": on_failure, "on_cancel": on_cancel, "on_crash": on_crash,
            "on_rollback": on_rollback, "on_commit": on_commit,
        }  # fmt: skip
        return made._with_hooks(hooks)

    def on_rollback(self, function: Hook) -> Hook:
        """Have a function called when a transaction that it succeeded in is rolled back; a decorator.

        Args:
            function: Gets a `StagedTask`: what was kept in the transaction by `get`, `name` and `path` of the task.
        """
        return self._hooked("on_rollback", function)

    def on_commit(self, function: Hook) -> Hook:
        """Have a function called when a transaction that it succeeded in has ended well; a decorator.

        Args:
            function: As of `on_rollback`.
        """
        return self._hooked("on_commit", function)

    def _taken(self, kwargs: dict[str, Any]) -> tuple[TaskFuture[Any], ...]:
        """`wait_for` out of the keyword arguments, unless the function has a parameter of that name."""
        if "wait_for" not in kwargs or "wait_for" in self.shape.names:
            return ()
        found = kwargs.pop("wait_for")
        return (found,) if hasattr(found, "add_done_callback") else tuple(found or ())

    def _key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        key = self.key
        return key if key is None or isinstance(key, str) else self._made_key(args, kwargs)

    def _made_key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        make: Any = self.key
        made = make(*args, **kwargs)
        if not isinstance(made, str):
            from dovetail.interfaces.errors import UsageError

            raise UsageError(
                f"key= of task {self.name} made {made!r}, which is no text",
                hint="Return a str: it is what tells calls apart when the run goes on after a crash.",
            )
        return made

    def _outside(self, verb: str) -> Exception:
        from dovetail.interfaces.errors import UsageError

        return UsageError(
            f"{self.name}.{verb}() needs a run, and none is running here",
            hint=f"Call it inside a @flow, a @step or another @task; outside, {self.name}(...) is the plain function.",
        )


if TYPE_CHECKING:

    @overload
    def task(fn: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def task(
        *,
        name: str | None = None,
        compute: str | None = None,
        datastore: str | None = None,
        environment: str | None = None,
        isolation: Kind | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        cpu: float | None = None,
        memory: int | None = None,
        gpu: int | None = None,
        disk: int | None = None,
        cache: str | bool | None = None,
        expires: float | str | timedelta | None = None,
        refresh: bool | None = None,
        limit: Limits | None = None,
        key: Key | None = None,
        on_success: Hooks | None = None,
        on_failure: Hooks | None = None,
        on_cancel: Hooks | None = None,
        on_crash: Hooks | None = None,
        on_rollback: Hooks | None = None,
        on_commit: Hooks | None = None,
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    compute: str | None = None,
    datastore: str | None = None,
    environment: str | None = None,
    isolation: Kind | None = None,
    retries: int | None = None,
    retry_delay: float | None = None,
    timeout: float | None = None,
    cpu: float | None = None,
    memory: int | None = None,
    gpu: int | None = None,
    disk: int | None = None,
    cache: str | bool | None = None,
    expires: float | str | timedelta | None = None,
    refresh: bool | None = None,
    limit: Limits | None = None,
    key: Key | None = None,
    on_success: Hooks | None = None,
    on_failure: Hooks | None = None,
    on_cancel: Hooks | None = None,
    on_crash: Hooks | None = None,
    on_rollback: Hooks | None = None,
    on_commit: Hooks | None = None,
) -> Any:
    """Make a function a task: each call of it inside a run is recorded, and can be retried and sent elsewhere.

    Args:
        fn: The function, plain or `async`.
        name: What runs and settings call it; by default its own name.
        compute: As in `with_options`, and so are the others.
        on_success: What is called when a call of it has succeeded (see `dovetail.on_success`); `on_failure`,
            `on_cancel` and `on_crash` accordingly.
        on_rollback: What is called when a transaction that it succeeded in is rolled back; `on_commit`: when that has
            ended well (see `dovetail.transaction`).
    """
    if fn is not None:
        return TaskFunction(fn)
    options = {
        "compute": compute, "datastore": datastore, "environment": environment, "isolation": isolation,
        "retries": retries, "retry_delay": retry_delay, "timeout": timeout, "cache": cache,
        "expires": expires, "refresh": refresh, "limit": limit,
        "cpu": cpu, "memory": memory, "gpu": gpu, "disk": disk,
    }  # fmt: skip
    hooks = {
        "on_success": on_success, "on_failure": on_failure, "on_cancel": on_cancel, "on_crash": on_crash,
        "on_rollback": on_rollback, "on_commit": on_commit,
    }  # fmt: skip
    frame = sys._getframe(1)
    file, line = frame.f_code.co_filename, frame.f_lineno

    return lambda function: TaskFunction(function, name, key)._declared_with(options, file, line)._with_hooks(hooks)
