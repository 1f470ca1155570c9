"""What the predict service answers: predictions, features, problems."""

from __future__ import annotations

import contextlib
import json
import re
import threading

import pytest
import sqlalchemy as sa

from streamflow.postgres.engine import transaction


def test_a_known_user_gets_a_probability_and_the_version_that_gave_it(predict, users):
    answer = predict.predict(users[0])
    document = answer.json()
    assert answer.status_code == 200, document
    assert document["user_id"] == users[0]
    assert 0 <= document["probability"] <= 1
    assert document["prediction"] is (document["probability"] >= document["threshold"])
    assert document["model"]["version"] == 1
    assert document["request_id"] == answer.headers["x-request-id"]


def test_the_same_user_gets_the_same_probability_alone_in_a_batch_and_with_features(predict, users):
    some = users[:300]
    alone = [predict.predict(user).json()["probability"] for user in some[:20]]
    batch = predict.client.post("/predict/batch", json={"user_ids": some}).json()["predictions"]
    assert [item["user_id"] for item in batch] == some
    assert [item["probability"] for item in batch[:20]] == alone
    wide = predict.client.post("/predict", params={"features": "true"}, json={"user_id": some[0]}).json()
    assert wide["probability"] == alone[0]
    assert wide["features"] == predict.client.get(f"/features/{some[0]}").json()["features"]


def test_an_unknown_user_is_a_404_with_every_missing_feature(predict):
    answer = predict.predict("nobody")
    document = answer.json()
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert (document["code"], document["reason"]) == ("missing_features", "unknown_entity")
    assert len(document["features"]) == 14
    assert "probability" not in document
    assert predict.client.get("/features/nobody").status_code == 404


def test_a_null_is_refused_only_in_a_required_feature(simulated, predict, users):
    victim = users[5]
    with transaction(simulated.database) as connection:
        meaning = connection.execute(
            sa.text("SELECT user_id FROM online.subs_profile_fv WHERE plan_stream_tv IS NULL")
        ).scalars()
        absent = set(meaning) & set(users)
        row = connection.execute(
            sa.text("SELECT monthly_fee FROM online.subs_profile_fv WHERE user_id = :u"), {"u": victim}
        ).one()
        connection.execute(
            sa.text("UPDATE online.subs_profile_fv SET monthly_fee = NULL WHERE user_id = :u"), {"u": victim}
        )
    try:
        answer = predict.predict(victim)
        document = answer.json()
        assert answer.status_code == 422
        assert (document["code"], document["reason"]) == ("missing_features", "null_values")
        assert document["features"] == ["subs_profile_fv:monthly_fee"]
        assert "ingest" in document["detail"]
        shown = predict.client.get(f"/features/{victim}").json()
        assert shown["features"]["monthly_fee"]["value"] is None
        assert shown["problem"]["code"] == "missing_features"
        assert predict.metric("streamflow_feature_missing_total", feature="subs_profile_fv:monthly_fee") >= 1
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(
                sa.text("UPDATE online.subs_profile_fv SET monthly_fee = :fee WHERE user_id = :u"),
                {"fee": row.monthly_fee, "u": victim},
            )
    # Without internet there is no streaming plan: null has a meaning here, and the model was trained on it.
    assert len(absent) > 10
    assert {predict.predict(user).status_code for user in sorted(absent)} == {200}


def test_features_older_than_the_newest_materialization_are_stale(simulated, predict, users):
    victim = users[6]
    shift = sa.text(
        "UPDATE online.support_agg_90d_fv SET event_timestamp = event_timestamp + :by WHERE user_id = :u"
    )
    with transaction(simulated.database) as connection:
        connection.execute(shift, {"by": "-31 days", "u": victim})
    try:
        answer = predict.predict(victim)
        document = answer.json()
        assert answer.status_code == 422
        assert document["code"] == "stale_features"
        assert list(document["views"]) == ["support_agg_90d_fv"]
        assert document["views"]["support_agg_90d_fv"]["behind_newest_seconds"] == 31 * 86400
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(shift, {"by": "31 days", "u": victim})
    assert predict.predict(victim).status_code == 200


