-- Written by `pbm privacy write` from infra/privacy/roles.yml and the classes of columns in the dbt
-- project. `pbm up` applies it when it changed; run again, it changes nothing.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['pbm_loader', 'pbm_transformer', 'pbm_reporter', 'pbm_survey_reader', 'pbm_operator', 'pbm_privacy_officer'] loop
        begin
            execute format('create role %I nologin', role_name);
        exception
            -- roles belong to the whole server: another database of it may have made them
            when duplicate_object or unique_violation then null;
        end;
        execute format('grant %I to current_user with set true, inherit true', role_name);
    end loop;
end
$$;
do $$
begin
    grant pg_read_all_stats to pbm_privacy_officer;
exception
    when insufficient_privilege then
        raise notice 'this user may not grant pg_read_all_stats to pbm_privacy_officer: an administrator has to';
end;
$$;

-- pbm_bronze
revoke all on schema pbm_bronze from pbm_loader, pbm_transformer, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_bronze from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on pbm_bronze.dead_letter_orders from pbm_transformer;
revoke all on pbm_bronze.raw_orders from pbm_transformer;
alter default privileges for role pbm_transformer in schema pbm_bronze
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_bronze to pbm_loader;
grant select on pbm_bronze.dead_letter_orders to pbm_loader;
grant select on pbm_bronze.raw_orders to pbm_loader;
grant insert on pbm_bronze.raw_orders to pbm_loader;
grant insert, update on pbm_bronze.dead_letter_orders to pbm_loader;
grant usage on schema pbm_bronze to pbm_transformer;
grant select on pbm_bronze.dead_letter_orders to pbm_transformer;
grant select on pbm_bronze.raw_orders to pbm_transformer;
grant usage on schema pbm_bronze to pbm_operator;
grant select (message_id, error_type, error_message, publish_time, failed_at, replay_count, replayed_at) on pbm_bronze.dead_letter_orders to pbm_operator;
grant select (message_id, event_id, event_type, order_id, event_timestamp, patient_key, patient_key_version, schema_version, source_system, publish_time, ingested_at) on pbm_bronze.raw_orders to pbm_operator;
grant usage on schema pbm_bronze to pbm_privacy_officer;
grant select on pbm_bronze.dead_letter_orders to pbm_privacy_officer;
grant select on pbm_bronze.raw_orders to pbm_privacy_officer;
grant delete, update (patient_key, patient_key_version) on pbm_bronze.raw_orders to pbm_privacy_officer;
grant insert, update, delete on pbm_bronze.dead_letter_orders to pbm_privacy_officer;

-- pbm_gold
revoke all on schema pbm_gold from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_gold from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_gold
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_gold to pbm_reporter;
grant select on all tables in schema pbm_gold to pbm_reporter;
alter default privileges for role pbm_transformer in schema pbm_gold
grant select on tables to pbm_reporter;
grant usage on schema pbm_gold to pbm_operator;
grant select on all tables in schema pbm_gold to pbm_operator;
alter default privileges for role pbm_transformer in schema pbm_gold
grant select on tables to pbm_operator;
grant usage on schema pbm_gold to pbm_privacy_officer;
grant select, delete, update on all tables in schema pbm_gold to pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_gold
grant select, delete, update on tables to pbm_privacy_officer;

-- pbm_ops
revoke all on schema pbm_ops from pbm_loader, pbm_transformer, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_ops from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on pbm_ops.applied_grants from pbm_transformer;
revoke all on pbm_ops.erasures from pbm_transformer;
revoke all on pbm_ops.ingest_runs from pbm_transformer;
revoke all on pbm_ops.pseudonym_keys from pbm_transformer;
revoke all on pbm_ops.replays from pbm_transformer;
revoke all on pbm_ops.schema_migrations from pbm_transformer;
revoke all on pbm_ops.suppressed_subjects from pbm_transformer;
alter default privileges for role pbm_transformer in schema pbm_ops
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_ops to pbm_loader;
grant select on pbm_ops.applied_grants to pbm_loader;
grant select on pbm_ops.erasures to pbm_loader;
grant select on pbm_ops.ingest_runs to pbm_loader;
grant select on pbm_ops.pseudonym_keys to pbm_loader;
grant select on pbm_ops.replays to pbm_loader;
grant select on pbm_ops.schema_migrations to pbm_loader;
grant select on pbm_ops.suppressed_subjects to pbm_loader;
grant insert, update on pbm_ops.ingest_runs to pbm_loader;
grant insert, update on pbm_ops.replays to pbm_loader;
grant usage on schema pbm_ops to pbm_transformer;
grant select on pbm_ops.ingest_runs to pbm_transformer;
grant select on pbm_ops.replays to pbm_transformer;
grant usage on schema pbm_ops to pbm_operator;
grant select on pbm_ops.applied_grants to pbm_operator;
grant select on pbm_ops.erasures to pbm_operator;
grant select on pbm_ops.ingest_runs to pbm_operator;
grant select on pbm_ops.pseudonym_keys to pbm_operator;
grant select on pbm_ops.replays to pbm_operator;
grant select on pbm_ops.schema_migrations to pbm_operator;
grant select on pbm_ops.suppressed_subjects to pbm_operator;
grant usage on schema pbm_ops to pbm_privacy_officer;
grant select on pbm_ops.applied_grants to pbm_privacy_officer;
grant select on pbm_ops.erasures to pbm_privacy_officer;
grant select on pbm_ops.ingest_runs to pbm_privacy_officer;
grant select on pbm_ops.pseudonym_keys to pbm_privacy_officer;
grant select on pbm_ops.replays to pbm_privacy_officer;
grant select on pbm_ops.schema_migrations to pbm_privacy_officer;
grant select on pbm_ops.suppressed_subjects to pbm_privacy_officer;
grant insert on pbm_ops.ingest_runs to pbm_privacy_officer;
grant insert on pbm_ops.suppressed_subjects to pbm_privacy_officer;
grant insert on pbm_ops.erasures to pbm_privacy_officer;
grant insert, update on pbm_ops.pseudonym_keys to pbm_privacy_officer;

