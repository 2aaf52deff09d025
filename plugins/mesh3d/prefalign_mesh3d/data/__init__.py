"""Mesh files to training sets: checks, placing, face-count buckets, tokens, augmentation."""
