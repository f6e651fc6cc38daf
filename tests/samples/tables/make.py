"""Writes the users of `tests/integration/small.rs` with other programs.

Run with pyarrow, polars and duckdb installed: python make.py
"""
import duckdb
import polars
import pyarrow as pa
import pyarrow.feather as feather

ids = [f"u{user}" for user in range(200)]
table = pa.table({
    "user_id": pa.array(ids).dictionary_encode(),
    "use_count": pa.array(range(200), pa.int32()),
    "is_allow_gray": pa.array([True] * 200),
    "profile": pa.array([{"user": {"id": user}, "tags": ["a", f"n={idx}"]} for idx, user in enumerate(ids)]),
})
# Feather V2 compressed with lz4, in two record batches.
feather.write_feather(table, "pyarrow.feather", chunksize=100)
# A stream with zstd, in batches of 60 rows.
with pa.OSFile("pyarrow.arrows", "wb") as sink:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=60)
frame = polars.DataFrame({
    "user_id": ids,
    "use_count": range(200),
    "is_allow_gray": [True] * 200,
    "profile": [{"user": {"id": user}} for user in ids],
})
# Views, not compressed.
frame.write_ipc("polars.arrow")
frame.write_ipc("polars-zstd.arrow", compression="zstd")
frame.write_parquet("polars.parquet")
rows = duckdb.sql("SELECT * FROM frame")
duckdb.sql("COPY rows TO 'duckdb.json' (ARRAY true)")
duckdb.sql("COPY rows TO 'duckdb.ndjson.zst' (FORMAT json, COMPRESSION zstd)")
duckdb.sql("COPY (SELECT user_id, use_count, is_allow_gray FROM rows) TO 'duckdb.tsv' (DELIMITER '\t')")
# Text without the logical type that other programs write, and compressed with snappy.
duckdb.sql("COPY (SELECT 'd' || user_id AS user_id, use_count, is_allow_gray FROM rows) TO 'duckdb.parquet'")
