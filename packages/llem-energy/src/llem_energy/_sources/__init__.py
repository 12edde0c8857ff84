"""Energy sources: the protocol, the registry, the files of each source. Imports only `_errors`."""
