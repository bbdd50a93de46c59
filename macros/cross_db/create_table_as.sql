{#-
    dbt's own makes an empty table by the contract and inserts into it, which
    PostgreSQL does in one process. Of `create table as` it shares the work out
    to all cores; the casts give the contract's types, and dbt has compared the
    columns before.

    The settings hold for the one transaction. A row is as wide as its query
    is long here, so handing it from one process to another costs little beside
    making it; and what is sorted and indexed is a whole table. The models that
    read it come at once, long before autovacuum has looked at it.
-#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
{%- set has_contract = config.get('contract').enforced -%}
{%- if has_contract -%}
{{ get_assert_columns_equivalent(sql) }}
{%- endif %}
{%- if temporary or not has_contract %}

create {{ 'temporary ' if temporary }}table {{ relation }} as (
    {{ sql }}
);
{%- else %}

set local parallel_tuple_cost = 0.01;
set local work_mem = '128MB';
set local maintenance_work_mem = '512MB';

create table {{ relation }} as (
    select
        {%- for column in model.columns.values() %}
        {%- if column.constraints or model.constraints %}
        {{- exceptions.raise_compiler_error(
            'Constraints are not written to PostgreSQL here: test instead.'
        ) }}
        {%- endif %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from (
        {{ sql }}
    ) as model_rows
);

analyze {{ relation }};
{%- endif %}
{%- endmacro %}
