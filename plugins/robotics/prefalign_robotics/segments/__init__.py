"""Stretches of behaviour, and what people said of them."""
