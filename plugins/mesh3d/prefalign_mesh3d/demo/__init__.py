"""The demonstration: a small generator of furniture, tuned on preferences about its own meshes."""
