"""What the operating system reports about processes and CPUs. Imports nothing else of this package."""
