"""What all tests without services share."""

from hypothesis import HealthCheck, settings

# The first text that hypothesis makes takes it a second or more, which is no fault of the test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
