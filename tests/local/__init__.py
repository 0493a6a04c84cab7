"""`make local`: the local Tencent Cloud, staying up, with the real function on it and a page to watch it.

    world     the cloud, what can be uploaded, what can go wrong, and time to move
    story     what has happened to each pair, from what the cloud's services have seen
    program   the consumer's own program, whose answers decide
    env_file  local.env, for the operator's commands
    server    the page, its live updates, and what its buttons do

Everything lives in memory and ends with the process; nothing but the loopback addresses is listened on.
"""
