"""Judges of meshes."""
