"""grpc.aio services over the engine; knows nothing of tensors."""
