{#-
    Writes how each node of this run ended, once it has. Called by dbt when a
    run ends; a run of a part writes that part, whatever failed.
-#}
{% macro record_build_results() %}
    {%- if not execute or flags.WHICH not in ['build', 'run', 'seed', 'test'] -%}
        {{ return('') }}
    {%- endif -%}
    {%- set nodes = graph.nodes.values()
        | selectattr('name', 'equalto', 'serving_build_results') | list -%}
    {%- set table = load_relation(api.Relation.create(
        database=nodes[0].database,
        schema=nodes[0].schema,
        identifier=nodes[0].alias,
    )) -%}
    {%- set ended = [] -%}
    {%- for result in results if result.node.resource_type in [
        'model', 'seed', 'test', 'unit_test'
    ] -%}
        {%- do ended.append(result) -%}
    {%- endfor -%}
    {%- if table is none or not ended -%}
        {{ return('') }}
    {%- endif -%}

merge into {{ table }} as kept
using (
    {%- for result in ended %}
    {%- set attached = graph.nodes.get(result.node.attached_node) %}
    select
        '{{ result.node.unique_id }}' as node_id,
        '{{ result.node.resource_type }}' as resource_type,
        '{{ result.node.name }}' as node,
        {{ "'" ~ attached.name ~ "'" if attached
            else 'cast(null as ' ~ text_type() ~ ')' }} as tested,
        '{{ result.status }}' as result,
        cast(
            {{ 'null' if result.failures is none else result.failures }}
            as {{ whole_number_type() }}
        ) as failure_count,
        {{ run_start() }} as run_started_at
    {{ 'union all' if not loop.last }}
    {%- endfor %}
) as ended
on kept.node_id = ended.node_id
when matched then update set
    resource_type = ended.resource_type,
    node = ended.node,
    tested = ended.tested,
    result = ended.result,
    failure_count = ended.failure_count,
    run_started_at = ended.run_started_at
when not matched then insert
(node_id, resource_type, node, tested, result, failure_count, run_started_at)
values
(
    ended.node_id, ended.resource_type, ended.node, ended.tested,
    ended.result, ended.failure_count, ended.run_started_at
)
{% endmacro %}
