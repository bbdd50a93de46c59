-- Surveys: what patients answered about a delivery. On Google Cloud this schema lies in Cloud SQL,
-- database pbmpostgre, beside BigQuery.
--   pbm_loader         inserts answers
--   pbm_transformer    reads them, but for the comment, and builds the reporting views (dbt)
--   pbm_survey_reader  reads those views and nothing else (Looker Studio)
create schema if not exists survey_data;

create table survey_data.survey_responses (
    response_id text primary key,
    -- null where the answer names no order
    order_id text,
    invited_at timestamptz not null,
    responded_at timestamptz not null,
    survey_channel text not null,
    survey_language text not null,
    -- null where the question was skipped
    likelihood_to_recommend integer,
    overall_satisfaction integer,
    delivery_timeliness integer,
    staff_courtesy integer,
    refill_ease integer,
    order_communication integer,
    -- free text, which may hold whatever a patient writes: it is not read by anything
    comment text,
    loaded_at timestamptz not null default clock_timestamp(),

    -- survey_responses_<field>_check: an error names the field
    constraint survey_responses_response_id_check
    check (response_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    constraint survey_responses_order_id_check
    check (order_id ~ '\S' and char_length(order_id) <= 64),
    constraint survey_responses_invited_at_check
    check (invited_at >= '2000-01-01 00:00:00+00' and invited_at < 'infinity'),
    constraint survey_responses_responded_at_check
    check (responded_at >= invited_at and responded_at < 'infinity'),
    constraint survey_responses_survey_channel_check
    check (survey_channel in ('sms', 'email', 'phone', 'web', 'mail')),
    constraint survey_responses_survey_language_check
    check (survey_language ~ '^[a-z]{2}$'),
    constraint survey_responses_likelihood_to_recommend_check
    check (likelihood_to_recommend between 0 and 10),
    constraint survey_responses_overall_satisfaction_check
    check (overall_satisfaction between 1 and 5),
    constraint survey_responses_delivery_timeliness_check
    check (delivery_timeliness between 1 and 5),
    constraint survey_responses_staff_courtesy_check
    check (staff_courtesy between 1 and 5),
    constraint survey_responses_refill_ease_check
    check (refill_ease between 1 and 5),
    constraint survey_responses_order_communication_check
    check (order_communication between 1 and 5),
    constraint survey_responses_answers_check
    check (
        num_nonnulls(
            likelihood_to_recommend, overall_satisfaction, delivery_timeliness,
            staff_courtesy, refill_ease, order_communication
        ) > 0
    ),
    constraint survey_responses_comment_check
    check (char_length(comment) between 1 and 4000)
);

create index survey_responses_loaded_at on survey_data.survey_responses (loaded_at);

do $$
begin
    create role pbm_survey_reader nologin;
exception
    -- roles belong to the whole server: another database of it may have made it
    when duplicate_object or unique_violation then null;
end;
$$;

grant usage on schema survey_data to pbm_loader, pbm_survey_reader;
grant usage, create on schema survey_data to pbm_transformer;
grant select, insert on survey_data.survey_responses to pbm_loader;
-- every column but the comment
grant select (
    response_id, order_id, invited_at, responded_at, survey_channel, survey_language,
    likelihood_to_recommend, overall_satisfaction, delivery_timeliness, staff_courtesy,
    refill_ease, order_communication, loaded_at
) on survey_data.survey_responses to pbm_transformer;
alter default privileges for role pbm_transformer in schema survey_data
grant select on tables to pbm_survey_reader;
