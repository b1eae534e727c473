"""Measurements of our kernels against others', with the TPU compiler's figures or on a device."""
