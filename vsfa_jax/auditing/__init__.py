"""What `python -m vsfa_jax.audit` shows of a set: contents, packing, examples, and their page."""
