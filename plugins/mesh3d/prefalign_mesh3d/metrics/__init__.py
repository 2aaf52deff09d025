"""Measures of meshes, as plain functions over arrays (`functional`) and as torchmetrics."""
