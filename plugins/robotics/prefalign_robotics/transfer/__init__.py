"""Preferences of one task carried over to another."""
