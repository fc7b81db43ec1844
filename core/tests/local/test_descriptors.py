"""What the manifest says of the embedded defaults before they are imported."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.local import plugin
from dovetail.plugins.descriptors import BackendSpec
from dovetail.plugins.loading import import_object

HOOKS = (
    plugin.dovetail_datastores,
    plugin.dovetail_metadata_providers,
    plugin.dovetail_compute_backends,
    plugin.dovetail_environment_builders,
)
SPECS: list[BackendSpec] = [spec for hook in HOOKS for spec in hook()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_the_descriptor_lists_what_the_class_declares(spec: BackendSpec) -> None:
    declared: Any = import_object(spec.factory).capabilities
    flags = [] if declared is None else [flag for flag in type(declared) if flag and flag in declared]
    assert sorted(spec.capabilities) == sorted(flag.name.lower().replace("_", "-") for flag in flags)
