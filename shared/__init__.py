"""What edge gateway, inference node and clients share."""
