"""Policies learned from chosen behaviour."""
