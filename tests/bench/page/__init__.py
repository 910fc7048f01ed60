"""The page in a real browser: first load, the delay of progress, an upload that is cut."""
