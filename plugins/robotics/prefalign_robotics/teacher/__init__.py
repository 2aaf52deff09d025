"""Scripted teachers that compare segments, and which pairs to ask them about."""
