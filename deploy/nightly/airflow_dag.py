"""One night of the ramp, as a DAG of Airflow 3.

The worker has `sluice` in its search path. The connections `sluice_redis` (password) and
`sluice_slack` (password: the URL of the webhook) hold the credentials; Airflow masks them in logs.
"""

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# Exit codes 10 and 11 are verdicts, no failures of the task.
NIGHT = r"""
sluice night ramp.toml --dir /srv/ramp --to redis://redis.example:6379/0 \
    --metrics /var/lib/prometheus/node-exporter/sluice.prom --quiet --log json
code=$?
case $code in
    10 | 11) exit 0 ;;
    *) exit "$code" ;;
esac
"""

with DAG(
    dag_id="sluice_night",
    # The log of the day before is complete at 02:30.
    schedule="30 2 * * *",
    start_date=datetime(2026, 5, 25, tzinfo=timezone.utc),
    # The next night catches up a night that was missed.
    catchup=False,
    max_active_runs=1,
) as night:
    BashOperator(
        task_id="night",
        bash_command=NIGHT,
        cwd="/etc/sluice",
        env={
            "REDIS_PASSWORD": "{{ conn.sluice_redis.password }}",
            "SLACK_WEBHOOK": "{{ conn.sluice_slack.password }}",
        },
        append_env=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=2),
    )
