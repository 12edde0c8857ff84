"""The checks that llem offers to authors of backends."""
