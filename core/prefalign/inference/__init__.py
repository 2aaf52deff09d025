"""Better answers of a policy that is left as it is: best-of-N and a search over unfinished answers."""
