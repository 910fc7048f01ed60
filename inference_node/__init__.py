"""The inference node: crops and speech in, rendered crops out."""
