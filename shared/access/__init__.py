"""Who may call: scopes, keys, and the file that they stand in."""
