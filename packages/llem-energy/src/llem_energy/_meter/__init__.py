"""The meter for any code: windows around work that is not an experiment of llem."""
