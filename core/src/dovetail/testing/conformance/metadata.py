"""`MetadataProviderConformance`: what every metadata provider must do."""

from __future__ import annotations

from dovetail.testing.conformance.metadata_handles import MetadataHandles
from dovetail.testing.conformance.metadata_index import MetadataIndex
from dovetail.testing.conformance.metadata_journal import MetadataJournal
from dovetail.testing.conformance.metadata_kills import MetadataKills
from dovetail.testing.conformance.metadata_leases import MetadataLeases
from dovetail.testing.conformance.metadata_limits import MetadataLimits
from dovetail.testing.conformance.metadata_suite import MetadataSuite

__all__ = ["MetadataProviderConformance"]


class MetadataProviderConformance(
    MetadataJournal, MetadataIndex, MetadataLeases, MetadataLimits, MetadataKills, MetadataHandles
):
    __doc__ = MetadataSuite.__doc__
