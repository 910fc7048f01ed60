"""How many files and connections this process may have open."""

import resource


def raise_open_files() -> int:
    """Allow this process what the system lets it have: many systems begin with 1024, one for each watcher.

    Returns:
        How many it may have open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
