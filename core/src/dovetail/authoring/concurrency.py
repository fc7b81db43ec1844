"""`concurrency` and `rate_limit`: named limits inside of code, in a task or anywhere else."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from dovetail.client.slots import HeldSlots, Wish

__all__ = ["concurrency", "rate_limit"]


class concurrency:
    """Hold slots of named limits for as long as a block runs: `with concurrency("gpu"):`, or `async with`.

    Limits are defined with `dovetail limits set NAME 3` and shared by all processes that have the same metadata
    provider. Who comes first is served first. Slots are free at once when the process dies, and after 30 seconds
    when its machine does. Of a rate, the block begins when the rate allows it.

    ```python
    with concurrency("gpu") as held:
        train()
    ```

    Args:
        limits: Their names. Several are taken one after the other, in the order of their names.
        occupy: Slots of each.
        timeout: Seconds to wait at most; None: without end.

    Raises:
        NotFoundError: A limit is not defined.
        BackendTimeoutError: The time was over; nothing is held.
        StaleFenceError: At the end of the block: this process was stopped for so long that its slots went to others.
    """

    __slots__ = ("_held", "_limits", "_occupy", "_timeout")

    def __init__(self, *limits: str, occupy: int = 1, timeout: float | None = None) -> None:
        _check(limits, occupy)
        self._limits = limits
        self._occupy = occupy
        self._timeout = timeout
        self._held: list[HeldSlots] = []

    def __enter__(self) -> HeldSlots:
        held = _wish(self._limits, self._occupy, self._timeout).wait()
        self._held.append(held)
        return held

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.pop().release(check=kind is None)

    async def __aenter__(self) -> HeldSlots:
        held = await _wish(self._limits, self._occupy, self._timeout).wait_async()
        self._held.append(held)
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.pop().release(check=kind is None)


def rate_limit(*limits: str, occupy: int = 1, timeout: float | None = None) -> None:
    """Wait until named rates allow one more: `rate_limit("api")`. In a coroutine: `async with concurrency("api")`.

    Rates are defined with `dovetail limits set NAME --rate 10/1m`: in any minute, ten at the most.

    Args:
        limits: Their names.
        occupy: How many at once count against each.
        timeout: Seconds to wait at most; None: without end.

    Raises:
        NotFoundError: A limit is not defined.
        UsageError: A limit is no rate: who holds its slots must say for how long.
        BackendTimeoutError: The time was over.
    """
    _check(limits, occupy)
    wish = _wish(limits, occupy, timeout)
    wish.refuse_held()
    wish.wait()


def _check(limits: tuple[str, ...], occupy: int) -> None:
    from dovetail.interfaces.errors import UsageError

    if not limits or not all(isinstance(name, str) and name for name in limits):
        raise UsageError(f"{limits!r} are no names of limits", hint='As in concurrency("gpu").')
    if not isinstance(occupy, int) or isinstance(occupy, bool) or occupy < 1:
        raise UsageError(f"occupy={occupy!r} is not a number of slots", hint="Give a whole number, 1 or more.")


def _wish(limits: tuple[str, ...], occupy: int, timeout: float | None) -> Wish:
    from dovetail.authoring.current import current
    from dovetail.client.slots import Wish, provider_of

    facts = current._facts()
    pinned = {} if facts is None else facts.run.get("settings", {}).get("metadata") or {}
    provider = provider_of(pinned, "" if facts is None else facts.run.get("home") or "")
    return Wish(provider, limits, occupy, timeout, note=current.pathspec or "")
