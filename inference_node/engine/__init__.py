"""Lip-sync engines: what they promise, and what they are."""
