-- A function without a search path of its own takes the names and operators of whoever calls it. A role that may create schemas could
-- so date rows of the audit trail back, with a "<" and a clock_timestamp() of its own, and the hashes would hold.
ALTER FUNCTION streamflow.refuse_change() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.hashed_field(text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.promotion_hash(streamflow.promotions) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION streamflow.chain_promotion() SET search_path = pg_catalog, pg_temp;
