"""From scored candidates to preference records."""
