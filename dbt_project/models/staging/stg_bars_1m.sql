{# One row per (symbol, bar_at, provider): the current version of each one-minute bar or, with the
   var as_known_at, the one that was current at that moment, so that `dbt run` in a copy of the
   warehouse gives everything as it was known then. #}
with source as (
    {% if var('as_known_at') %}
        {{ bars_as_known(
            source('raw', 'bars_1m'),
            source('raw', 'bar_revisions'),
            "timestamp '" ~ var('as_known_at') ~ "'"
        ) }}
    {% else %}
        select * from {{ source('raw', 'bars_1m') }}
    {% endif %}
),

renamed as (
    select
        symbol,
        session_date,
        bar_at,
        open,
        high,
        low,
        close,
        volume,
        provider,
        landed_at
    from source
)

select * from renamed
