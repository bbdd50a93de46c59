-- Which grants were applied: those of pbm/grants.sql, which are written from the classes of columns.
create table pbm_ops.applied_grants (
    sha256 text primary key,
    applied_at timestamptz not null default clock_timestamp()
);

-- Whose messages are not kept any more, as keyed hashes: of a patient's id, and of the orders that
-- were erased with the patient. The key is not in the database.
create table pbm_ops.suppressed_subjects (
    subject_hash text primary key,
    kind text not null check (kind in ('patient', 'order')),
    suppressed_at timestamptz not null default clock_timestamp()
);

-- That something was erased, and how many rows of which table; not whose.
create table pbm_ops.erasures (
    erasure_id uuid primary key,
    erased_at timestamptz not null default clock_timestamp(),
    rows_by_table jsonb not null
);

-- Versions of the key of the pseudonyms; the keys themselves are not in the database.
create table pbm_ops.pseudonym_keys (
    version integer primary key,
    state text not null check (state in ('current', 'kept', 'retired')),
    changed_at timestamptz not null default clock_timestamp()
);

-- what is to be given a new pseudonym, and whose a pseudonym is
create index raw_orders_patient_key on pbm_bronze.raw_orders (patient_key)
where patient_key is not null;
create index raw_orders_order_id on pbm_bronze.raw_orders (order_id);
