"""Fused operations in C for x86-64, each beside the same in PyTorch: where no build fits the machine, that one runs.

`csrc` is built with the package (setup.py); `library` loads it; a file of wrappers for each network.
A wrapper takes and gives tensors, checks them, and is equal to its PyTorch form up to rounding (tests/engine/kernels).
"""
