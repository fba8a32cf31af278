{# `dbt run` alone must work: seeds are (re)loaded before it, as `dbt seed` would. #}
{% macro load_seeds() %}
    {% if execute and target.name == 'warehouse' and flags.WHICH == 'run' %}
        {% for seed in graph.nodes.values() if seed.resource_type == 'seed' %}
            {% set types = seed.config.column_types %}
            create schema if not exists {{ seed.schema }};
            create or replace table {{ seed.schema }}.{{ seed.alias }} as
            select * from read_csv(
                '{{ seed.root_path }}/{{ seed.original_file_path }}', header = true, types = {{ types }}
            );
        {% endfor %}
    {% endif %}
{% endmacro %}
