"""`make bench`: how fast, how lean, and what it costs; each figure beside its floor or a peer.

A floor is what nobody can go below (the SDKs alone, the round trips alone), a peer another way to do the
same. Both are measured in the same run, in turns with the figure itself, so that a ratio means something on
a busy machine. Everything runs on the local cloud or in virtual time.

    figures    what is printed: a figure, its floor or peer, the ratio and the target
    stage      the local cloud with functions on it, whose events are handed over one by one
    bare       a function that makes livepair's requests with the bare SDKs
    tutorial   a function as a tutorial would write it
    cold       importing the bundle
    warm       one verification: time to the webhook, CPU, requests, its waterfall
    scale      bursts, history, sizes, memory
    walk       a walk over settled uploads
    commands   what commands ask of COS where there is much beside what they are about
    cost       what a thousand verifications cost besides the API
    drawing    plots and the waterfall as SVG
"""
