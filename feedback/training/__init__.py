"""Training: needs the `train` extra (torch). Nothing in serving imports it."""
