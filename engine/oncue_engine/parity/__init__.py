"""Our modules against golden files: the public key layout is read, and the same numbers come out."""
