"""The arithmetic of the metrics, as plain functions on arrays."""
