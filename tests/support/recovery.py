"""The harness under its former names."""

from tests.support.harness import BUCKET, IMAGE, LIVE, NO_WAIT, STATE, SkippingClock, beside, lines
from tests.support.harness import Livepair as Recovering

__all__ = ["BUCKET", "IMAGE", "LIVE", "NO_WAIT", "STATE", "Recovering", "SkippingClock", "beside", "lines"]
