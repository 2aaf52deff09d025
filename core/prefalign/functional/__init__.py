"""Pure tensor functions, one family a file; each names its paper at the line that implements it."""
