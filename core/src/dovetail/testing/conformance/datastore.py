"""`DataStoreConformance`: what every data store must do."""

from __future__ import annotations

from dovetail.testing.conformance.datastore_abilities import DataStoreAbilities
from dovetail.testing.conformance.datastore_deletes import DataStoreDeletes
from dovetail.testing.conformance.datastore_growing import DataStoreGrowing
from dovetail.testing.conformance.datastore_handles import DataStoreHandles
from dovetail.testing.conformance.datastore_kills import DataStoreKills
from dovetail.testing.conformance.datastore_reads import DataStoreReads
from dovetail.testing.conformance.datastore_scans import DataStoreScans
from dovetail.testing.conformance.datastore_suite import DataStoreSuite
from dovetail.testing.conformance.datastore_writes import DataStoreWrites

__all__ = ["DataStoreConformance"]


class DataStoreConformance(
    DataStoreWrites,
    DataStoreReads,
    DataStoreScans,
    DataStoreDeletes,
    DataStoreAbilities,
    DataStoreGrowing,
    DataStoreKills,
    DataStoreHandles,
):
    __doc__ = DataStoreSuite.__doc__
