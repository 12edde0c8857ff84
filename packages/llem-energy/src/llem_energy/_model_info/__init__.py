"""Facts about a model from its `config.json`: sizes, memory, FLOPs. Loads no weights."""
