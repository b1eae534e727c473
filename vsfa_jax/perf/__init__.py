"""Figures of our kernels and of others' from the TPU compiler without a TPU, or from a GPU."""
