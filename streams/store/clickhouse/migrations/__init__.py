"""Numbered changes to the tables. A number is never used again; each goes forward and back."""