def test_a_user_without_a_row_in_one_view_is_not_predicted_from_the_others(simulated, predict, users):
    victim = users[7]
    with transaction(simulated.database) as connection:
        connection.execute(
            sa.text("CREATE TABLE keep AS SELECT * FROM online.payments_agg_90d_fv WHERE user_id = :u"),
            {"u": victim},
        )
        connection.execute(
            sa.text("DELETE FROM online.payments_agg_90d_fv WHERE user_id = :u"), {"u": victim}
        )
    try:
        document = predict.predict(victim).json()
        assert (document["code"], document["reason"]) == ("missing_features", "not_materialized")
        assert document["features"] == ["payments_agg_90d_fv:failed_payments_90d"]
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(sa.text("INSERT INTO online.payments_agg_90d_fv SELECT * FROM keep"))
            connection.execute(sa.text("DROP TABLE keep"))


def test_a_category_the_model_was_not_trained_on_is_refused(simulated, predict, users):
    victim = users[8]
    with transaction(simulated.database) as connection:
        former = connection.execute(
            sa.text("SELECT net_service FROM online.subs_profile_fv WHERE user_id = :u"), {"u": victim}
        ).scalar_one()
        change = sa.text("UPDATE online.subs_profile_fv SET net_service = :p WHERE user_id = :u")
        connection.execute(change, {"p": "Satellite", "u": victim})
    try:
        batch = predict.client.post("/predict/batch", json={"user_ids": [*users[:4], victim]}).json()
        problem = batch["predictions"][4]["problem"]
        assert (problem["code"], problem["reason"]) == ("schema_mismatch", "unknown_category")
        assert all(item["probability"] is not None for item in batch["predictions"][:4])
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(change, {"p": former, "u": victim})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{}", "user_id"),
        (b'{"user_id": 5}', "string"),
        (b'{"user_id": null}', "string"),
        (b'{"user_id": ""}', "1 to 256"),
        (b'{"user_id": "a\\u0000b"}', "control"),
        (b'{"user_id": "\\ud800"}', "surrogate"),
        (b'{"user_id": "a", "x": 1}', "x"),
        (json.dumps({"user_id": "a" * 257}).encode(), "256"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_a_bad_request_gets_the_same_answer_on_the_fast_path_and_through_fastapi(predict, body, says):
    answers = [predict.client.post(f"/predict{query}", content=body) for query in ("", "?features=true")]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "bad_request"
        assert says in answer.json()["detail"]


def test_too_large_requests_are_refused_before_they_are_read(predict):
    answer = predict.client.post("/predict", content=b"x" * 2_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
    answer = predict.client.post("/predict/batch", json={"user_ids": ["x"] * 1001})
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_unknown_paths_and_methods_are_problem_documents(predict):
    for answer, status, code in (
        (predict.client.get("/nowhere"), 404, "not_found"),
        (predict.client.get("/predict"), 405, "method_not_allowed"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_valid_request_id_is_kept_and_any_other_is_replaced(predict, users):
    body = {"user_id": users[0]}
    answer = predict.client.post("/predict", json=body, headers={"x-request-id": "abc-1"})
    assert (answer.headers["x-request-id"], answer.json()["request_id"]) == ("abc-1", "abc-1")
    made = predict.client.post("/predict", json=body, headers={"x-request-id": "a\tb" * 40})
    assert len(made.headers["x-request-id"]) == 16


def test_the_status_routes_show_what_is_served(predict):
    assert predict.client.get("/health").json()["status"] == "ok"
    served = predict.client.get("/model").json()["served"]
    assert (served["version"], served["estimator"]) == (
        1,
        "logistic_regression",
    )
    assert len(served["features"]) == 14
    assert predict.metric("streamflow_model_info", version="1") == 1
    assert predict.metric("streamflow_ledger_read_timestamp_seconds") > 0


def test_the_metrics_have_their_usual_names(simulated, predict, users):
    model = {"model_name": simulated.mlflow.registered_model}
    body = json.dumps({"user_id": users[0]}).encode()
    labels = {
        "http_requests_total": {"handler": "/predict", "method": "POST", "status": "200"},
        "http_request_duration_seconds_count": {"handler": "/predict", "method": "POST"},
        "http_request_duration_highr_seconds_count": {},
        "http_request_size_bytes_count": {"handler": "/predict"},
        "http_request_size_bytes_sum": {"handler": "/predict"},
        "request_preprocess_seconds_count": model,
        "request_predict_seconds_count": model,
        "request_postprocess_seconds_count": model,
        "request_explain_seconds_count": model,
    }
    before = {name: predict.metric(name, **wanted) for name, wanted in labels.items()}
    assert predict.client.post("/predict", content=body).status_code == 200
    assert predict.client.post("/predict?explain=true", content=body).status_code == 200
    grown = {name: predict.metric(name, **wanted) - before[name] for name, wanted in labels.items()}
    # Scrapes are requests as well.
    assert grown.pop("http_request_duration_highr_seconds_count") > 2
    assert grown.pop("http_request_size_bytes_sum") == 2 * len(body)
    assert grown.pop("request_explain_seconds_count") == 1
    assert set(grown.values()) == {2.0}


def test_the_log_names_no_user(predict, users):
    predict.predict(users[0])
    predict.predict("someone-in-particular")
    text = predict.log.read_text()
    assert users[0] not in text
    assert "someone-in-particular" not in text


def test_the_documentation_pages_load_nothing_from_other_hosts(predict):
    page = predict.client.get("/docs").text
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(link.endswith("swagger-ui-bundle.js") for link in linked)
    for link in linked:
        assert link.startswith("/"), link
        assert predict.client.get(link).status_code == 200


@contextlib.contextmanager
def _as(simulated, change: str, back: str, **values):
    """Change the online store for the duration of the block."""
    with transaction(simulated.database) as connection:
        connection.execute(sa.text(change), values)
    try:
        yield
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(sa.text(back), values)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e300"])
def test_a_value_that_is_not_finite_is_refused_and_shown_as_null(simulated, predict, users, value):
    user = users[7]
    fee = predict.client.get(f"/features/{user}").json()["features"]["monthly_fee"]["value"]
    update = "UPDATE online.subs_profile_fv SET monthly_fee = :{} WHERE user_id = :u"
    with _as(simulated, update.format("now"), update.format("fee"), u=user, fee=fee, now=value):
        answer = predict.predict(user)
        assert (answer.status_code, answer.json()["reason"]) == (422, "null_values")
        assert answer.json()["features"] == ["subs_profile_fv:monthly_fee"]
        shown = predict.client.get(f"/features/{user}").json()
        assert shown["features"]["monthly_fee"]["value"] == (1e300 if value == "1e300" else None)
        assert shown["problem"]["reason"] == "null_values"
    assert predict.predict(user).status_code == 200


def test_a_column_of_another_type_is_a_schema_mismatch_with_its_name(simulated, predict, users):
    alter = "ALTER TABLE online.usage_agg_30d_fv ALTER skips_7d TYPE "
    to_text, back = (
        alter + "text USING 'many ' || skips_7d",
        alter + "bigint USING substr(skips_7d, 6)::bigint",
    )
    counted = predict.metric("streamflow_problems_total", code="schema_mismatch", reason="online_schema")
    with _as(simulated, to_text, back):
        # First detected by the value, and by the catalog after the next poll.
        answers = [predict.predict(user) for user in users[:5]]
        assert {(a.status_code, a.json()["code"]) for a in answers} == {(503, "schema_mismatch")}
        answer = predict.until(lambda: (it := predict.predict(users[0])).json()["features"] and it)
        assert answer.json()["features"] == ["usage_agg_30d_fv:skips_7d"]
        assert "is text, not bigint" in answer.json()["detail"]
        assert answer.headers["retry-after"]
        assert predict.metric("streamflow_feature_missing_total", feature="usage_agg_30d_fv:skips_7d") > 0
        assert (
            predict.metric("streamflow_problems_total", code="schema_mismatch", reason="online_schema")
            >= counted + 5
        )
    predict.until(lambda: predict.predict(users[0]).status_code == 200)


def test_no_request_fails_while_a_materialization_waits_for_a_long_reader(simulated, predict, users):
    """The reader is like a backup: materialization waits for it, but requests do not wait for materialization."""
    from streamflow.jobs.materialize import materialize

    done = []
    writer = threading.Thread(target=lambda: done.append(materialize(simulated)))
    with transaction(simulated.database) as reader:
        reader.execute(sa.text("SELECT count(*) FROM online.payments_agg_90d_fv")).scalar_one()
        writer.start()
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
        seen, statuses = 0, []
        while seen < 5:
            statuses.append(predict.predict(users[len(statuses) % len(users)]).status_code)
            with transaction(simulated.database) as other:
                seen += bool(other.execute(waiting).scalar_one())
            assert len(statuses) < 20_000
    writer.join(60)
    assert set(statuses) == {200}
    assert len(done) == 1
