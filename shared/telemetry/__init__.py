"""What services tell about themselves: logs and metrics."""
