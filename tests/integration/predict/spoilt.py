"""Corrupted copies of a version, for the fixture `copy_of`."""

import hashlib
import json

from streamflow.model_version import tags as version_tags


def changed(name, change):
    """Change a file with `change` and adjust the digests, so that only its content is wrong."""

    def spoil(folder, tags):
        (folder / name).write_text(change((folder / name).read_text()))
        manifest = json.loads((folder / "manifest.json").read_text())
        if name != "manifest.json":
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            (folder / "manifest.json").write_text(json.dumps(manifest))
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        return {**tags, version_tags.MANIFEST_SHA256: digest}

    return spoil


def edited(edit):
    """Change a JSON document in place."""

    def change(text):
        document = json.loads(text)
        edit(document)
        return json.dumps(document)

    return change
