"""Files: what clients bring and what jobs make."""
