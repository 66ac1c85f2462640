"""Frontends that leave nothing to the host, for tests of what the array can do from end to end."""

from functools import partial

from hwquant import frontends

from_torch = partial(frontends.from_torch, host=False)
from_exported = partial(frontends.from_exported, host=False)
load_model = partial(frontends.load_model, host=False)
