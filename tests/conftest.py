"""What every test shares: how many examples Hypothesis draws, and pictures without a screen."""

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

# No deadline: the first call of an operation may be slow. `ci` draws the same examples every time.
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile(
    "ci", deadline=None, max_examples=100, derandomize=True, database=None, print_blob=True
)
settings.register_profile("nightly", deadline=None, max_examples=3000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))
