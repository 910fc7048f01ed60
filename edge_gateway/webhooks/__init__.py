"""Jobs' ends, told by HTTP to whoever asked for it."""
