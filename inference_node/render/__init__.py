"""Rendering as a function: orders in, rendered segments out, and nothing kept but what can be had again."""
