// Checks a list of Kubernetes objects against their resource definitions and prints their kinds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const packages = { "argoproj.io/v1alpha1": "argo-rollouts", "networking.istio.io/v1": "istio" };
const kinds = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const { apiVersion, kind, metadata, spec } = object;
  const path = join(process.env.NODE_PATH, "@kubernetes-models", packages[apiVersion], apiVersion, `${kind}.js`);
  const model = (await import(pathToFileURL(path)))[kind];
  new model({ metadata, spec }).validate();
  kinds.push(kind);
}
process.stdout.write(JSON.stringify(kinds));
