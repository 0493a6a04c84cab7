"""Every schedule of small scenes, with the real reconciler: systematic, where the simulation is random.

A scene is a situation in which instances meet. It is run again and again, each time in another order, until
no order within the bounds is left; after each run the world turns kind, and all promises are checked as in
the simulation. Few preemptions find almost everything, so the schedules with the fewest come first
(iterative context bounding).

    past       what has happened, told alike for orders that make no difference
    stage      a simulated world in which a schedule says what happens next
    scene      what a scene is made of
    scenes     the scenes, and the protections that each shows
    explore    all schedules of a scene within bounds

`python -m tests.prove` looks at all scenes, then switches off every protection that they can show. For a
violation it prints the commit and the schedule; `--scene NAME --schedule 14-1c.22-t` replays that with its
trace.

What is chosen at a step
    Which operation takes effect next: one of COS, of the API or of the webhook. As a rule the instance goes
    on that went on before (0). That another does (1, 2 …) although it could is a preemption; so is that
    nobody does until something else comes that was waited for (t). Where it waits or has ended, another is
    free.
    How the operation ends: well; or its instance dies right after it took effect (c), or before it if it is
    the instance's first (b); or it takes effect and its answer is lost (l): the connection to COS or the API
    breaks, the webhook runs into its time-out.
    A create-only PUT is two steps, the look whether the key is free and the writing, so that two can win. The
    owner's upload is a step too where a scene lets it come at any moment.

What is assumed, as in the simulation
    An operation takes effect within SLOWEST of being asked for, and the second step of a create-only PUT
    within WINDOW of the first: what cannot wait any longer is next, without a choice. A step takes 5 ms; what
    is waited for comes at its time. GET shows what is there. Of an instance that died nothing takes effect
    later but a call or a delivery that is under way: that it took effect before is another schedule.

What is not looked at
    Schedules beyond the bounds, so two crashes or two lost answers; lost answers of reads (they are asked
    again, and so are slow reads); operations that fail without effect, and answers of the API that are no
    verdict, unless the scene has them. What else is drawn (jitter, how long a call takes) is always the same.
    After a scene's end nothing is chosen. Situations in which the same has happened, but for the order of
    operations that do not touch each other, are looked at once if their time differs by less than 50 ms.
"""
