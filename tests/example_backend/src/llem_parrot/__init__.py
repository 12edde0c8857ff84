"""An example backend for llem in pure Python: it repeats what it has heard."""
