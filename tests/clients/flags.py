"""Asks the client of a flag system which users get the candidate. Reads a question as JSON and
answers with the indices of these users, one list for each context.

The question has `system`, `file`, `flag`, `baseline`, `candidate`, `users` and `contexts`. A
context holds the attributes that a caller sends beside the user id, one context for each layer. The
program fails when the client returns neither release.
"""

import json
import logging
import sys

logging.disable(logging.CRITICAL)


def flagd(question):
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContext

    core = FlagdCore()
    core.set_flags(open(question["file"], encoding="utf-8").read())

    def evaluate(user, context):
        found = core.resolve_string_value(question["flag"], "", EvaluationContext(targeting_key=user, attributes=context))
        return found.value

    return evaluate


def growthbook(question):
    from growthbook import GrowthBook

    features = json.load(open(question["file"], encoding="utf-8"))
    book = GrowthBook(features=features)

    def evaluate(user, context):
        book.set_attributes({"id": user, **context})
        return book.get_feature_value(question["flag"], "")

    return evaluate


def unleash(question):
    from yggdrasil_engine.engine import UnleashEngine

    engine = UnleashEngine()
    engine.take_state(open(question["file"], encoding="utf-8").read())

    def evaluate(user, context):
        caller = {"userId": user, "properties": context}
        found = engine.get_variant(question["flag"], caller)
        on = engine.is_enabled(question["flag"], caller).is_enabled
        if not on:
            return question["baseline"]
        return found.variant.payload["value"]

    return evaluate


def launchdarkly(question):
    import ldclient
    from ldclient.config import Config
    from ldclient.integrations import Files

    source = Files.new_data_source(paths=[question["file"]], auto_update=False)
    client = ldclient.LDClient(Config("sdk-key", update_processor_class=source, send_events=False), start_wait=5)

    def evaluate(user, context):
        caller = ldclient.Context.builder(user)
        for name, value in context.items():
            caller.set(name, value)
        return client.variation(question["flag"], caller.build(), "")

    return evaluate


def main():
    question = json.load(sys.stdin)
    evaluate = {"flagd": flagd, "growthbook": growthbook, "unleash": unleash, "launchdarkly": launchdarkly}[question["system"]](question)
    answer = []
    for context in question["contexts"]:
        chosen = []
        for index, user in enumerate(question["users"]):
            release = evaluate(user, context)
            if release == question["candidate"]:
                chosen.append(index)
            elif release != question["baseline"]:
                sys.exit(f"expected a release for {user!r} with {context}, found {release!r}")
        answer.append(chosen)
    json.dump(answer, sys.stdout)


main()
