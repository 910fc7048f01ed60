"""Transfers, measured: ``python -m tests.bench.transfer``."""
