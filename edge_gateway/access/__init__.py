"""Who may do what at this edge."""
