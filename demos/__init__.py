"""Programs that train the course's models and draw what they learn: see `python -m demos`."""
