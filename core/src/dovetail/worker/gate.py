"""Looks for what makes it unsafe to fork a process that has imported a flow.

Importing alone was safe for every library tried. What hangs or breaks a forked child is something that was used
before the fork: a thread that only the parent has, an OpenMP or rayon pool, a CUDA context, a JVM. Some libraries
start idle threads when they are imported and carry them over a fork themselves; those are let through.
"""

from __future__ import annotations

import os
import sys
import time

from dovetail.worker.native_threads import NativeThread, native_threads

__all__ = ["find_hazards"]

_IDLE_POOLS = ("libopenblas", "libscipy_openblas", "libmkl", "libblis", "libarrow", "libjemalloc")
"""Libraries whose waiting threads are replaced in a child by the library itself, or not needed there."""
_IDLE_NAMES = ("jemalloc_bg_thd", "polars-ooc-clea")
"""Names of threads that only tidy up, whichever library they are in."""
_SYSTEM = (
    "libc.so",
    "libc-",
    "libc.musl",
    "ld-linux",
    "ld-musl",
    "libpthread",
    "libm.so",
    "libstdc++",
    "libgcc_s",
    "libdl",
)
_KNOWN = {
    "libgomp": "an OpenMP pool was used at import (scikit-learn's HistGradientBoosting or KMeans, among others)",
    "libomp": "an OpenMP pool was used at import",
    "libiomp": "an OpenMP pool was used at import",
    "_polars": "polars was used at import",
    "polars": "polars was used at import",
    "cygrpc": "a gRPC channel was opened at import",
    "libtensorflow": "TensorFlow was used at import",
    "libtorch": "torch was used at import",
    "libjvm": "a Java virtual machine was started at import",
    "libcuda": "CUDA was used at import",
    "libpython": "a thread was started at import",
    "python": "a thread was started at import",
}
_LOOKS = 20
_PAUSE = 0.01


def find_hazards() -> list[str]:
    """Why children of this process must not be forked, one sentence each; empty when they may."""
    if not sys.platform.startswith("linux") or not hasattr(os, "fork"):
        return [f"{sys.platform} has no safe fork"]
    found = [*_of_threads(), *_of_devices(), *_of_modules()]
    return list(dict.fromkeys(found))


def _of_threads() -> list[str]:
    if len(os.listdir("/proc/self/task")) == 1:
        return []
    python = _python_threads()
    found = []
    for thread in _settled():
        name = python.get(thread.id)
        if name is not None:
            found.append(f"thread {name!r} was started at import")
        elif not _is_idle_pool(thread):
            found.append(_explain(thread))
    return found


def _settled() -> list[NativeThread]:
    """This process's other threads, once those that are just starting or ending have done so."""
    threads = native_threads()
    for _ in range(_LOOKS):
        if all(thread.waits for thread in threads):
            break
        time.sleep(_PAUSE)
        threads = native_threads()
    return threads


def _python_threads() -> dict[int, str]:
    """Native id → name."""
    threading = sys.modules.get("threading")
    if threading is None:
        return {}
    return {thread.native_id: thread.name for thread in threading.enumerate() if thread.native_id}


def _is_idle_pool(thread: NativeThread) -> bool:
    if thread.name in _IDLE_NAMES:
        return True
    libraries = [name for name in thread.libraries if not name.startswith(_SYSTEM)]
    return bool(libraries) and thread.waits and all(name.startswith(_IDLE_POOLS) for name in libraries)


def _explain(thread: NativeThread) -> str:
    for library in thread.libraries:
        for prefix, reason in _KNOWN.items():
            if library.startswith(prefix):
                return reason
    libraries = [name for name in thread.libraries if not name.startswith(_SYSTEM)]
    where = f" in {libraries[0]}" if libraries else ""
    return f"a thread ({thread.name}) was started{where} at import"


def _of_devices() -> list[str]:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("/dev/nvidia"):
            return ["CUDA was used at import"]
    return []


def _of_modules() -> list[str]:
    found = []
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        found.append("CUDA was initialised at import (torch.cuda)")
    bridge = sys.modules.get("jax._src.xla_bridge")
    if getattr(bridge, "_backends", None):
        found.append("a JAX backend was initialised at import")
    jpype = sys.modules.get("jpype")
    if jpype is not None and jpype.isJVMStarted():
        found.append(_KNOWN["libjvm"])
    return found
