{#-
    dbt's own makes an empty table by the contract and inserts into it, which
    PostgreSQL does in one process. Of `create table as` it shares the work out
    to all cores; the casts give the contract's types, and dbt has compared the
    columns before. A contract with constraints is left to dbt.
-#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- set has_contract = config.get('contract').enforced -%}
    {%- set constraints = model.constraints | list -%}
    {%- for column in model.columns.values() -%}
        {%- do constraints.extend(column.constraints) -%}
    {%- endfor -%}
    {%- if temporary or not has_contract or constraints -%}
        {{- return(
            dbt_postgres.postgres__create_table_as(temporary, relation, sql)
        ) -}}
    {%- endif -%}
{{ get_assert_columns_equivalent(sql) }}

set local parallel_tuple_cost = 0.01;
set local work_mem = '128MB';
set local maintenance_work_mem = '512MB';

create table {{ relation }} as (
    select
        {%- for column in model.columns.values() %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from (
        {{ sql }}
    ) as model_rows
);
{%- endmacro %}
