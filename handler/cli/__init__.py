"""The operator's command line, `python -m handler`. Not in the bundle: the function imports none of it.

    deployment  the settings, the region and the credentials that a command works with
    output      tables, JSON, and text that others chose made safe to show
    find        from an ID or a key to a pair, and what is stored about it
    doctor      checks, each with what to do
    look        list, show
    act         redeliver, retry, reconcile
    upload      verify, links
    forget      erase everything about a person's pair
    bundle      what is deployed (`make bundle`)
    main        the commands

`links` alone prints signed links, and nothing prints a secret.
"""
