"""Both ends of a lab by the PyPI package etsi-qkd-014-client; its argument is the ready line."""

import json
import sys

from etsi_qkd_014_client import QKD014Client

READY = json.loads(sys.argv[1])
URLS = {node["name"]: node["url"] for node in READY["nodes"]}


def client(sae):
    host = URLS[sae["node"]].removeprefix("https://")
    return QKD014Client(host, sae["certificate"], sae["key"], READY["ca"])


def keys(answer):
    code, container = answer
    assert code == 200, (code, container)
    return [(key.key_id, key.key) for key in container.keys]


master, slave = READY["saes"][:2]
code, status = client(master).get_status(slave["name"])
assert code == 200 and status.max_key_per_request == 128, (code, status)
fresh = keys(client(master).get_key(slave["name"], number=128, size=1024))
named = keys(client(slave).get_key_with_key_IDs(master["name"], [key_id for key_id, _ in fresh]))
assert fresh == named and len({key for _, key in fresh}) == 128
print("the same", len(named), "keys")
