"""Pictures of meshes, without a display."""
