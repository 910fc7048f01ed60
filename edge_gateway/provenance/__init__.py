"""Saying in a result that it was generated, and signing that."""
