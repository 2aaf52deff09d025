"""From files of meshes to training sets."""
