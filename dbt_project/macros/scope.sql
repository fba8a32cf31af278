{# Narrows a relation to the partitions that are being built now (macros/materializations/
   per_session.sql). Live and in unit tests there is no build: everything is in scope. `after` is a
   relation that must be built before: the model's `inputs`, where it reads them nowhere else. #}
{% macro in_scope(scope='int_scope', keys='symbol, session_date', after=none) %}
    {%- if model.resource_type != 'unit_test' -%}
        {%- set relation = ref(scope) -%}
        {%- if after -%}{%- do ref(after) -%}{%- endif -%}
        {%- if target.name != 'live' %} semi join {{ relation }} using ({{ keys }}){% endif -%}
    {%- endif -%}
{% endmacro %}

{# What a data test reads: of a table that is built session by session, in the build itself, only
   what that build made; the rest was tested when it was made. `dbt test` reads everything. #}
{% macro get_where_subquery(relation) %}
    {% set tested = graph.nodes.get(model.attached_node) if execute else none %}
    {% if tested and tested.config.materialized == 'per_session' and flags.WHICH == 'build' %}
        {% do return(
            "(select * from " ~ relation ~ " semi join (select * from intermediate.built_partitions"
            ~ " where model = '" ~ tested.name ~ "' and invocation_id = '" ~ invocation_id
            ~ "') using (" ~ tested.config.partition_by | join(', ') ~ ")) as built_now"
        ) %}
    {% endif %}
    {% do return(relation) %}
{% endmacro %}
