"""oncue's engine: text and conditioning in, audio out. Knows nothing of gRPC."""
