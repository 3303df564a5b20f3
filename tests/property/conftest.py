"""A machine that does other work too fails no property: nothing here is timed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("supercloud", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("supercloud")
