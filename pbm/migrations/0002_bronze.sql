-- Bronze: order events exactly as received, and the messages that were not accepted.

create table pbm_bronze.raw_orders (
    message_id text primary key,
    event_id text not null,
    event_type text not null,
    order_id text not null,
    event_timestamp timestamptz not null,
    patient_key text,
    patient_key_version integer,
    schema_version integer not null,
    source_system text,
    -- json, not jsonb: an attribute may hold U+0000, which jsonb refuses
    attributes json not null,
    payload text not null,
    publish_time timestamptz not null,
    ingested_at timestamptz not null default clock_timestamp()
);

create index raw_orders_event_id on pbm_bronze.raw_orders (event_id);
create index raw_orders_ingested_at on pbm_bronze.raw_orders (ingested_at);

create table pbm_bronze.dead_letter_orders (
    message_id text primary key,
    payload_base64 text not null,
    attributes json not null,
    error_type text not null,
    error_message text not null,
    publish_time timestamptz not null,
    failed_at timestamptz not null default clock_timestamp(),
    replay_count integer not null default 0,
    replayed_at timestamptz
);

create index dead_letter_orders_failed_at on pbm_bronze.dead_letter_orders (failed_at);

-- Messages that an ingester has pulled and may not have acknowledged. After a kill they come back
-- only when the lease has run out: until then an empty pull does not mean an empty subscription.
create table pbm_ops.subscription_leases (
    ingester_id uuid primary key,
    subscription text not null,
    leased_until timestamptz not null
);

grant select, insert on pbm_bronze.raw_orders to pbm_loader;
grant select, insert, update on pbm_bronze.dead_letter_orders to pbm_loader;
grant select, insert, update, delete on pbm_ops.subscription_leases to pbm_loader;
grant select on pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders to pbm_transformer;
