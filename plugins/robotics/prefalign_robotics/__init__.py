"""Preferences over robot behaviour."""
