"""Pure functions and counts over plain text, read in this order: words, vocabulary, chair, over_generalisation, pope.

Nothing here imports torch, so that the commands start fast. A ratio over nothing is 0 (a difference of such ratios is
nan), and the count that it was divided by is always reported beside it.
"""
