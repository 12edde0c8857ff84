"""A study on several GPUs of one machine: one shard per GPU at a time, each in a process of its own."""
