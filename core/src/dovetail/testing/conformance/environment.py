"""`EnvironmentBuilderConformance`: what every environment builder must do."""

from __future__ import annotations

from dovetail.testing.conformance.environment_builds import EnvironmentBuilds
from dovetail.testing.conformance.environment_locks import EnvironmentLocks
from dovetail.testing.conformance.environment_suite import EnvironmentSuite

__all__ = ["EnvironmentBuilderConformance"]


class EnvironmentBuilderConformance(EnvironmentLocks, EnvironmentBuilds):
    __doc__ = EnvironmentSuite.__doc__
