"""What a video says of how it was made, and whether that holds."""
