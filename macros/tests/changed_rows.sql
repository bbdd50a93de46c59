{#-
    Data tests look at the rows that changed since a build whose tests passed.
    A model, or a table of a source, says which those are by a condition in its
    `meta.changed_rows`; `built_through` and `ingested_through` in it stand for
    the columns of `serving_watermark`. A full refresh, a first build and the
    variable `test_everything` look at every row.

    dbt wraps the model that a generic test is given in this macro, which is
    meant to be replaced; its own looks at the test's `where` only.
-#}
{% macro get_where_subquery(relation) -%}
    {%- if is_federated(relation) -%}
        {{- return(
            '(' ~ federated_rows(relation, [model.column_name])
            ~ ') as dbt_subquery'
        ) -}}
    {%- endif -%}
    {%- set conditions = [] -%}
    {%- for condition in [config.get('where'), changed_rows(relation)] -%}
        {%- if condition -%}
            {%- do conditions.append('(' ~ condition ~ ')') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not conditions -%}
        {{- return(relation) -}}
    {%- endif -%}
    {{- return(
        '(select * from ' ~ relation ~ ' where ' ~ conditions | join(' and ')
        ~ ') as dbt_subquery'
    ) -}}
{%- endmacro %}


{#-
    Whether a relation lies in a database of its own, beside BigQuery: only
    single columns of it are tested, and no test reads another.
-#}
{% macro is_federated(relation) %}
    {%- if not execute -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- for source in graph.sources.values() -%}
        {%- if source.relation_name == relation | string
            and source.config.get('meta', {}).get('is_federated') -%}
            {{- return(true) -}}
        {%- endif -%}
    {%- endfor -%}
    {{- return(false) -}}
{% endmacro %}


{#- The condition of a relation that the test at hand reads, or none. -#}
{% macro changed_rows(relation) %}
    {%- if not execute or model.config.meta.get('looks_at_tables') -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set tested = namespace(condition=none) -%}
    {%- for unique_id in model.depends_on.nodes -%}
        {%- set node = graph.nodes.get(unique_id)
            or graph.sources.get(unique_id) -%}
        {%- if node and node.relation_name == relation | string -%}
            {%- set tested.condition = node.config.get('meta', {}).get('changed_rows') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set built_through = tested_through('built_through') -%}
    {%- if tested.condition is none or built_through is none -%}
        {{- return(none) -}}
    {%- endif -%}
    {{- return(
        tested.condition
        | replace('built_through', built_through)
        | replace('ingested_through', tested_through('ingested_through'))
    ) -}}
{% endmacro %}


{#-
    Up to where the rows of silver and gold were tested, by a column of
    `serving_watermark`; none where all of them have to be. What was ingested
    is looked at from earlier on, for transactions that commit late.
-#}
{% macro tested_through(column) %}
    {%- if not execute or flags.FULL_REFRESH or var('test_everything') -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- if var('compile_is_incremental') is not none -%}
        {{- return(
            beginning_of_time() if var('compile_is_incremental') else none
        ) -}}
    {%- endif -%}
    {%- set watermark = namespace(instant=none) -%}
    {%- for node in graph.nodes.values() -%}
        {#- Not by `ref`: the model comes after the tests that ask. -#}
        {%- if node.resource_type == 'model'
            and node.name == 'serving_watermark' -%}
            {%- set relation = adapter.get_relation(
                node.database, node.schema, node.alias
            ) -%}
            {%- if relation is not none -%}
                {%- set answer = run_query(
                    'select cast(max(' ~ column ~ ') as ' ~ text_type()
                    ~ ') as instant from ' ~ relation
                ) -%}
                {%- set watermark.instant = answer.columns['instant'][0] -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if watermark.instant is none -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set instant -%}
cast('{{ watermark.instant }}' as {{ timestamp_type() }})
    {%- endset -%}
    {%- if column == 'ingested_through' -%}
        {{- return(
            minutes_before(instant, var('late_commit_overlap_minutes'))
        ) -}}
    {%- endif -%}
    {{- return(instant) -}}
{% endmacro %}


{#-
    dbt's own test of uniqueness, but one that compares the keys of the rows
    that changed with all rows.
-#}
{% macro default__test_unique(model, column_name) %}

select
    {{ column_name }} as unique_field,
    count(*) as n_records
from {{ whole_relation(model) }}
where
    {{ column_name }} is not null
    {%- if whole_relation(model) != model | string %}
    and {{ column_name }} in (select {{ column_name }} from {{ model }})
    {%- endif %}
group by {{ column_name }}
having count(*) > 1

{% endmacro %}


{#-
    The table behind what a generic test is given. A test whose column has no
    index keeps to the rows that changed.
-#}
{% macro whole_relation(tested) %}
    {%- if execute and not model.config.meta.get('among_changed_rows') -%}
        {%- for unique_id in model.depends_on.nodes -%}
            {%- set node = graph.nodes.get(unique_id)
                or graph.sources.get(unique_id) -%}
            {%- if node
                and ('from ' ~ node.relation_name ~ ' where ') in tested | string
            -%}
                {{- return(node.relation_name) -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(tested | string) -}}
{% endmacro %}
