"""Names of the hooks, without importing pluggy or the specifications."""

from __future__ import annotations

__all__ = ["EVENTS", "POLICIES", "REGISTRATION", "RESERVED", "WRAPPERS", "all_hooks"]

REGISTRATION = {
    "dovetail_datastores": "datastore",
    "dovetail_metadata_providers": "metadata",
    "dovetail_compute_backends": "compute",
    "dovetail_environment_builders": "environment",
    "dovetail_secrets_providers": "secrets",
    "dovetail_serializers": "serializer",
    "dovetail_step_decorators": "step-decorator",
    "dovetail_flow_decorators": "flow-decorator",
    "dovetail_commands": "command",
    "dovetail_health_checks": "health-check",
}
"""Hook → kind of the descriptors that it returns."""
EVENTS = ("dovetail_run_started", "dovetail_run_finished", "dovetail_task_started", "dovetail_task_finished")
"""Observers."""
POLICIES = ("dovetail_route_step",)
"""First result wins."""
WRAPPERS = ("dovetail_execute_task",)
"""Around user code."""
RESERVED = (
    "dovetail_artifact_written",
    "dovetail_cards",
    "dovetail_deployers",
    "dovetail_schedules",
    "dovetail_task_submitted",
    "dovetail_triggers",
)
"""Names of hooks that a later version may have. A plugin that implements one is told that nothing calls it."""


def all_hooks() -> tuple[str, ...]:
    """Every hook that exists, sorted."""
    return tuple(sorted((*REGISTRATION, *EVENTS, *POLICIES, *WRAPPERS)))
