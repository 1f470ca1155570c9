"""The obvious implementation: a sync handler that calls Feast's SDK for features, then MLflow's model."""

import os
import sys
from typing import Any

import mlflow
import pandas as pd
import uvicorn
from fastapi import FastAPI
from feast import FeatureStore
from pydantic import BaseModel

from streamflow import settings as settings_module
from streamflow.repo import definitions

settings = settings_module.load()
# feature_store.yaml reads the address of PostgreSQL from the environment.
os.environ.update(settings.database.variables)
mlflow.set_tracking_uri(settings.mlflow.tracking_uri)

store = FeatureStore(repo_path=str(settings.feast.repo))
service = store.get_feature_service(definitions.load(settings.feast.repo).feature_service_name)
model: Any = mlflow.pyfunc.load_model(f"models:/{settings.mlflow.registered_model}@production")
columns = model.metadata.get_input_schema().input_names()
app = FastAPI()


class Question(BaseModel):
    """Request body."""

    user_id: str


@app.post("/predict")
def predict(question: Question) -> dict[str, float]:
    """Read the user's features, and predict."""
    found = store.get_online_features(features=service, entity_rows=[question.model_dump()]).to_dict()
    row = {name: found[name][0] for name in columns}
    frame = pd.DataFrame([row])
    for name, kind in model.metadata.get_input_schema().input_dict().items():
        frame[name] = frame[name].astype(kind.type.to_pandas())
    return {"probability": float(model.predict(frame)["probability"].iloc[0])}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
