"""`@flow`: a function that is a flow, written in plain Python."""

from __future__ import annotations

import sys

from dovetail.authoring.calling import caller
from dovetail.authoring.declared import DeclaredFunction, Generic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, ParamSpec, TypeVar, overload

    from typing_extensions import Self

    Hooks = Callable[..., Any] | Iterable[Callable[..., Any]]

    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
else:
    P = R = None

__all__ = ["FlowFunction", "flow"]


class FlowFunction(DeclaredFunction[P, R], Generic[P, R]):
    """A function that was made a flow with `@flow`.

    Its parameters are those of the run, its body decides which tasks there are, and what it returns is the run's
    result. When a run goes on after a crash the body runs again from the top, and each call of a task that is on
    record returns what it returned before: code outside of tasks should be cheap and do nothing twice.
    """

    kind = "flow"

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it, and wait for what it returns. Called inside a run, it is a child run of it."""
        given = self.shape.bind(*args, **kwargs)
        if "dovetail.runner.live" not in sys.modules and caller.get() is None:
            from dovetail.runner._driver_process import drivers

            drivers.prepare()  # it starts while this process imports what it needs itself
        from dovetail.runner.live import call_flow

        found: Any = call_flow(self, given)
        return found  # type: ignore[no-any-return]

    def unbind(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, validated and made what the hints say.

        Raises:
            ValidationError: With everything that is wrong.
        """
        from dovetail.authoring.signature import coerce_arguments

        return self.shape.unbind(coerce_arguments(self.fn, given))

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Run Dovetail's command line on this flow; does not return.

        Args:
            argv: A verb and its options, such as `["run", "--alpha", "0.1"]`; by default the process's own.
        """
        from dovetail.authoring.entry import main

        main(self, argv)

    def with_options(
        self,
        *,
        name: str | None = None,
        compute: str | None = None,
        datastore: str | None = None,
        environment: str | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        on_success: Hooks | None = None,
        on_failure: Hooks | None = None,
        on_cancel: Hooks | None = None,
        on_crash: Hooks | None = None,
    ) -> Self:
        """A copy that says something else; it counts more than the decorators. Hooks are added to theirs.

        Args:
            name: Another name.
            compute: Backend or instance that tasks run on which do not say otherwise.
            datastore: The same of where values are kept.
            environment: The same of the environment.
            retries: Further attempts of the body after the first. Tasks that have finished are not run again.
            retry_delay: Seconds before a retry.
            timeout: Seconds that an attempt of the body may take.
            on_success: What is called when a run of it has succeeded (see `dovetail.on_success`); `on_failure`,
                `on_cancel` and `on_crash` accordingly.

        Raises:
            UsageError: A value is wrong.
        """
        frame = sys._getframe(1)
        options = {
            "compute": compute, "datastore": datastore, "environment": environment,
            "retries": retries, "retry_delay": retry_delay, "timeout": timeout,
        }  # fmt: skip
        hooks = {"on_success": on_success, "on_failure": on_failure, "on_cancel": on_cancel, "on_crash": on_crash}
        return self._with(name, options, frame.f_code.co_filename, frame.f_lineno)._with_hooks(hooks)


if TYPE_CHECKING:

    @overload
    def flow(fn: Callable[P, R], /) -> FlowFunction[P, R]: ...

    @overload
    def flow(
        *,
        name: str | None = None,
        compute: str | None = None,
        datastore: str | None = None,
        environment: str | None = None,
        retries: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        on_success: Hooks | None = None,
        on_failure: Hooks | None = None,
        on_cancel: Hooks | None = None,
        on_crash: Hooks | None = None,
    ) -> Callable[[Callable[P, R]], FlowFunction[P, R]]: ...


def flow(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    compute: str | None = None,
    datastore: str | None = None,
    environment: str | None = None,
    retries: int | None = None,
    retry_delay: float | None = None,
    timeout: float | None = None,
    on_success: Hooks | None = None,
    on_failure: Hooks | None = None,
    on_cancel: Hooks | None = None,
    on_crash: Hooks | None = None,
) -> Any:
    """Make a function a flow: calling it is a run, in which the `@task`s that it calls are recorded.

    Args:
        fn: The function, plain or `async`.
        name: What runs call it; by default its own name.
        compute: As in `FlowFunction.with_options`, and so are the others.
        on_success: What is called when a run of it has succeeded (see `dovetail.on_success`); `on_failure`,
            `on_cancel` and `on_crash` accordingly.
    """
    if fn is not None:
        return FlowFunction(fn)
    options = {
        "compute": compute, "datastore": datastore, "environment": environment,
        "retries": retries, "retry_delay": retry_delay, "timeout": timeout,
    }  # fmt: skip
    hooks = {"on_success": on_success, "on_failure": on_failure, "on_cancel": on_cancel, "on_crash": on_crash}
    frame = sys._getframe(1)
    file, line = frame.f_code.co_filename, frame.f_lineno
    return lambda function: FlowFunction(function, name)._declared_with(options, file, line)._with_hooks(hooks)
