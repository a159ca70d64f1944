#!/usr/bin/env python3
"""Makes a larger index of an index: each row several times, as crashes of other machines.

usage: multiply.py FROM TO TIMES (buckets in directories)
"""
import pathlib
import sys

import duckdb

source, target, times = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
for day in sorted(source.glob("v1/index/dt=*")):
    to = target / day.relative_to(source)
    to.mkdir(parents=True)
    duckdb.execute(f"""
        COPY (
            SELECT * REPLACE (
                k || substr(crash, 2) AS crash,
                k || substr(machine, 2) AS machine,
                node || '-' || k AS node
            )
            FROM read_parquet('{day}/part-*.parquet', hive_partitioning = false),
                (SELECT CAST(unnest(range({times})) AS VARCHAR) AS k)
        ) TO '{to}/part-00000000-00000000.parquet' (FORMAT parquet, COMPRESSION zstd)
    """.replace("SELECT * REPLACE", "SELECT * EXCLUDE (k) REPLACE"))
