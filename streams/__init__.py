"""How messages and verdicts move and where they are kept."""
