"""What the generators leave out of their files: paths of the machine."""

import re


def scrub(value):
    if isinstance(value, dict):
        return {key: "" if key.endswith(".repoURL") else scrub(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [scrub(inner) for inner in value]
    if isinstance(value, str):
        value = re.sub(r'File "[^"]*/', 'File "app/', value)
        value = re.sub(r'File \\"[^"]*/', r'File \\"app/', value)
        return re.sub(r"(file://)?/(root|home|tmp)/[^\s\"'\\]*", "/app", value)
    return value
