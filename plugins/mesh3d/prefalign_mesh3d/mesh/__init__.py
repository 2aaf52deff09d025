"""Meshes as plain arrays: reading, placing, quantising, drawing points from their surface."""
