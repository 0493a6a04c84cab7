"""livepair: from an upload to COS to one signed liveness verdict.

The modules in reading order, each importing only those above it:

    clock      the time, its limit, and doing things side by side
    log        one flat JSON line at a time, without secrets
    pairing    key templates: key ⇄ pair
    settings   environment ─► Settings, or one error naming every fault
    events     raw COS / Timer event ─► Upload / Tick
    wire       every request to the network: pooled, bounded, counted
    cos        the few COS operations needed, with sane errors
    faceid     the API call and the table of its codes
    outcome    what was seen and answered ─► Outcome and webhook body (pure)
    ledger     claims, records, agenda: the state in the bucket
    webhook    sign and post one message
    services   what the reconciler works with, and what it answers
    look       look up a pair, and when to look again
    tell       record an outcome once, tell it, settle it
    judge      claim a complete pair and call the API
    advance    the reconciler: one pair, as far as it goes
    sweep      the timer: what is due; reconcile
    index      main_handler

Values are NamedTuples: immutable, compared by their fields, changed by `_replace`. On Python 3.10 such a
class is made in a sixth of the time that a frozen dataclass takes, and a cold start makes all of them. Those
that hold a secret do not show it. What has state is a plain class.
"""

__version__ = "0.1.0"
