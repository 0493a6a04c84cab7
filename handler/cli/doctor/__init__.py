"""`doctor`: checks of a deployment, each with what it found and what to do.

    check         one line of the report, and a section of it
    examination   all sections, one after the other, and the report: everything that is wrong at once
    state_bucket  each permission on the state, and what is assumed of COS
    uploads       the newest uploads, and whether the templates match them
    versions      whether the buckets keep versions
    lifecycle     how long uploads and state are kept
    function      the deployed function: runtime, time limit, settings, role
    triggers      what wakes it
    api           whether the API would take calls, and at which host
    webhook       a signed test message
    tencent       the APIs of Tencent that sections ask

A section is a function from a deployment to checks; `examination.SECTIONS` lists them all. A check of the
deployed function is a function in `function.CHECKS`, one of its triggers in `triggers.CHECKS`.

Everything is asked with the operator's own credentials. What the function's role may do is told by the
function's log alone: its errors name the missing action and the resource.
"""
