"""Static pages from the templates of this package; whatever is put into one is escaped."""

from __future__ import annotations

import functools

import jinja2


@functools.cache
def template(name: str) -> jinja2.Template:
    """A file of `vsfa_jax/templates/`; a value that it misses is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vsfa_jax", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
