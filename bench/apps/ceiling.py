"""The upper bound: a FastAPI handler that accepts the same request and does nothing, run as predict is."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Question(BaseModel):
    """Request body."""

    user_id: str


class Answer(BaseModel):
    """Response body."""

    user_id: str
    probability: float


@app.post("/predict")
async def predict(question: Question) -> Answer:
    """Respond at once."""
    return Answer(user_id=question.user_id, probability=0.5)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
