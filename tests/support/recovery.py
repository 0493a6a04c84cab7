"""The harness under its former names."""

from tests.support.harness import BUCKET, IMAGE, LIVE, STATE, SkippingClock, beside, lines
from tests.support.harness import Livepair as Recovering

__all__ = ["BUCKET", "IMAGE", "LIVE", "STATE", "Recovering", "SkippingClock", "beside", "lines"]
