"""The recipe that makes the embedded model: corpus, then one module per stage (see __main__.py)."""
