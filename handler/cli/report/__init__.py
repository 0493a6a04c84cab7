"""`report`: what happened, what it cost, and what another threshold would have done.

    row       what a report keeps of one verification: no key, no value of a pair, no face
    reckon    the arithmetic: outcomes, pass rates, similarities, thresholds, percentiles, money
    read      the records of a time, side by side, what is known already from the cache
    cache     what was read before, on this machine
    facts     a finished report as the value that `--json` prints
    text      the same as tables
    page      the same as one HTML file
    charts    its pictures, as inline SVG
    export    CSV and NDJSON, whose lines are chained, and `--verify`
    run       all of it together
    command   the command and its options

`row` and `reckon` are pure.
"""
