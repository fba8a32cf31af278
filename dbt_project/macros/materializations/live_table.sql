{# A table of live.duckdb that the live service keeps fresh: after each landing it remakes the rows
   that the changed bars can reach, from the view <model>_definition, which is the model.
   `newest_input` (config) is an expression over the row: the newest bar_at that it may depend on;
   `step_minutes` says how far apart such rows are. dbt fills the table when the service starts. #}
{% materialization live_table, adapter='duckdb' %}
    {% set target_relation = this.incorporate(type='table') %}
    {% set definition = api.Relation.create(schema=schema, identifier=this.identifier ~ '_definition') %}
    {% do drop_relation_if_exists(load_cached_relation(this)) %}
    {{ run_hooks(pre_hooks) }}
    {% call statement('main') %}
        create or replace view {{ definition.include(database=false) }} as {{ compiled_code }};
        create or replace table {{ target_relation }} as from {{ definition.include(database=false) }};
        create table if not exists intermediate.live_tables (
            table_name varchar, definition varchar, newest_input varchar, step_minutes integer
        );
        delete from intermediate.live_tables where table_name = '{{ this.schema }}.{{ this.identifier }}';
        insert into intermediate.live_tables values (
            '{{ this.schema }}.{{ this.identifier }}', '{{ this.schema }}.{{ this.identifier }}_definition',
            '{{ config.require('newest_input') }}', {{ config.get('step_minutes', 1) }}
        )
    {% endcall %}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
