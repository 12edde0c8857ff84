"""From readings to joules with an error bound: arithmetic only. May import `_metering`."""
