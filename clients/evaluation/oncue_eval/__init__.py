"""Measures a running server over gRPC: the client and judges of its own, nothing of the engine."""
