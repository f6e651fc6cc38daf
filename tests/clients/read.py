"""Reads a file as other systems do: the question has `form` (`yaml`, `envoy`, `prometheus`) and `file`; the answer is what they find."""

import json
import sys


def yaml(path):
    """All documents, by the rules of YAML 1.1."""
    import yaml

    with open(path, encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def envoy(path):
    """Envoy's own messages: names that they do not have are refused. The answer is the message as JSON again."""
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    (response,) = yaml(path)
    (resource,) = response["resources"]
    assert resource.pop("@type") == "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", resource
    return RouteConfiguration.from_dict(resource).to_dict()


def prometheus(path):
    """Samples as Prometheus's own client reads them: name, labels, value; every family has a help and a type."""
    from prometheus_client.parser import text_string_to_metric_families

    with open(path, encoding="utf-8") as file:
        families = list(text_string_to_metric_families(file.read()))
    names = [family.name for family in families]
    assert len(set(names)) == len(names), names
    assert all(family.type == "gauge" and family.documentation for family in families), families
    samples = [sample for family in families for sample in family.samples]
    assert all(sample.timestamp is None for sample in samples)
    return [[sample.name, sample.labels, sample.value] for sample in samples]


question = json.load(sys.stdin)
json.dump({"yaml": yaml, "envoy": envoy, "prometheus": prometheus}[question["form"]](question["file"]), sys.stdout)
