"""A study that is divided into shards, which several processes and machines run."""
