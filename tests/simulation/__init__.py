"""A simulated world in which the real reconciler runs.

`advance`, `sweep` and `ledger` run as the synchronous code that they are. Each invocation is a few greenlets
that give way at every remote operation; the world decides when its request arrives, takes effect and is
answered, and what goes wrong. Time is virtual, and everything is drawn from one seed, so that a history
replays exactly.

    world          virtual time, invocations and their death
    store          what lies in the buckets, how unkind the world is, what it has seen
    remote         requests that arrive late or never; cos, api and consumer answer them
    plan           draws from a seed what a history is made of; axes: what is drawn seldom beside it
    profiles       histories that show one thing; scenes: more of them
    platform       functions, their machines and the timer
    history        runs a plan, turns the world kind
    checks         what must hold then
    burst          very many pairs at the same moment
    disturbances   junk, uploads that go early, the operator; commands: these are the real ones
    protections    each switched off by switches, to show that the checks see it; assumptions, broken

`python -m tests.simulation --seeds 10000` runs histories, `--seed 42` one of them with its trace.
"""
