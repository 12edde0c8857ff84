"""Energy sources: the protocol, the registry, and the files of each source. Imports only `_errors`."""
