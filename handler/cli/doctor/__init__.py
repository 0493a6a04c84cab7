"""`doctor`: checks of a deployment, each with what it found and what to do.

    check         one line of the report, and a section of it
    trouble       what to do where a check could not be made
    examination   all sections, one after the other, and the report: everything that is wrong at once
    state_bucket  each permission on the state, and what is assumed of COS
    uploads       the newest uploads, and whether the templates match them
    versions      whether the buckets keep versions
    lifecycle     how long uploads and state are kept, and until when they can be read
    retention     the longest that a face can live (`--retention`)
    backend       what the keys of the application's backend may do, where they are given
    function      the deployed function: runtime, time limit, settings, role
    running       how the platform runs it: status, network, retries, reservation
    code          whether its code is the bundle that lies here
    triggers      what wakes it
    watched       its log topic, the topic's index, and its alarms
    api           whether the API would take calls, and at which host
    webhook       a signed test message
    tencent       the APIs of Tencent that sections ask

A section is a function from a deployment to checks; `examination.SECTIONS` lists them all. A check of the
deployed function is a function in `function.CHECKS` or a row in `running.EXPECTED`, one of its triggers a
function in `triggers.CHECKS`.

Everything but `backend` is asked with the operator's own credentials. What the function's role may do is told
by the function's log alone: its errors name the missing action and the resource.
"""
