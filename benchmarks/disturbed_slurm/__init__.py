"""A real Slurm on this machine, whose studies are disturbed."""
