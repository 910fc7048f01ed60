# The stub of viseme.py: a single module cannot carry py.typed, but PEP 561 lets a stub package speak for it, which this
# becomes in the wheel (viseme-stubs).
from shared.sdk.public import *  # noqa: F403 - the names stand there
