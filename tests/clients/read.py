"""Reads a file in the way of another system and prints the content as JSON. The question has `form`
(`yaml`, `envoy`, `prometheus`) and `file`."""

import json
import sys


def yaml(path):
    """All documents of a file, by the rules of YAML 1.1."""
    import yaml

    with open(path, encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def envoy(path):
    """The message as JSON, read with Envoy's own message types. Unknown names are refused."""
    from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

    (response,) = yaml(path)
    (resource,) = response["resources"]
    assert resource.pop("@type") == "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", resource
    return RouteConfiguration.from_dict(resource).to_dict()


def prometheus(path):
    """Samples as Prometheus's own client reads them: name, labels, value. Every family must have a
    help text and a type."""
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
