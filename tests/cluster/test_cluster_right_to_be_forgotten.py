"""The job `erase`, started as the page says, removes a person; later tests meet the installation without them."""

import json

from kubernetes_cli import any_entity, ask
from page_shell import page_block, shell


def test_the_pages_commands_erase_a_person_and_no_log_names_them(demo):
    person = any_entity(demo)
    said = shell(page_block("On Kubernetes", 0, "docs/erasure.md"), {"7590-VHVEG": person}, timeout=600)
    assert person not in said
    [[outcome, facts]] = demo.sql(
        "SELECT outcome, facts FROM streamflow.job_runs WHERE job = 'erase' ORDER BY run_id DESC LIMIT 1"
    )
    assert outcome == "done"
    assert json.loads(facts)["rows"]["source.users"] >= 1
    assert json.loads(facts)["runs"] >= 1
    assert demo.sql(f"SELECT count(*) FROM source.users WHERE user_id = '{person}'") == [["0"]]
    with demo.forwarded(f"{demo.name}-predict", 80) as url:
        status, answer = ask(f"{url}/predict", {"user_id": person})
    assert (status, answer["code"], answer["reason"]) == (404, "missing_features", "unknown_entity")
    demo.job("audit")
    demo.job("monitor")
