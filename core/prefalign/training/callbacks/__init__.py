"""Lightning callbacks around preference tuning. None of them changes what is trained."""
