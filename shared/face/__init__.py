"""Faces: landmarks by MediaPipe face models."""
