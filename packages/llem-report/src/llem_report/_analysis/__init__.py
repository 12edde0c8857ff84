"""The analysis of a study: its table becomes findings, each with an interval and in words."""
