"""Figures of kernels from the compiler: memory and cycles, without the device."""
