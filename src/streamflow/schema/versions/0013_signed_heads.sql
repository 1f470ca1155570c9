-- Heads of the ledger's hash chain that the registrar signed. Whoever owns the database can rewrite rows and their hashes, but not
-- sign them: the key is outside.
CREATE TABLE streamflow.signed_heads (
    head_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    promotion_id bigint NOT NULL,
    hash         text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    signed_at    timestamptz NOT NULL,
    public_key   text NOT NULL,
    signature    text NOT NULL,
    login        text NOT NULL DEFAULT session_user
);
CREATE TRIGGER signed_heads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.signed_heads
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
CREATE TRIGGER signed_heads_signed BEFORE INSERT ON streamflow.signed_heads
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('', 'login', 'head_id');
