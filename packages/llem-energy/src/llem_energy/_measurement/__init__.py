"""One measurement, stage by stage. Only here do meters and backends meet."""
