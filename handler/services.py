"""What one invocation works with."""

from collections.abc import Callable
from typing import NamedTuple

from handler.clock import Clock, Deadline, Together
from handler.edges.bucket import Bucket
from handler.edges.faceid import Api
from handler.edges.webhook import Consumer
from handler.log import Log
from handler.rules.settings import Settings
from handler.state.ledger import Ledger


class Services(NamedTuple):
    """The collaborators of one invocation, and its time."""

    settings: Settings
    uploads: Bucket
    ledger: Ledger
    api: Api
    consumer: Consumer
    clock: Clock
    deadline: Deadline
    together: Together
    draw: Callable[[], float]
    """A random number from 0 to 1."""
    log: Log
    request_id: str
