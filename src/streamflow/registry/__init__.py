"""Stage 5: model versions, their promotion, and the releases made of them."""
