"""What the edge shows to a browser."""
