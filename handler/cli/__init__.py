"""The operator's command line, `python -m handler`. Not in the bundle: the function imports none of it.

    main        the commands
    command     what all commands share
    doctor      checks of a deployment, each with what to do
    under_way   list
    story       show
    act         redeliver, retry, reconcile
    upload      verify, links
    forget      erase what an inventory holds
    report      what happened, what it cost, and what another threshold would have done
    support     a zip for Tencent's support
    at_work     until when an instance may be at work on a pair
    inventory   everything that is stored about a person's pairs
    by_key      what may be stored about a pair, where LIST does not show it yet
    first_bytes what the first bytes of an upload tell
    command     what the commands share
    find        from an ID or a key to a pair, and what is stored about it
    consumer    consumer-check, trigger
    declared    what .env and serverless.yml say
    deployment  the settings, the region and the buckets that a command works with
    bucket      a bucket as the operator sees it: versions, lifecycle rules, unfinished uploads
    output      tables, JSON, and text that others chose made safe to show
    private     files that only their owner may read, whole or not there
    bundle      what is deployed (`make bundle`)

`links` alone prints signed links, and nothing prints a secret.
"""
