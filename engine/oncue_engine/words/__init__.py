"""Words to emotion: a small language model that tells which feeling a text carries."""
