"""A simulated world in which the real reconciler runs.

`advance`, `sweep` and `ledger` run as the synchronous code that they are. Each invocation is a few greenlets
that give way at every remote operation; the world decides when its request arrives, takes effect and is
answered, and what goes wrong. Time is virtual, and everything is drawn from one seed, so that a history
replays exactly.

    world          virtual time, invocations and their death
    services       COS, the API and the consumer, and what goes wrong with them
    history        draws a history from a seed, runs it, turns the world kind
    checks         what must hold then
    burst          very many pairs at the same moment
    protections    switches protections off, to show that the checks see it

`python -m tests.simulation --seeds 10000` runs histories, `--seed 42` one of them with its trace.
"""
