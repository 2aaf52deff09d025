"""Losses that only meshes have."""
