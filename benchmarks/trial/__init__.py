"""The parts of `archive_trial.py`: an author who measures and archives, and a stranger who asks."""
