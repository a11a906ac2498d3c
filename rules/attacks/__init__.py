"""Disguises text the way evaders do, to measure what the rules lose and to train on."""
