"""The client of an edge gateway."""
