"""Other libraries' data sets of robot behaviour, read without those libraries."""
