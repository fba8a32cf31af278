{# `dbt run` alone must work: seeds are (re)loaded before it, as `dbt seed` would.
   Not from seed.root_path: dbt keeps that of an earlier run, which may have been in another folder. #}
{% macro load_seeds() %}
    {% if execute and target.name == 'warehouse' and flags.WHICH == 'run' %}
        {% for seed in graph.nodes.values() if seed.resource_type == 'seed' %}
            {% set types = seed.config.column_types %}
            create schema if not exists {{ seed.schema }};
            create or replace table {{ seed.schema }}.{{ seed.alias }} as
            select * from read_csv(
                '{{ invocation_args_dict.project_dir }}/{{ seed.original_file_path }}', header = true, types = {{ types }}
            );
        {% endfor %}
    {% endif %}
{% endmacro %}
