"""The node on the wire."""
