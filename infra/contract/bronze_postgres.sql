-- Written by `pbm contract write` from ingestion/events.py and contract.py.

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
    attributes json not null,
    payload text not null,
    publish_time timestamptz not null,
    ingested_at timestamptz not null default clock_timestamp()
);

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
