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

-- One row for each run of ingestion: what it counted, and until when it may hold messages that it
-- has pulled and not acknowledged. After a kill such messages come back only when that time is
-- over: until then an empty pull does not mean an empty subscription.
create table pbm_ops.ingest_runs (
    run_id uuid primary key,
    source text not null,
    started_at timestamptz not null default clock_timestamp(),
    leased_until timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    messages_read bigint not null default 0,
    accepted bigint not null default 0,
    already_there bigint not null default 0,
    dead_letters bigint not null default 0
);

create index ingest_runs_open on pbm_ops.ingest_runs (source) where ended_at is null;

grant select, insert on pbm_bronze.raw_orders to pbm_loader;
grant select, insert, update on pbm_bronze.dead_letter_orders to pbm_loader;
grant select, insert, update on pbm_ops.ingest_runs to pbm_loader;
grant select on pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders to pbm_transformer;
