"""The SQL prompt of the service: read-only SQL on the live database while it runs.

`copies` gives each query an unchanging copy of live.duckdb, `runner` runs it in a process of its
own, `child` is that process.
"""
