"""What stays at an edge, for how long, and what takes away the rest."""
