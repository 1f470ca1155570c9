-- A function without a search path of its own resolves names and operators by the caller's search path. A role that may create
-- schemas could thereby back-date rows of the audit trail, with its own "<" and clock_timestamp(), and the hashes would hold.
ALTER FUNCTION streamflow.refuse_change() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.hashed_field(text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.promotion_hash(streamflow.promotions) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.chain_promotion() SET search_path = pg_catalog, pg_temp;
