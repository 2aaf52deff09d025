"""The demonstration: preferences of one simulated task find the good behaviour of another, and policies learn it."""
