"""The commands: one plain function each, which parses, calls the library and shows the result."""
