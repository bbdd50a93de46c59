-- Three roles, none of which can log in: a user takes the one that its work needs.
--   pbm_loader       writes bronze, reads nothing else
--   pbm_transformer  reads bronze, owns silver, gold and serving (dbt)
--   pbm_reporter     reads gold and serving (dashboards)
do $$
declare
    role_name text;
begin
    foreach role_name in array array['pbm_loader', 'pbm_transformer', 'pbm_reporter'] loop
        begin
            execute format('create role %I nologin', role_name);
        exception
            -- roles belong to the whole server: another database of it may have made them
            when duplicate_object or unique_violation then null;
        end;
        execute format('grant %I to current_user with set true, inherit true', role_name);
    end loop;
    execute format('grant connect, create on database %I to pbm_transformer', current_database());
    -- rows are copied into a temporary table before they are inserted
    execute format('grant connect, temporary on database %I to pbm_loader', current_database());
end
$$;

create schema if not exists pbm_bronze;
create schema if not exists pbm_speed;
create schema if not exists pbm_seeds authorization pbm_transformer;
create schema if not exists pbm_silver authorization pbm_transformer;
create schema if not exists pbm_gold authorization pbm_transformer;
create schema if not exists pbm_serving authorization pbm_transformer;

grant usage on schema pbm_bronze, pbm_speed, pbm_ops to pbm_loader;
grant usage on schema pbm_bronze, pbm_speed to pbm_transformer;
grant usage on schema pbm_gold, pbm_serving to pbm_reporter;

alter default privileges for role pbm_transformer in schema pbm_gold
grant select on tables to pbm_reporter;
alter default privileges for role pbm_transformer in schema pbm_serving
grant select on tables to pbm_reporter;
