"""The label that viewers see."""
