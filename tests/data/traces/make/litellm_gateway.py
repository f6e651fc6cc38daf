"""Payloads and spend logs of LiteLLM, made by its own functions from mocked answers.

Needs: litellm 1.108.7 with the packages of its proxy. Offline: LITELLM_LOCAL_MODEL_COST_MAP=True.
Left out: the row of the table of prices in `model_map_information`, and paths of the machine.
"""

import asyncio
import datetime
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.spend_tracking.spend_management_endpoints import _build_ui_spend_logs_response
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload
from scrub import scrub

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "litellm_real")


class Keeper(CustomLogger):
    def __init__(self):
        super().__init__()
        self.payloads, self.rows = [], []

    def keep(self, kwargs, response_obj, start_time, end_time):
        self.payloads.append(json.loads(json.dumps(kwargs["standard_logging_object"], default=str)))
        if end_time is None:  # A failure on the client: the proxy would know the time.
            payload = kwargs["standard_logging_object"]
            times = [payload["startTime"], payload["endTime"]]
            start_time, end_time = [datetime.datetime.fromtimestamp(at, datetime.timezone.utc) for at in times]
        if kwargs["standard_logging_object"]["status"] == "failure":  # As the proxy's hook of failures does.
            params = kwargs["litellm_params"]
            failure = {"status": "failure", "error_information": self.payloads[-1]["error_information"]}
            params = {**params, "metadata": {**(params.get("metadata") or {}), **failure}}
            kwargs = {**kwargs, "litellm_params": params}
        kwargs = {**kwargs, "completion_start_time": kwargs.get("completion_start_time") or end_time}
        self.rows.append(dict(get_logging_payload(kwargs, response_obj, start_time, end_time)))

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.keep(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.keep(kwargs, response_obj, start_time, end_time)


keeper = Keeper()
litellm.callbacks = [keeper]
QUESTION = [{"role": "user", "content": "May I return the blender?"}]


def answer(prompt, completion, cached=0, **more):
    details = {"cached_tokens": cached}
    usage = litellm.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion,
                          prompt_tokens_details=details, **more)  # fmt: skip
    message = {"message": {"role": "assistant", "content": "Within 7 days."}, "finish_reason": "stop", "index": 0}
    return litellm.ModelResponse(choices=[message], usage=usage, model="gpt-4o-mini")


def metadata(user, release, team="bu_books", **more):
    return {
        "user_api_key_end_user_id": user, "user_api_key_team_id": team, "tags": [f"release:{release}", "feature:refund"],
        "spend_logs_metadata": {"release_id": release, "feature": "refund"}, **more,
    }  # fmt: skip


async def ask(user, release, session, mock, model="gpt-4o-mini", **more):
    try:
        found = await litellm.acompletion(model=model, messages=QUESTION, mock_response=mock, user=user,
                                          litellm_session_id=session, metadata=metadata(user, release), **more)  # fmt: skip
        if more.get("stream"):
            async for _ in found:
                pass
    except litellm.exceptions.APIError as error:
        print("as meant:", type(error).__name__)
    except Exception as error:
        print("as meant:", type(error).__name__)


async def main():
    await ask("u-1", "rel_a", "conv-1", answer(900, 120))
    await ask("u-1", "rel_a", "conv-1", answer(1200, 60, cached=1024))
    await ask("u-2", "rel_b", "conv-2", "litellm.RateLimitError")
    await ask("u-2", "rel_b", "conv-2", answer(500, 40))
    await ask("u-3", "rel_b", "conv-3", "It is a stream of words.", stream=True)
    await ask("u-3", "rel_b", "conv-3", answer(2340, 210, cached=2000, cache_creation_input_tokens=300,
                                               cache_read_input_tokens=2000), model="claude-sonnet-4-5")  # fmt: skip
    await litellm.aembedding(model="text-embedding-3-small", input=["return policy"], mock_response=[0.1, 0.2],
                             metadata=metadata("u-1", "rel_a"))  # fmt: skip
    # A client without a proxy: only `user` says who asked.
    await litellm.acompletion(model="gpt-4o-mini", messages=QUESTION, mock_response=answer(77, 7), user="u-4",
                              metadata={"spend_logs_metadata": {"release_id": "rel_a"}})  # fmt: skip
    router = litellm.Router(
        model_list=[
            {"model_name": "smart", "litellm_params": {"model": "gpt-4o", "api_key": "k", "mock_response": "litellm.InternalServerError"}},
            {"model_name": "cheap", "litellm_params": {"model": "gpt-4o-mini", "api_key": "k", "mock_response": "From the other model."}},
        ],
        fallbacks=[{"smart": ["cheap"]}], num_retries=0,
    )  # fmt: skip
    await router.acompletion(model="smart", messages=QUESTION, metadata=metadata("u-5", "rel_b"))
    await asyncio.sleep(4)
    for payload in keeper.payloads:
        payload["model_map_information"]["model_map_value"] = None
    as_text = lambda value: value.isoformat() if isinstance(value, datetime.datetime) else str(value)
    rows = json.loads(json.dumps(keeper.rows, default=as_text))
    for row in rows:
        logged = json.loads(row["metadata"])
        if logged.get("model_map_information"):
            logged["model_map_information"]["model_map_value"] = None
        row["metadata"] = json.dumps(logged)
    page = await _build_ui_spend_logs_response(None, rows, len(rows), 1, 50, 1, enrich_session_counts=False)
    for name, values in [("payloads.jsonl", keeper.payloads), ("spend_logs.jsonl", rows), ("page.json", [page])]:
        folder = os.path.join(OUT, name.split(".")[0])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w") as out:
            out.writelines(json.dumps(scrub(value), separators=(",", ":")) + "\n" for value in values)
        print(name, len(values), os.path.getsize(os.path.join(folder, name)))


asyncio.run(main())
