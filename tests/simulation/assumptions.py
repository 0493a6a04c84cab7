"""What the protocol takes for granted, and how to break it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation import profiles
from tests.simulation.history import SKEW
from tests.simulation.profiles import Profile


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the protocol takes for granted. Where it fails, verdicts may be asked for twice.

    No upload is lost for it, and no message told with two bodies, unless `costs` says so.
    """

    name: str
    why: str
    broken: Profile
    skew: float = SKEW
    costs: tuple[str, ...] = ("verdict",)
    """What it may cost: the first words of violations."""


ASSUMPTIONS = (
    Assumption(
        "window",
        "two create-only PUTs both succeed only within less than the settle",
        profiles.wide_window,
        # Each of two instances reads its own claim back, both call, and both create the record.
        costs=("verdict", "message"),
    ),
    Assumption("clocks", "clocks differ by seconds", profiles.repeated_after_the_lease, skew=120.0),
    Assumption(
        "clocks-by-minutes", "clocks differ by seconds, and never by minutes", profiles.as_drawn, skew=300.0
    ),
    Assumption(
        "records-stay",
        "records stay for as long as the uploads that they are about",
        profiles.records_expired,
        costs=("verdict", "message", "upload"),
    ),
    Assumption(
        "latency", "where versions are kept, a request arrives within the long settle", profiles.slow_requests
    ),
    Assumption("reads", "GET shows state at once", profiles.stale_reads),
    Assumption(
        "given-up",
        "a request that was given up takes no effect much later",
        profiles.late_effects,
        costs=("verdict", "state"),
    ),
)
