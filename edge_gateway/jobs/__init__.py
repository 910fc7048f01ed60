"""Jobs: their state, their events and the work itself."""
