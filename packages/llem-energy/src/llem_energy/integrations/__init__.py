"""The meter in other programs: trainers, tests, and services that collect metrics."""
