{# A table that is kept up to date session by session.

   The model's `inputs` relation (config) has a row per partition, with the partition's keys
   (`partition_by`), a fingerprint of all that the partition is made from (the column
   `fingerprint`; null: the partition is not to be there) and its row_count. A run remakes the
   partitions whose fingerprint is another one than they were built with, drops those that are no
   more, and leaves the rest alone. intermediate.built_partitions is the ledger of what was built
   from what; a partition and its ledger line are committed together, so a run that is killed goes
   on where it stopped. Where the definition itself has changed, or on a full refresh, the table is
   made anew.

   It is built chunk by chunk (the var build_chunk_rows), so that a backfill of any length runs in
   the same memory. The chunk's keys stand in intermediate.build_scope; the macro in_scope() and the
   models int_bars_in_scope and int_sessions_in_scope read them. #}
{% materialization per_session, adapter='duckdb' %}
    {% set target_relation = this.incorporate(type='table') %}
    {% set existing = load_cached_relation(this) %}
    {% set keys = config.require('partition_by') %}
    {% set definition = definition_hash(model.unique_id) %}

    {{ run_hooks(pre_hooks) }}
    {% set known = run_query(
        "select count(*) from intermediate.built_models where model = '" ~ model.name
        ~ "' and definition_hash = '" ~ definition ~ "'"
    ).columns[0].values()[0] %}
    {% if existing is none or existing.type != 'table' or not known or should_full_refresh() %}
        {% do drop_relation_if_exists(existing) %}
        {% do run_query(begin_anew(target_relation, definition)) %}
    {% endif %}

    {% do run_query(find_stale_partitions(keys)) %}
    {% do run_query(drop_gone_partitions(target_relation, keys)) %}
    {% set chunks = run_query('select coalesce(max(chunk) + 1, 0) from stale_partitions').columns[0].values()[0] | int %}
    {% for chunk in range(chunks) %}
        {% if chunks > 1 %}
            {{ log(model.name ~ ': part ' ~ (chunk + 1) ~ ' of ' ~ chunks, info=true) }}
        {% endif %}
        {% do run_query(build_chunk(target_relation, keys, chunk)) %}
    {% endfor %}
    {% call statement('main') %}
        delete from intermediate.build_scope;
        drop table stale_partitions
    {% endcall %}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# The tables that the above keeps its books in. #}
{% macro create_build_tables() %}
    {% if execute and target.name == 'warehouse' and flags.WHICH in ('run', 'build', 'test') %}
        create schema if not exists intermediate;
        create table if not exists intermediate.built_models (
            model varchar not null, definition_hash varchar not null
        );
        create table if not exists intermediate.built_partitions (
            model varchar not null, symbol varchar, session_date date not null,
            fingerprint ubigint not null, invocation_id varchar not null
        );
        create table if not exists intermediate.build_scope (symbol varchar, session_date date);
        delete from intermediate.build_scope;
    {% endif %}
{% endmacro %}

{% macro begin_anew(relation, definition) %}
    begin;
    {% if config.get('contract').enforced %}
        {{ get_assert_columns_equivalent(compiled_code) }}
        create table {{ relation }} {{ get_table_columns_and_constraints() }};
    {% else %}
        create table {{ relation }} as select * from ({{ compiled_code }}) limit 0;
    {% endif %}
    delete from intermediate.built_partitions where model = '{{ model.name }}';
    delete from intermediate.built_models where model = '{{ model.name }}';
    insert into intermediate.built_models values ('{{ model.name }}', '{{ definition }}');
    commit;
{% endmacro %}

{% macro find_stale_partitions(keys) %}
    {% set order = config.get('chunk_by', ['session_date', 'symbol']) | select('in', keys) | join(', ') %}
    create or replace temp table stale_partitions as
    with wanted as (
        select {{ keys | join(', ') }}, row_count, {{ config.require('fingerprint') }} as fingerprint
        from intermediate.{{ config.require('inputs') }}
        where {{ config.require('fingerprint') }} is not null
    ),
    built as (select * from intermediate.built_partitions where model = '{{ model.name }}')
    select
        wanted.*,
        (sum(row_count) over (order by {{ order }}) - row_count)
        // {{ config.get('chunk_rows', var('build_chunk_rows')) }} as chunk
    from wanted
    anti join built using ({{ keys | join(', ') }}, fingerprint)
{% endmacro %}

{% macro drop_gone_partitions(relation, keys) %}
    begin;
    create or replace temp table gone_partitions as
    select built.*
    from intermediate.built_partitions as built
    anti join intermediate.{{ config.require('inputs') }} as inputs
        on {{ same_keys('built', 'inputs', keys) }} and inputs.{{ config.require('fingerprint') }} is not null
    where built.model = '{{ model.name }}';
    delete from {{ relation }} as made using gone_partitions as gone
    where {{ same_keys('made', 'gone', keys) }};
    delete from intermediate.built_partitions as built using gone_partitions as gone
    where built.model = gone.model and {{ same_keys('built', 'gone', keys) }};
    drop table gone_partitions;
    commit
{% endmacro %}

{% macro build_chunk(relation, keys, chunk) %}
    begin;
    delete from intermediate.build_scope;
    insert into intermediate.build_scope by name
    select {{ keys | join(', ') }} from stale_partitions where chunk = {{ chunk }};
    delete from {{ relation }} as made using intermediate.build_scope as scope
    where {{ same_keys('made', 'scope', keys) }};
    insert into {{ relation }} by name {{ compiled_code }};
    delete from intermediate.built_partitions as built using intermediate.build_scope as scope
    where built.model = '{{ model.name }}' and {{ same_keys('built', 'scope', keys) }};
    insert into intermediate.built_partitions by name
    select '{{ model.name }}' as model, {{ keys | join(', ') }}, fingerprint, '{{ invocation_id }}' as invocation_id
    from stale_partitions where chunk = {{ chunk }};
    commit
{% endmacro %}

{% macro same_keys(left, right, keys) %}
    {%- for key in keys -%}
        {{ left }}.{{ key }} = {{ right }}.{{ key }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
