-- The login of the dashboards: reads gold and serving, and nothing else.
-- It has no password, so a server that asks for one lets nobody in by it; give it one there, or
-- make another login that is a member of pbm_reporter, and name it in PBM_DASHBOARD_DSN.
do $$
begin
    create role pbm_dashboard login in role pbm_reporter;
    -- what only slips in: a write, an open transaction, a query that never ends
    alter role pbm_dashboard set default_transaction_read_only = on;
    alter role pbm_dashboard set statement_timeout = '15s';
    alter role pbm_dashboard set idle_in_transaction_session_timeout = '60s';
exception
    -- roles belong to the whole server: another database of it may have made this one
    when duplicate_object or unique_violation then null;
end
$$;

do $$
begin
    execute format('grant connect on database %I to pbm_reporter', current_database());
end
$$;
