"""Networks that users own: imported into a folder of theirs, served by Triton, used like any other engine."""
