{# One row per (session_date, feature) of the sessions that were served live and are built: how many
   served values batch says too and, of the others, how they differ and why. #}
{% set causes = ['revised bar', 'late bar', 'split', 'daily bar', 'baseline', 'definition'] %}

with served as (select * from {{ ref('stg_served_features') }}),

batch as (select * from {{ ref('int_batch_features') }}),

definitions as (select * from {{ ref('feature_definitions') }}),

cells as (select * from {{ ref('parity_cells') }}),

sessions as (
    select
        session_date,
        count(*) as rows_compared
    from served
    semi join batch using (session_date)
    group by session_date
),

counted as (
    select
        sessions.session_date,
        definitions.ordinal,
        definitions.feature,
        sessions.rows_compared,
        {% for kind in ['mismatch', 'missing', 'extra'] %}
            count(*) filter (where cells.kind = '{{ kind }}') as {{ kind }}_count,
        {% endfor %}
        max(abs(cells.difference)) as largest_difference,
        {% for cause in causes %}
            count(*) filter (where cells.cause = '{{ cause }}')
                as {{ cause | replace(' ', '_') }}_count,
        {% endfor %}
        count(*) filter (where cells.cause = 'unexplained') as unexplained_count
    from sessions
    cross join definitions
    left join cells
        on sessions.session_date = cells.session_date and definitions.feature = cells.feature
    group by all
)

select * from counted
