"""An example backend for llem: answers with what it has heard, in pure Python."""
