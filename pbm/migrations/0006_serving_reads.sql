-- The serving views look for what came in since silver was built, often for one order; the
-- reconciliation reads hours of publish time.
drop index pbm_bronze.raw_orders_ingested_at;
create index raw_orders_ingested_at on pbm_bronze.raw_orders (ingested_at, order_id);
create index raw_orders_publish_time on pbm_bronze.raw_orders (publish_time);
