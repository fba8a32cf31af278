{# One row per session that was served live and is built: a fingerprint of what its parity report is
   made from. #}
with served as (select * from {{ ref('stg_served_features') }}),

inputs as (select * from {{ ref('int_session_inputs') }}),

served_sessions as (
    select
        session_date,
        count(*) as row_count,
        {{ set_hash('symbol', 'bar_at', 'landed_at') }} as served_hash
    from served
    group by session_date
),

batch_sessions as (
    select
        session_date,
        {{ set_hash('symbol', 'features_fingerprint') }} as batch_hash
    from inputs
    where features_fingerprint is not null
    group by session_date
)

select
    session_date,
    served_sessions.row_count,
    hash(served_sessions.served_hash, batch_sessions.batch_hash) as fingerprint
from served_sessions
inner join batch_sessions using (session_date)
