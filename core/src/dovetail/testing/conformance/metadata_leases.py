"""Metadata provider: leases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from dovetail.interfaces.errors import StaleFenceError
from dovetail.interfaces.metadata import Holder, Lease, MetadataProvider
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.metadata_suite import HOLDER, OTHER, MetadataSuite
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["MetadataLeases", "eventually"]

_TTL = 0.2
_DEAD = """
import json
from dataclasses import asdict
from dovetail.plugins.holder import current_holder
print(json.dumps(asdict(current_holder())))
"""


def eventually(look: Callable[[], object], patience: float) -> object:
    """What `look` gives once it gives something, or in the end."""
    deadline = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


class MetadataLeases(MetadataSuite):
    """`lease`, `renew`, `release`, `leases`."""

    @guards("metadata.lease-is-exclusive")
    def test_a_name_has_as_many_holders_as_slots(self, provider: MetadataProvider) -> None:
        first = provider.lease("run:a", holder=HOLDER)
        assert first is not None, "expected a lease of a name that nobody holds, came None"
        told = (first.name, first.slot, first.ttl, first.holder)
        assert told == ("run:a", 0, 30.0, HOLDER), f"expected slot 0 of run:a for 30 s, came {told}"
        for holder in (OTHER, HOLDER):
            again = provider.lease("run:a", holder=holder)
            assert again is None, f"expected None while the only slot is held, came {again}"
        given = [provider.lease("gpu", holder=HOLDER, slots=3) for _ in range(4)]
        slots = [lease and lease.slot for lease in given]
        assert sorted(slots[:3], key=str) == [0, 1, 2], f"expected the slots 0, 1, 2, came {slots[:3]}"
        assert slots[3] is None, f"expected None of the fourth of 3 slots, came slot {slots[3]}"
        assert provider.lease("run:ab", holder=HOLDER) is not None, "expected another name to be free"

    @guards("metadata.lease-is-exclusive")
    def test_one_of_many_gets_the_lease(self, provider: MetadataProvider) -> None:
        for round in range(4):
            asks = [partial(provider.lease, f"l{round}", holder=HOLDER) for _ in range(THREADS)]
            outcomes = race(asks)
            won = [lease for lease in outcomes if isinstance(lease, Lease)]
            odd = [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, Lease)]
            assert not odd, f"expected a lease or None, came {odd[0]!r}"
            assert len(won) == 1, f"expected one of {THREADS} to get the lease, came {len(won)}"

    @guards("metadata.lease-tokens-rise")
    def test_tokens_rise(self, provider: MetadataProvider) -> None:
        tokens = []
        for _ in range(4):
            lease = provider.lease("run:a", holder=HOLDER)
            assert lease is not None, "expected a released lease to be free"
            tokens.append(lease.token)
            renewed = provider.renew(lease)
            assert renewed.token == lease.token, f"expected the token {lease.token} to stay, came {renewed.token}"
            provider.release(lease)
        assert tokens == sorted(set(tokens)), f"expected a higher token each time, came {tokens}"
        assert tokens[0] >= 1, f"expected tokens above 0, came {tokens[0]}"

    @guards("metadata.lease-expires")
    def test_a_lease_runs_out(self, provider: MetadataProvider) -> None:
        lease = provider.lease("run:a", holder=HOLDER, ttl=_TTL)
        assert lease is not None, "expected a lease, came None"
        found = eventually(lambda: provider.lease("run:a", holder=OTHER, ttl=60.0), self.patience)
        assert isinstance(found, Lease), f"expected the lease to be free after {_TTL} s, came {found!r}"
        assert found.token > lease.token, f"expected a higher token than {lease.token}, came {found.token}"
        error = error_of(lambda: provider.renew(lease))
        assert isinstance(error, StaleFenceError), f"expected StaleFenceError of who lost it, came {error!r}"
        provider.release(lease)
        held = [one.holder for one in provider.leases("run:a")]
        assert held == [OTHER], f"expected the new holder to keep it when the old one releases, came {held}"

    @guards("metadata.lease-expires")
    def test_a_lease_is_held_until_it_runs_out(self, provider: MetadataProvider) -> None:
        lease = provider.lease("run:a", holder=HOLDER, ttl=60.0)
        assert lease is not None, "expected a lease, came None"
        time.sleep(_TTL)
        assert provider.lease("run:a", holder=OTHER) is None, "expected a lease of 60 s to be held, came another"

    @guards("metadata.lease-renew")
    def test_renewing_extends(self, provider: MetadataProvider) -> None:
        lease = provider.lease("run:a", holder=HOLDER, ttl=20.0)
        assert lease is not None, "expected a lease, came None"
        time.sleep(0.05)
        renewed = provider.renew(lease)
        told = (renewed.name, renewed.slot, renewed.token, renewed.ttl, renewed.holder)
        expected = (lease.name, lease.slot, lease.token, 20.0, HOLDER)
        assert told == expected, f"expected the same lease, {expected}, came {told}"
        assert renewed.expires > lease.expires, f"expected a later end than {lease.expires}, came {renewed.expires}"
        provider.release(renewed)
        error = error_of(lambda: provider.renew(lease)) if provider.lease("run:a", holder=OTHER) else None
        assert isinstance(error, StaleFenceError), f"expected StaleFenceError when it went to another, came {error!r}"

    @guards("metadata.lease-renew")
    def test_renewing_keeps_it_beyond_its_ttl(self, provider: MetadataProvider) -> None:
        lease = provider.lease("run:a", holder=HOLDER, ttl=0.8)
        assert lease is not None, "expected a lease, came None"
        time.sleep(0.45)
        provider.renew(lease)
        time.sleep(0.4)
        assert provider.lease("run:a", holder=OTHER) is None, "expected a renewed lease to be held, came another"

    @guards("metadata.lease-release")
    def test_release_frees_the_slot(self, provider: MetadataProvider) -> None:
        held = [provider.lease("gpu", holder=HOLDER, slots=2) for _ in range(2)]
        assert None not in held, f"expected two leases of two slots, came {held}"
        first, second = (lease for lease in held if lease is not None)
        provider.release(first)
        provider.release(first)
        again = provider.lease("gpu", holder=OTHER, slots=2)
        assert again is not None, "expected a released slot to be free, came None"
        assert again.slot == first.slot, f"expected the slot {first.slot}, came {again.slot}"
        provider.release(first)
        slots = sorted(lease.token for lease in provider.leases("gpu"))
        expected = sorted([second.token, again.token])
        assert slots == expected, f"expected two leases to be held, {expected}, came {slots}"

    @guards("metadata.lease-of-the-dead")
    def test_the_dead_hold_nothing(self, provider: MetadataProvider) -> None:
        done = subprocess.run([sys.executable, "-c", _DEAD], capture_output=True, text=True, check=True, timeout=60)
        dead = Holder(**json.loads(done.stdout))
        if not dead.boot:
            return  # this system does not tell processes apart: the ttl alone counts
        assert provider.lease("run:a", holder=dead, ttl=1000.0) is not None, "expected a lease, came None"
        assert provider.leases() == [], f"expected no lease of a dead process, came {provider.leases()}"
        lease = provider.lease("run:a", holder=OTHER)
        assert lease is not None, "expected the lease of a dead process of this host to be free at once, came None"
        elsewhere = Holder(host="elsewhere", boot=dead.boot, pid=dead.pid, started=dead.started)
        assert provider.lease("run:b", holder=elsewhere, ttl=1000.0) is not None, "expected a lease, came None"
        assert provider.lease("run:b", holder=OTHER) is None, (
            "expected a lease of another host to be held, came another"
        )

    @guards("metadata.leases-are-listed")
    def test_leases_are_listed(self, provider: MetadataProvider) -> None:
        for name in ("run:b", "run:a", "limit", "run:ab", "é%_"):
            provider.lease(name, holder=HOLDER)
        provider.lease("run:gone", holder=HOLDER, ttl=_TTL)
        released = provider.lease("run:released", holder=HOLDER)
        assert released is not None, "expected a lease, came None"
        provider.release(released)
        eventually(lambda: all(lease.name != "run:gone" for lease in provider.leases()), self.patience)
        for prefix, expected in (
            ("run:", ["run:a", "run:ab", "run:b"]),
            ("run:a", ["run:a", "run:ab"]),
            ("", ["limit", "run:a", "run:ab", "run:b", "é%_"]),
            ("é%", ["é%_"]),
            ("%", []),
        ):
            found = [lease.name for lease in provider.leases(prefix)]
            assert found == expected, f"expected {expected} below {prefix!r}, came {found}"
