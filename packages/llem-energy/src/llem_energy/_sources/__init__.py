"""Energy sources: the protocol, the registry, one file or more per meter. Imports only `_errors`."""