-- pbm_seeds
revoke all on schema pbm_seeds from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_seeds from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_seeds
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_seeds to pbm_privacy_officer;
grant select, delete, update on all tables in schema pbm_seeds to pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_seeds
grant select, delete, update on tables to pbm_privacy_officer;

-- pbm_serving
revoke all on schema pbm_serving from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_serving from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_serving
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_serving to pbm_reporter;
grant select on all tables in schema pbm_serving to pbm_reporter;
alter default privileges for role pbm_transformer in schema pbm_serving
grant select on tables to pbm_reporter;
grant usage on schema pbm_serving to pbm_operator;
grant select on all tables in schema pbm_serving to pbm_operator;
alter default privileges for role pbm_transformer in schema pbm_serving
grant select on tables to pbm_operator;
grant usage on schema pbm_serving to pbm_privacy_officer;
grant select on all tables in schema pbm_serving to pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_serving
grant select on tables to pbm_privacy_officer;

-- pbm_silver
revoke all on schema pbm_silver from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_silver from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_silver
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_silver to pbm_operator;
grant select on all tables in schema pbm_silver to pbm_operator;
alter default privileges for role pbm_transformer in schema pbm_silver
grant select on tables to pbm_operator;
grant usage on schema pbm_silver to pbm_privacy_officer;
grant select, delete, update on all tables in schema pbm_silver to pbm_privacy_officer;
alter default privileges for role pbm_transformer in schema pbm_silver
grant select, delete, update on tables to pbm_privacy_officer;

-- pbm_speed
revoke all on schema pbm_speed from pbm_loader, pbm_transformer, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema pbm_speed from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on pbm_speed.live_order_metrics from pbm_transformer;
alter default privileges for role pbm_transformer in schema pbm_speed
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema pbm_speed to pbm_loader;
grant select on pbm_speed.live_order_metrics to pbm_loader;
grant insert on pbm_speed.live_order_metrics to pbm_loader;
grant usage on schema pbm_speed to pbm_transformer;
grant select on pbm_speed.live_order_metrics to pbm_transformer;
grant usage on schema pbm_speed to pbm_operator;
grant select on pbm_speed.live_order_metrics to pbm_operator;
grant usage on schema pbm_speed to pbm_privacy_officer;
grant select on pbm_speed.live_order_metrics to pbm_privacy_officer;
grant insert on pbm_speed.live_order_metrics to pbm_privacy_officer;

-- survey_data
revoke all on schema survey_data from pbm_loader, pbm_transformer, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on all tables in schema survey_data from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
revoke all on survey_data.survey_responses from pbm_transformer;
alter default privileges for role pbm_transformer in schema survey_data
revoke all on tables from pbm_loader, pbm_reporter, pbm_survey_reader, pbm_operator, pbm_privacy_officer;
grant usage on schema survey_data to pbm_loader;
grant select on survey_data.survey_responses to pbm_loader;
grant insert on survey_data.survey_responses to pbm_loader;
grant usage, create on schema survey_data to pbm_transformer;
grant select (response_id, order_id, invited_at, responded_at, survey_channel, survey_language, likelihood_to_recommend, overall_satisfaction, delivery_timeliness, staff_courtesy, refill_ease, order_communication, loaded_at) on survey_data.survey_responses to pbm_transformer;
grant usage on schema survey_data to pbm_survey_reader;
do $$
declare
    made regclass;
begin
    for made in
        select oid from pg_class
        where
            relnamespace = 'survey_data'::regnamespace
            and relkind in ('r', 'v', 'm', 'p')
            and relowner = 'pbm_transformer'::regrole
    loop
        execute format('grant select on %s to pbm_survey_reader', made);
    end loop;
end
$$;
alter default privileges for role pbm_transformer in schema survey_data
grant select on tables to pbm_survey_reader;
grant usage on schema survey_data to pbm_privacy_officer;
grant select on survey_data.survey_responses to pbm_privacy_officer;
grant delete on survey_data.survey_responses to pbm_privacy_officer;
