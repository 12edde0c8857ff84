"""`llem-cli meter`: the energy of any command, of a process that runs, or of some seconds."""
