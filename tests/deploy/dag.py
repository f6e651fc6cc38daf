"""Reads a file of DAGs as Airflow does, and prints what it found as one line of JSON."""

import json
import os
import sys
import tempfile

with tempfile.TemporaryDirectory() as home:
    os.environ["AIRFLOW_HOME"] = home
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=sys.argv[1], load_op_links=False)
    dags = {}
    for dag in bag.dags.values():
        dags[dag.dag_id] = {
            "schedule": str(dag.schedule),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "tasks": [
                {
                    "id": task.task_id,
                    "command": task.bash_command,
                    "folder": task.cwd,
                    "env": task.env,
                    "has_own_env": task.append_env,
                }
                for task in dag.tasks
            ],
        }
print(json.dumps({"errors": bag.import_errors, "dags": dags}))
