"""From the text of a study file to a validated study. May import `_spec`."""
