"""`ComputeBackendConformance`: what every compute backend must do."""

from __future__ import annotations

from dovetail.testing.conformance.compute_control import ComputeControl
from dovetail.testing.conformance.compute_jobs import ComputeJobs
from dovetail.testing.conformance.compute_suite import ComputeSuite
from dovetail.testing.conformance.compute_watches import ComputeWatches

__all__ = ["ComputeBackendConformance"]


class ComputeBackendConformance(ComputeJobs, ComputeWatches, ComputeControl):
    __doc__ = ComputeSuite.__doc__
