"""The Triton server of this machine: its environment, its process, and who watches it."""
