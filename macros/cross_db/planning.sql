{% macro computed_once(relation, expressions, for_all=false) %}
    {{- return(
        adapter.dispatch('computed_once')(relation, expressions, for_all)
    ) -}}
{% endmacro %}

{#-
    PostgreSQL would evaluate each expression as many times as the next query
    names it, but for `offset 0`; and it reads no condition through an
    `offset` but one on columns that stay outside. Who wants all rows does not
    keep them outside: what is lateral is done by one process only. The zero in
    quotes is a bigint from the start, as which the planner knows that nothing
    is left out, and lets several processes share the rows.
-#}
{% macro postgres__computed_once(relation, expressions, for_all) -%}
{%- if for_all -%}
select
    {{ relation }}.*,
    {%- for name, expression in expressions.items() %}
    {{ expression | indent }} as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
offset '0' -- noqa: AM09
{%- else -%}
select
    {{ relation }}.*,
    computed.*
from {{ relation }}
cross join lateral (
    select
        {%- for name, expression in expressions.items() %}
        {{- ' ' if expressions | length == 1 else '\n        ' }}
        {{- expression | indent(8) }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (select 1 as one) as one_row
    offset 0 -- noqa: AM09
) as computed
{%- endif -%}
{%- endmacro %}

{% macro bigquery__computed_once(relation, expressions, for_all) -%}
select
    *,
    {%- for name, expression in expressions.items() %}
    {{ expression | indent }} as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
{%- endmacro %}


{% macro newest(relation, column) %}
    {{- return(adapter.dispatch('newest')(relation, column)) -}}
{% endmacro %}

{#-
    Asked before the query rather than in it: only by a literal does BigQuery
    leave out the partitions that are older, and PostgreSQL pick its index. A
    unit test's table and an offline compile's cannot be asked, nor one that
    is not built yet.
-#}
{% macro default__newest(relation, column) -%}
{%- set newest = none -%}
{%- if can_be_asked(relation) -%}
    {%- set answer = run_query(
        'select cast(max(' ~ column ~ ') as ' ~ text_type() ~ ') as newest'
        ~ ' from ' ~ relation
    ) -%}
    {%- set newest = answer.columns['newest'][0] -%}
{%- endif -%}
{%- if newest is not none -%}
cast('{{ newest }}' as {{ timestamp_type() }})
{%- else -%}
(select max(built_rows.{{ column }}) from {{ relation }} as built_rows)
{%- endif -%}
{%- endmacro %}


{% macro inlined() %}
    {{- return(adapter.dispatch('inlined')()) -}}
{% endmacro %}

{#- PostgreSQL would compute a CTE that is named twice as a whole. -#}
{% macro postgres__inlined() %}not materialized {% endmacro %}

{% macro bigquery__inlined() %}{% endmacro %}


{% macro distinct_values(relation, column) %}
    {{- return(adapter.dispatch('distinct_values')(relation, column)) -}}
{% endmacro %}

{#-
    From one value to the next by the index: PostgreSQL would read millions of
    rows for a dozen values.
-#}
{% macro postgres__distinct_values(relation, column) -%}
with recursive

found_values as (

    select min({{ column }}) as {{ column }}
    from {{ relation }}

    union all

    select
        (
            select min(later.{{ column }})
            from {{ relation }} as later
            where later.{{ column }} > found_values.{{ column }}
        ) as {{ column }}
    from found_values
    where found_values.{{ column }} is not null

)

select {{ column }}
from found_values
where {{ column }} is not null
{%- endmacro %}

{% macro bigquery__distinct_values(relation, column) -%}
select distinct {{ column }}
from {{ relation }}
where {{ column }} is not null
{%- endmacro %}


{% macro without_resent_rows(relation, key, ordering_column) %}
    {{- return(
        adapter.dispatch('without_resent_rows')(relation, key, ordering_column)
    ) -}}
{% endmacro %}

{#- PostgreSQL's primary key has refused them. -#}
{% macro postgres__without_resent_rows(relation, key, ordering_column) -%}
select * from {{ relation }}
{%- endmacro %}

{#- A streaming insert that is repeated may write a row twice. -#}
{% macro bigquery__without_resent_rows(relation, key, ordering_column) -%}
select {{ relation }}.*
from {{ relation }}
where true
qualify row_number() over (partition by {{ key }} order by {{ ordering_column }}) = 1
{%- endmacro %}
