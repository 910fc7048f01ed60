"""Faces at the edge: finding one, following it, and the box that is cut around it."""
