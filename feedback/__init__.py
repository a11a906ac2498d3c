"""People and learning: review desk, decisions, corpus, training, promotion."""
