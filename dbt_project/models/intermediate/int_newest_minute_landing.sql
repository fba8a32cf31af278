{# One row: when the newest minute bar landed; sessions that had ended by then have labels. #}
select max(landed_at) as landed_at from {{ ref('int_landed_bars') }}
