"""Names that a flow can't give to its own things."""

from __future__ import annotations

from dovetail.authoring.flowspec import FlowSpec

__all__ = ["ATTRIBUTES", "OPTIONS", "STEPS"]

ATTRIBUTES = frozenset(name for name in vars(FlowSpec) if name[0] != "_")
"""Attributes of every flow: no step, parameter, constant or artifact can have one of these names."""

STEPS = ATTRIBUTES | {"name", "cmd", "error", "self"}
"""Names that no step can have."""

OPTIONS = frozenset(
    {
        "all", "compute", "config", "datastore", "datastore_root", "debug", "environment", "flow", "follow", "help",
        "home", "ignore", "isolation", "json", "max_log_size", "max_num_splits", "max_workers", "metadata",
        "namespace", "no_color", "on_failure", "origin_run_id", "params", "pause_after", "post_mortem", "profile",
        "quiet", "resume", "reuse", "run_id", "run_id_file", "set", "tag", "tags", "user_namespace", "verbose",
        "version", "with",
    }
)  # fmt: skip
"""Options of `run`, and Metaflow's: names that no parameter can have, whatever their case."""
