"""Mesh generators aligned with preferences."""
