"""Certificates: who may issue them, what stands in them, and files that may be replaced while programs run."""
