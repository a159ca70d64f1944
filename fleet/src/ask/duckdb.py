# Standard input: {"view": SQL, "sql": SQL}. Standard output: {"columns": [...], "rows": [[...]]}.
import json
import sys

try:
    import duckdb
except ImportError:
    sys.exit(3)

asked = json.load(sys.stdin)
connection = duckdb.connect(":memory:")
# It would be drawn on standard output.
connection.execute("SET enable_progress_bar = false")
connection.execute(asked["view"])
try:
    answer = connection.execute(asked["sql"])
    names = [column[0] for column in answer.description or []]
    rows = answer.fetchall()
except duckdb.Error as error:
    sys.exit(str(error))
json.dump({"columns": names, "rows": rows}, sys.stdout, default=str)
