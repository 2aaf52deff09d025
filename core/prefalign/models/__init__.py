"""Transformers models and their token rows: what policies and rewards share."""
