-- Statements about signed heads of the hash chain.

-- name: newest_row
-- The head of the chain: number and hash of its newest row.
SELECT promotion_id, hash FROM streamflow.promotions ORDER BY promotion_id DESC LIMIT 1;

-- name: add
-- Keep a signed head.
INSERT INTO streamflow.signed_heads (promotion_id, hash, signed_at, public_key, signature)
VALUES (:promotion_id, :hash, :signed_at, :public_key, :signature);

-- name: all
-- Every signed head, oldest first.
SELECT promotion_id, hash, signed_at, public_key, signature FROM streamflow.signed_heads ORDER BY head_id;
